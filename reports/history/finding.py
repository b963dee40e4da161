"""Finds the runs of a history: which there are, of which suite, in which order."""

import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.reports.compare.baselines import SUFFIX, unpacked
from attnbench.reports.data.reading import RUN, RunError, run_file
from attnbench.reports.data.values import plain
from attnbench.suites.records.run_json import RunFile
from attnbench.suites.schema.limits import Estimate


@dataclass(frozen=True)
class Recorded:
    """Run that can be in a history: a run's folder, or the file of a stored baseline."""

    path: Path
    meta: Mapping[str, Any]
    """The contents of `run.json`."""
    suite: str
    estimate: Estimate
    """The statistic that represents a process."""
    commit: str
    """The commit in which `bench run` was called, else that of attnbench; empty if neither is known."""
    date: str
    """The date of the commit if it is known, else the start of the run."""
    started: str

    @property
    def name(self) -> str:
        """The name of the folder or of the baseline."""
        return self.path.name.removesuffix(SUFFIX)


def paths(words: Sequence[str]) -> list[Path]:
    """Return the runs that are named: folders of runs, folders that hold such folders, baselines, or patterns of them.

    Raises:
        RunError: a word names no file or folder.
    """
    found: dict[Path, None] = {}
    for word in words:
        matches = [word] if Path(word).exists() else sorted(glob.glob(word, recursive=True))
        if not matches:
            raise RunError(f"{word}: expected a folder of runs, or a pattern such as 'runs/*', found nothing; name one")
        for each in map(Path, matches):
            inside = sorted(each.iterdir()) if each.is_dir() and not _is_run(each) else [each]
            found |= dict.fromkeys(path for path in inside if _is_run(path))
    return list(found)


def ordered(found: Sequence[Path], suite: str | None, last: int | None) -> tuple[list[Recorded], list[str]]:
    """Return the runs of one suite by date, and a line for each run that is left out.

    The suite is the one that most runs have, unless `suite` names it. `last` keeps only so many of the latest.
    """
    runs: list[Recorded] = []
    left_out: list[str] = []
    for path in found:
        try:
            with unpacked(path) as folder:
                runs.append(_recorded(path, *run_file(folder / RUN)))
        except RunError as error:
            left_out.append(plain(error))
    count = Counter(each.suite for each in runs)
    chosen = suite or max(count, key=count.__getitem__, default="")
    left_out += [f"{each.path}: another suite, {each.suite}" for each in runs if each.suite != chosen]
    runs = sorted((each for each in runs if each.suite == chosen), key=lambda each: (each.date, each.started))
    kept = runs[-last:] if last else runs
    if len(kept) < len(runs):
        left_out.append(f"{len(runs) - len(kept)} older runs")
    return kept, left_out


def _is_run(path: Path) -> bool:
    return (path / RUN).is_file() or (path.is_file() and path.name.endswith(SUFFIX))


def _recorded(path: Path, meta: Mapping[str, Any], file: RunFile) -> Recorded:
    started = _utc(file.started or "")
    commit = file.revision.commit if file.revision else file.environment.commit or ""
    date = _utc(file.revision.date) if file.revision else started
    return Recorded(path, meta, file.name, file.suite.measure.estimate, commit, date, started)


def _utc(text: str) -> str:
    """Return a date as UTC, so that dates are ordered as texts; empty if it is none."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")
