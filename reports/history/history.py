"""A history: the values of each case in each run of a suite."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.compare.baselines import unpacked
from attnbench.reports.compare.cells import title
from attnbench.reports.compare.comparison import IDENTITY
from attnbench.reports.data import reading
from attnbench.reports.data.frame import untried
from attnbench.reports.data.reading import RunError
from attnbench.reports.data.settings import varied
from attnbench.reports.data.values import floats, plain
from attnbench.reports.findings.run import Run, judged
from attnbench.reports.history.finding import Recorded
from attnbench.reports.stats.statistics import FloatArray, IntArray, interval
from attnbench.suites import fingerprint

RATIO, TIME = "time_over_baseline", "time_ns"
TIMES = (RATIO, TIME)
ERROR = "max_abs_error"
EXACT = ("peak_bytes", "allowed_pairs", "computed_pairs", ERROR)
METRICS = (*TIMES, *EXACT)
"""What is followed: the time over that of the baseline in the same run, paired by process; the time; and others, whose
values repeat exactly."""


class Values(NamedTuple):
    """A metric of C cases in R runs, with 95 % intervals; NaN if it is missing or has none."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class History:
    """Runs of one suite, oldest first, with the values of their cases."""

    runs: tuple[Recorded, ...]
    cases: pd.DataFrame
    """One row per case of any run: columns of `IDENTITY`, `title`, and `baseline`, the key of its baseline or empty."""
    values: dict[str, Values]
    """By metric."""
    status: pd.DataFrame
    """The status of each case (row) in each run (column); empty if the run does not have the case or did not try it."""
    proved: FloatArray
    """The share of elements that the proof checked `[C, R]`."""
    left_out: tuple[str, ...]
    """A line for each run that is not in the history, and why."""

    @property
    def suite(self) -> str:
        """The name of the suite."""
        return self.runs[-1].suite

    @cached_property
    def machines(self) -> IntArray:
        """The machine of each run `[R]`, numbered from 0 in order of appearance. Software does not make a machine."""
        return _numbered([fingerprint.machine(each.meta) for each in self.runs])

    @cached_property
    def baseline_rows(self) -> IntArray:
        """The row of each case's baseline `[C]`; -1 if it has none."""
        rows: IntArray = pd.Index(self.cases["case"]).get_indexer(self.cases["baseline"]).astype(np.int64)
        return rows

    def label(self, run: int) -> str:
        """Return the name of a run: its commit if it is known, else its folder."""
        return plain(self.runs[run].commit or self.runs[run].name, 24)


class _Part(NamedTuple):
    """What one run says."""

    frame: pd.DataFrame
    times: dict[str, Values]
    """Of its cases `[cases]`."""


def history(runs: Sequence[Recorded], left_out: Sequence[str]) -> History | None:
    """Read the runs, which are ordered by date, and return their history; None if no run can be read.

    All use the estimate of the latest, and each case the baseline that it has in the latest run that has one.
    """
    told = [*left_out]
    parts: list[tuple[Recorded, _Part]] = []
    baselines: dict[str, str] = {}
    for each in reversed(runs):
        try:
            with unpacked(each.path) as folder:
                run = judged(folder, reading.read(folder), runs[-1].estimate)
        except RunError as error:
            told.append(plain(error))
            continue
        keys = run.frame["case"].to_numpy()
        known = run.baseline_rows >= 0
        baselines = dict(zip(keys[known], keys[run.baseline_rows[known]], strict=True)) | baselines
        parts.append((each, _part(run, baselines)))
    if not parts:
        return None
    identity = pd.concat([part.frame for _, part in parts], ignore_index=True)
    identity = identity.drop_duplicates("case", ignore_index=True)[list(IDENTITY)]
    named = varied(identity)
    identity = identity.assign(against="", baseline=[baselines.get(case, "") for case in identity["case"]])
    identity["title"] = [title(row, named) for _, row in identity.iterrows()]
    parts.reverse()
    rows = [pd.Index(part.frame["case"]).get_indexer(identity["case"]) for _, part in parts]
    frames = [part.frame for _, part in parts]

    def joined(columns: Sequence[FloatArray]) -> FloatArray:
        return np.stack([np.where(at >= 0, each[at], np.nan) for at, each in zip(rows, columns, strict=True)], axis=1)

    values = {
        name: Values(*(joined(each) for each in zip(*(part.times[name] for _, part in parts), strict=True)))
        for name in TIMES
    }
    for name in EXACT:
        exact = joined([floats(frame[name]) for frame in frames])
        values[name] = Values(exact, np.full_like(exact, np.nan), np.full_like(exact, np.nan))
    states = [frame["status"].reindex(at).fillna("").array for at, frame in zip(rows, frames, strict=True)]
    proved = joined([floats(frame["proved"]) for frame in frames])
    status = pd.DataFrame(dict(enumerate(states)))
    return History(tuple(each for each, _ in parts), identity, values, status, proved, tuple(told))


def _part(run: Run, baselines: dict[str, str]) -> _Part:
    """Return what is kept of a run; `baselines` maps each case to its baseline."""
    keys = pd.Index(run.frame["case"])
    at = keys.get_indexer([baselines.get(key, "") for key in keys])
    other = (at >= 0) & (at != np.arange(len(keys)))
    ratio = interval(np.where(other[:, None], run.log_ns - run.paired_log_ns[at], np.nan))
    times = {
        RATIO: Values(*(np.exp(each) for each in ratio[:3])),
        TIME: Values(*(floats(run.frame[name]) for name in ("time_ns", "time_low_ns", "time_high_ns"))),
    }
    columns = [*IDENTITY, "status", "proved", *EXACT]
    status = run.frame["status"].mask(untried(run.frame), "")
    return _Part(run.frame[columns].assign(status=status), times)


def _numbered(facts: Sequence[object]) -> IntArray:
    """Number equal facts alike, from 0 in order of appearance."""
    known: list[object] = []
    for each in facts:
        if each not in known:
            known.append(each)
    return np.array([known.index(each) for each in facts], np.int64)
