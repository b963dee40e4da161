"""Where a history changes: change points of times, and every difference of what repeats exactly."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import geometric_mean
from typing import Any

import numpy as np

from attnbench.reports.compare.metrics import ERROR_FACTOR, ERROR_FLOORS
from attnbench.reports.history import change_points
from attnbench.reports.history.history import ERROR, RATIO, TIME, History
from attnbench.reports.stats.statistics import FloatArray, IntArray
from attnbench.suites import Status, fingerprint

STATUS = "status"
BASELINE = "time_of_baseline"
"""The metric of a change that explains those of all cases relative to one baseline."""
_ALIKE = 1.1
"""If the ratios of all cases to a baseline change by the same factor, up to this one, the baseline changed."""

_NEIGHBOURS = 5
"""The most runs on each side of a change whose times show if the baseline or the other cases changed."""


@dataclass(frozen=True)
class Change:
    """Change of a metric of a case between two runs."""

    case: int
    """Its row in the cases of the history."""
    metric: str
    before: int
    after: int
    """The last run before it, and the first after it."""
    factor: float
    """The value after over the one before; NaN for a status."""
    low: float
    high: float
    """The 95 % interval of the factor; NaN for an exact metric."""
    was: float | str
    now: float | str
    worse: bool

    @property
    def severity(self) -> float:
        """How much worse it is, to order changes by: a case that is lost first, then by factor."""
        size = abs(math.log(self.factor)) if self.factor > 0 and math.isfinite(self.factor) else 100.0
        return size if self.worse else -1 / (1 + size)


@dataclass(frozen=True)
class Group:
    """Changes at one place in the history, the most severe first."""

    before: int
    after: int
    changes: tuple[Change, ...]
    software: Mapping[str, tuple[Any, Any]]
    """Versions that differ between the two runs."""

    @property
    def worse(self) -> int:
        """The number of cases that got worse in some metric."""
        return len({each.case for each in self.changes if each.worse})


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of a history, and what could have been found."""

    history: History
    groups: tuple[Group, ...]
    """The most severe first."""
    tested: int
    """The number of series of times that have enough runs to be tested."""
    detectable: dict[int, float]
    """By how many runs follow it: the slow-down, a ratio minus 1, that is found in half of these series with a power of
    80 %."""

    @cached_property
    def latest(self) -> Group | None:
        """The latest changes of all."""
        return max(self.groups, key=lambda each: each.after, default=None)


def find(history: History) -> Changes:
    """Find the changes of a history."""
    rows, signals = _signals(history)
    found = change_points.find(signals)
    tested = sum(each.tested for each in signals)
    changes = [*_exact(history)]
    for (case, metric), signal, each in zip(rows, signals, found, strict=True):
        for step in each.steps:
            before, after = int(signal.runs[step.at - 1]), int(signal.runs[step.at])
            factor, low, high = (math.exp(value) for value in (step.change, step.low, step.high))
            was, now = (float(history.values[metric].value[case, run]) for run in (before, after))
            changes.append(Change(case, metric, before, after, factor, low, high, was, now, factor > 1))
    detectable = {}
    for after in sorted({change_points.FEWEST, len(history.runs) // 2}):
        seen = [change_points.detectable(*each, tested, after) for each in zip(signals, found, strict=True)]
        seen = [each for each in seen if math.isfinite(each)]
        if seen:
            detectable[after] = float(np.median(seen))
    return Changes(history, tuple(_grouped(history, changes, rows)), tested, detectable)


def _signals(history: History) -> tuple[list[tuple[int, str]], list[change_points.Signal]]:
    """Return the series of times to test, by case and metric: ratios to a baseline, or times where there is none.

    A baseline itself is not tested: its times differ from day to day. If it changes, all ratios to it do.
    """
    rows, signals = [], []
    for case, baseline in enumerate(history.baseline_rows):
        metric = TIME if baseline < 0 else RATIO
        value, low, high = (np.log(each[case]) for each in history.values[metric])
        if case != baseline and np.isfinite(value).any():
            rows.append((case, metric))
            signals.append(change_points.signal(value, low, high, history.machines))
    return rows, signals


def _exact(history: History) -> Iterator[Change]:
    """Find the changes of memory, work, error and status between runs that can be compared."""
    every = [fingerprint.machine(each.meta) | fingerprint.software(each.meta) for each in history.runs]
    facts = [{name: each[name] for name in fingerprint.MEMORY} for each in every]
    seeds = [each.meta.get("seed", 0) for each in history.runs]
    floors = history.cases["dtype"].map(ERROR_FLOORS).to_numpy(np.float64)
    for case in range(len(history.cases)):
        yield from _statuses(case, history.status.iloc[case].to_list(), history.machines)
        proofs = [*zip(seeds, np.nan_to_num(history.proved[case], nan=-1.0).tolist(), strict=True)]
        for metric, alike in (
            ("peak_bytes", facts),
            ("allowed_pairs", None),
            ("computed_pairs", None),
            (ERROR, proofs),
        ):
            for before, after, was, now in _differences(history.values[metric].value[case], alike):
                if metric == ERROR and max(was, now) <= ERROR_FACTOR * min(was, now) + floors[case]:
                    continue
                # Another number of allowed pairs makes another variant, which is never better.
                worse = now > was or metric == "allowed_pairs"
                factor = now / was if was > 0 else math.inf
                yield Change(case, metric, before, after, factor, math.nan, math.nan, was, now, worse)


def _differences(values: FloatArray, alike: Sequence[object] | None) -> Iterator[tuple[int, int, float, float]]:
    """Yield the runs before and after each difference, and both values. Only runs whose `alike` is equal are compared.

    If several kinds of runs take turns, each of them sees the same change: only the first one is yielded.
    """
    there = np.flatnonzero(np.isfinite(values))
    if not len(there) or np.ptp(values[there]) == 0:
        return
    known: list[tuple[object, int]] = []
    latest = -1
    for after in map(int, there):
        kind = None if alike is None else alike[after]
        before = next((run for other, run in reversed(known) if other == kind), None)
        if before is not None and before >= latest and values[before] != values[after]:
            yield before, after, float(values[before]), float(values[after])
            latest = after
        known.append((kind, after))


def _statuses(case: int, told: Sequence[str], machines: IntArray) -> Iterator[Change]:
    """Yield where a case no longer passes, or passes again. What one machine does not support, another may."""
    there = [run for run, status in enumerate(told) if status]
    for before, after in pairwise(there):
        was, now = told[before], told[after]
        moved = Status.UNSUPPORTED in (was, now) and machines[before] != machines[after]
        if was != now and Status.PASSED in (was, now) and not moved:
            yield Change(case, STATUS, before, after, math.nan, math.nan, math.nan, was, now, was == Status.PASSED)


def _grouped(history: History, changes: Sequence[Change], tested: Sequence[tuple[int, str]]) -> list[Group]:
    """Group changes with the same first run after them, the most severe first."""
    by_run: dict[int, list[Change]] = {}
    for each in changes:
        by_run.setdefault(each.after, []).append(each)
    software = [fingerprint.software(each.meta) for each in history.runs]
    groups = []
    for after, found in by_run.items():
        found = sorted(_of_baselines(history, found, tested), key=lambda each: -each.severity)
        before = max(each.before for each in found)
        differing = fingerprint.unequal(software[before], software[after])
        groups.append(Group(before, after, tuple(found), differing))
    return sorted(groups, key=lambda each: -each.changes[0].severity)


def _of_baselines(history: History, found: Sequence[Change], tested: Sequence[tuple[int, str]]) -> list[Change]:
    """Replace changes relative to a baseline by one of the baseline if all cases, two at least, changed alike.

    The cases may also have changed together, such as by a kernel that they share. So their own times must have changed
    less than those of the baseline.
    """
    everyone = Counter(int(history.baseline_rows[case]) for case, metric in tested if metric == RATIO)
    by_baseline: dict[int, list[Change]] = {}
    for each in found:
        if each.metric == RATIO:
            by_baseline.setdefault(int(history.baseline_rows[each.case]), []).append(each)
    told = [*found]
    for baseline, changes in by_baseline.items():
        factors = [each.factor for each in changes]
        alike = 1 < len(changes) == everyone[baseline] and max(factors) <= _ALIKE * min(factors)
        own = [_own_change(history, each.case, each.after) for each in changes] if alike else []
        if alike and abs(np.mean(own)) < abs(_own_change(history, baseline, changes[0].after)):
            # The ratios have the time of the baseline in their denominator.
            factor, low, high = (
                1 / geometric_mean(getattr(each, name) for each in changes) for name in ("factor", "high", "low")
            )
            before, after = max(each.before for each in changes), changes[0].after
            was, now = (float(history.values[TIME].value[baseline, run]) for run in (before, after))
            told = [each for each in told if each not in changes]
            told.append(Change(baseline, BASELINE, before, after, factor, low, high, was, now, factor > 1))
    return told


def _own_change(history: History, case: int, after: int) -> float:
    """Return by how much the log time of a case changed, over a few runs of the same machine; NaN if there are none."""
    log_ns, machines = np.log(history.values[TIME].value[case]), history.machines
    changes = []
    for machine in np.unique(machines):
        runs = np.flatnonzero((machines == machine) & np.isfinite(log_ns))
        before, later = runs[runs < after][-_NEIGHBOURS:], runs[runs >= after][:_NEIGHBOURS]
        if len(before) and len(later):
            changes.append(log_ns[later].mean() - log_ns[before].mean())
    return float(np.mean(changes)) if changes else math.nan
