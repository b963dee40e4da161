"""Functions that read a run folder: `run.json` and files of JSON lines."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json

from attnbench.suites import Probe, Sample, Status, result
from attnbench.suites.fields import read as read_as
from attnbench.suites.problem import found
from attnbench.suites.profile import Profile
from attnbench.suites.records import paired_timing, run_json
from attnbench.suites.records.run_json import Planned, RunFile
from attnbench.suites.schema.limits import Estimate

RUN = "run.json"
SAMPLES = "samples.jsonl"
PROFILE = "profile.jsonl"

T = TypeVar("T")


class RunError(ValueError):
    """Raised if a folder cannot be read. The message says what was expected, what was found, and where."""


@dataclass(frozen=True)
class Journal:
    """Contents of a run's files. If a row is written twice, the last one counts."""

    meta: Mapping[str, Any]
    planned: tuple[Planned, ...]
    probes: Mapping[str, Probe]
    samples: Mapping[str, Mapping[int, Sample]]
    """By case, then by replicate."""
    again: tuple[Sample, ...]
    """Samples of baselines that were timed again beside cases that were added later; each once."""
    estimate: Estimate
    """The statistic that represents a process: minimum, quartile or median of its values."""


def read(folder: Path) -> Journal:
    """Read the run in `folder`. A last line that its process did not finish writing is left out.

    Raises:
        RunError: a file is missing or cannot be read.
    """
    meta, file = run_file(folder / RUN)
    probes: dict[str, Probe] = {}
    samples: dict[str, dict[int, Sample]] = {}
    again: dict[tuple[str, tuple[int, int]], Sample] = {}
    for row in _rows_if_any(folder / SAMPLES, partial(_row, {each.key for each in file.cases}, len(file.resumed))):
        if isinstance(row, Probe):
            probes[row.case] = row
        elif row.again:
            again[row.case, row.process] = row
        else:
            samples.setdefault(row.case, {})[row.replicate] = row
    return Journal(meta, file.cases, probes, samples, tuple(again.values()), file.suite.measure.estimate)


def profiles(folder: Path) -> dict[str, Profile]:
    """Read the profiles of a folder, by case; none if it has no `profile.jsonl`. The last row of a case counts.

    Raises:
        RunError: the file cannot be read.
    """
    return {row.case: row for row in _rows_if_any(folder / PROFILE, Profile.from_json)}


def book(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the file of `bench ab` or `bench selftest`. Return its row of the environment, and all rows.

    Raises:
        RunError: the file is missing or cannot be read.
    """
    told = [*rows(path, partial(paired_timing.checked, path.name))]
    environments = [row for row in told if row["kind"] == "environment"]
    if len(environments) != 1:
        raise RunError(f"{path}: expected one row of the environment, found {len(environments)}; measure anew")
    return environments[0], told


def rows(path: Path, make: Callable[[Any], T]) -> Iterator[T]:
    """Read a file of JSON lines, each converted by `make`. An unfinished last line is left out.

    Raises:
        RunError: the file is missing, or `make` raised a `ValueError` on a line.
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
        except ValueError as error:
            if number == len(lines):
                return
            raise RunError(f"{path}:{number}: {error}") from None
        yield row


def _parsed(line: bytes) -> Any:
    """Parse a line of JSON.

    Pydantic's parser takes a third of the time of Python's. But only Python's accepts half of a surrogate pair, which
    stands for a byte that is no text in the path of a file.
    """
    try:
        return from_json(line)
    except ValueError:
        pass
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("expected a row of JSON, found no valid JSON") from None


def _rows_if_any(path: Path, make: Callable[[Any], T]) -> Iterator[T]:
    """Read rows as `rows` does; none if the file is missing, because the run ended before it wrote one."""
    return rows(path, make) if path.exists() else iter(())


def run_file(path: Path) -> tuple[dict[str, Any], RunFile]:
    """Read `run.json`. Return all of its contents, and its known fields checked.

    Raises:
        RunError: it is missing or cannot be read.
    """
    try:
        meta = json.loads(path.read_bytes(), parse_constant=_refused)
    except OSError as error:
        raise RunError(f"{path}: expected the folder of a run, found none ({error.strerror}); give one") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: expected JSON, found a mistake: {error}") from None
    if not isinstance(meta, dict) or meta.get("format") not in (run_json.FORMAT, run_json.AGAIN):
        found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise RunError(
            f"{path}: expected format {run_json.FORMAT} or {run_json.AGAIN}, found {found!r}; "
            "read it with the version that wrote it"
        )
    try:
        return meta, read_as(RunFile, meta)
    except ValueError as error:
        raise RunError(f"{path}: {error}") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant}, which is no number")


def _row(keys: set[str], last_part: int, told: Any) -> Probe | Sample:
    """Check one row of a run, whose parts have the numbers from 0 to `last_part`."""
    row = result.from_json(told)
    if row.case not in keys:
        raise ValueError(f"case: expected the key of a case of run.json, {found(row.case)}")
    if row.part > last_part:
        raise ValueError(f"part: expected a part of run.json, from 0 to {last_part}, {found(row.part)}")
    if isinstance(row, Sample) and row.status is Status.PASSED and not row.values_ns:
        raise ValueError("values_ns: expected the times of a case that passed, found none")
    return row
