"""A folder as the runner leaves it: `run.json`, and files of JSON lines."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json

from attnbench.suites import Case, Probe, Sample, Status, result
from attnbench.suites.profile import Profile

RUN = "run.json"
SAMPLES = "samples.jsonl"
PROFILE = "profile.jsonl"
FORMAT = 1
"""The `format` of `run.json` that this code reads."""


T = TypeVar("T")


class RunError(ValueError):
    """A folder cannot be read: what was expected, what was found, and where."""


@dataclass(frozen=True)
class Planned:
    """A case of the run, its key, the key of its baseline, and its label as it was where it ran."""

    key: str
    case: Case
    baseline: str | None
    label: str | None


@dataclass(frozen=True)
class Journal:
    """What a run wrote down. Of rows told twice, the last one counts."""

    meta: Mapping[str, Any]
    planned: tuple[Planned, ...]
    probes: Mapping[str, Probe]
    samples: Mapping[str, Mapping[int, Sample]]
    """By case, then by replicate."""


def read(folder: Path) -> Journal:
    """The run in `folder`. A last line cut short by the end of its process is left out.

    Raises:
        RunError: a file is missing or cannot be read.
    """
    meta = _meta(folder / RUN)
    planned = _planned(folder / RUN, meta["cases"])
    probes: dict[str, Probe] = {}
    samples: dict[str, dict[int, Sample]] = {}
    for row in _rows_if_any(folder / SAMPLES, partial(_row, {each.key for each in planned}), "a row of a run"):
        if isinstance(row, Probe):
            probes[row.case] = row
        else:
            samples.setdefault(row.case, {})[row.replicate] = row
    return Journal(meta, planned, probes, samples)


def profiles(folder: Path) -> dict[str, Profile]:
    """The profiles of a folder by case; none where it has no `profile.jsonl`. Of rows told twice, the last counts.

    Raises:
        RunError: the file cannot be read.
    """
    return {row.case: row for row in _rows_if_any(folder / PROFILE, _profile, "a profile")}


def book(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `bench ab` or `bench selftest` wrote down: the row that tells the environment, and all rows, each of a kind.

    Raises:
        RunError: the file is missing or cannot be read.
    """
    told = [*rows(path, of_a_kind, "a row of a kind")]
    environments = [row for row in told if row["kind"] == "environment"]
    if len(environments) != 1:
        raise RunError(f"{path}: expected one row of the environment, found {len(environments)}; measure anew")
    return environments[0], told


def rows(path: Path, make: Callable[[Any], T], what: str) -> Iterator[T]:
    """The rows of a file of JSON lines, each as `make` reads it. A last line cut short is left out.

    Raises:
        RunError: the file is missing, or a line is not `what` it should be.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunError(f"{path}: expected rows, found none ({error.strerror}); name another folder") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = make(_parsed(line))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if number == len(lines):
                return
            raise RunError(f"{path}:{number}: expected {what}, found {problem(error)}") from None
        yield row


def _parsed(line: bytes) -> Any:
    """What a line of JSON says.

    Pydantic's reader takes a third of the time of Python's own, which alone reads half of a surrogate pair: in the path
    of a file that an error names, it stands for a byte that is no text.
    """
    try:
        return from_json(line)
    except ValueError:
        pass
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("no valid JSON") from None


def _rows_if_any(path: Path, make: Callable[[Any], T], what: str) -> Iterator[T]:
    """The same; none where the file is missing: its run ended before it wrote one."""
    return rows(path, make, what) if path.exists() else iter(())


def _meta(path: Path) -> dict[str, Any]:
    """The contents of `run.json`."""
    try:
        meta = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: expected the folder of a run, found none ({error.strerror}); give one") from None
    except ValueError as error:
        raise RunError(f"{path}: expected JSON, found a mistake: {error}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise RunError(f"{path}: expected format {FORMAT}, found {found!r}; read it with the version that wrote it")
    kinds = {"name": str, "question": str, "command": str, "suite": dict, "source": str, "environment": dict}
    for key, kind in {**kinds, "cases": list, "patterns": list}.items():
        if not isinstance(meta.get(key), kind):
            raise RunError(f"{path}: {key}: expected a {kind.__name__}, found {meta.get(key)!r}")
    _check_patterns(path, meta["patterns"])
    _check_resumed(path, meta.get("resumed", []))
    return meta


def _check_patterns(path: Path, patterns: list[Any]) -> None:
    """Refuse thumbnails that are not `n` rows of `n` bits."""
    for i, pattern in enumerate(patterns):
        try:
            n, sizes = pattern["n"], {len(bytes.fromhex(row)) for row in pattern["rows"]}
            if not isinstance(pattern["label"], str) or len(pattern["rows"]) != n or sizes != {-(-n // 8)}:
                raise ValueError(f"{len(pattern['rows'])} rows of {sorted(sizes)} bytes for n = {n}")
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: patterns[{i}]: expected a thumbnail, found {problem(error)}") from None


def _check_resumed(path: Path, parts: Any) -> None:
    """Refuse parts of a run that do not say when, for how many processes, where, and what had changed."""
    kinds = {"started": str, "processes": int, "environment": dict, "changed": dict}
    if not isinstance(parts, list):
        raise RunError(f"{path}: resumed: expected a list, found {parts!r}")
    for i, part in enumerate(parts):
        for key, kind in kinds.items():
            found = part.get(key) if isinstance(part, dict) else part
            if not isinstance(found, kind):
                raise RunError(f"{path}: resumed[{i}].{key}: expected a {kind.__name__}, found {found!r}")
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in part["changed"].values()):
            raise RunError(f"{path}: resumed[{i}].changed: expected pairs, found {part['changed']!r}")


def _planned(path: Path, cases: list[Any]) -> tuple[Planned, ...]:
    """The cases of `run.json`."""
    planned = []
    for i, row in enumerate(cases):
        try:
            planned.append(Planned(str(row["key"]), Case.from_json(row), row["baseline"], row.get("label")))
            if not isinstance(planned[-1].label, str | None):
                raise ValueError(f"the label {planned[-1].label!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: cases[{i}]: expected a case, found {problem(error)}") from None
    if len({each.key for each in planned}) < len(planned):
        raise RunError(f"{path}: cases: expected each key once, found one twice")
    return tuple(planned)


def _row(keys: set[str], told: Any) -> Probe | Sample:
    """One row of a run, checked."""
    row = result.from_json(told)
    if row.case not in keys:
        raise ValueError(f"case {row.case!r}, which run.json does not hold")
    if isinstance(row, Sample):
        for name in ("replicate", "part"):
            if not isinstance(getattr(row, name), int):
                raise ValueError(f"{name} {getattr(row, name)!r}")
        times = row.values_ns
        if row.status is Status.PASSED and not (times and min(times) > 0 and sum(times) < math.inf):
            raise ValueError(f"the times {list(times)}")
    return row


def _profile(told: Any) -> Profile:
    """One profile; its case is in names of files, so it must be a key."""
    profile = Profile.from_json(told)
    if not re.fullmatch("[0-9a-f]{12}", profile.case):
        raise ValueError(f"the case {profile.case!r}")
    return profile


def of_a_kind(told: Any) -> dict[str, Any]:
    """One row of a book."""
    if not isinstance(told, dict) or not isinstance(told.get("kind"), str):
        raise TypeError
    return told


def problem(error: Exception) -> str:
    """An error of reading, in words."""
    if isinstance(error, AttributeError | TypeError):
        return "something else"
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
