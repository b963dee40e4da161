"""A run's folder as the runner leaves it: `run.json` and `samples.jsonl`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.suites import Case, Probe, Sample, Status
from attnbench.suites import result as rows

FORMAT = 1
"""The `format` of `run.json` that this code reads."""


class RunError(ValueError):
    """A run's folder cannot be read: what was expected, what was found, and where."""


@dataclass(frozen=True)
class Planned:
    """A case of the run, its key, and the key of its baseline."""

    key: str
    case: Case
    baseline: str | None


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
    meta = _meta(folder / "run.json")
    planned = _planned(folder / "run.json", meta["cases"])
    probes, samples = _rows(folder / "samples.jsonl", {each.key for each in planned})
    return Journal(meta, planned, probes, samples)


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
            raise RunError(f"{path}: patterns[{i}]: expected a thumbnail, found {_problem(error)}") from None


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
            planned.append(Planned(str(row["key"]), Case.from_json(row), row["baseline"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: cases[{i}]: expected a case, found {_problem(error)}") from None
    if len({each.key for each in planned}) < len(planned):
        raise RunError(f"{path}: cases: expected each key once, found one twice")
    return tuple(planned)


def _rows(path: Path, keys: set[str]) -> tuple[dict[str, Probe], dict[str, dict[int, Sample]]]:
    """The probes and samples of `samples.jsonl`; none where the run ended before it wrote one."""
    probes: dict[str, Probe] = {}
    samples: dict[str, dict[int, Sample]] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return probes, samples
    except OSError as error:
        raise RunError(f"{path}: expected a file of rows, found none ({error.strerror})") from None
    for number, line in enumerate(lines, 1):
        try:
            row = _row(line, keys) if line.strip() else None
        except (KeyError, TypeError, ValueError) as error:
            if number == len(lines):
                break
            raise RunError(f"{path}:{number}: expected a row of a run, found {_problem(error)}") from None
        if isinstance(row, Probe):
            probes[row.case] = row
        elif row is not None:
            samples.setdefault(row.case, {})[row.replicate] = row
    return probes, samples


def _row(line: bytes, keys: set[str]) -> Probe | Sample:
    """One line, checked."""
    row = rows.from_json(json.loads(line))
    if row.case not in keys:
        raise ValueError(f"case {row.case!r}, which run.json does not hold")
    if isinstance(row, Sample):
        if not isinstance(row.replicate, int):
            raise ValueError(f"replicate {row.replicate!r}")
        times = row.values_ns
        if row.status is Status.PASSED and not (times and min(times) > 0 and sum(times) < math.inf):
            raise ValueError(f"the times {list(times)}")
    return row


def _problem(error: Exception) -> str:
    """An error of reading, in words."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "no valid JSON"
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
