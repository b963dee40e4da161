"""Ratios within a run, paired by process: directions over `forward`, levels over attention, few threads over many."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.parts import Part
from attnbench.reports.data.settings import SERIES, SETTING, comparison_length, told, varied, without_floor
from attnbench.reports.data.values import FloatArray, floats, verdicts
from attnbench.reports.findings.crossovers import Crossovers, crossovers
from attnbench.reports.stats.statistics import Interval, interval
from attnbench.variants import ATTENTION, DEFAULTS


class Ratio(NamedTuple):
    """A value of an axis over another one, for one series at one length."""

    title: str
    """The setting without this axis."""
    name: str
    """`label/implementation`."""
    seq_len: int
    value: str
    against: str
    """The value of the axis that it is compared with."""
    time: Interval
    """On the log scale."""
    peak: float
    """Ratio of the memory peaks; NaN if either is missing."""
    work: float
    """Ratio of the FLOPs; NaN if either is missing."""


def gradients(frame: pd.DataFrame, log_ns: FloatArray) -> list[Ratio]:
    """Compare directions with `forward`. `log_ns [cases, P]` holds log times."""
    return _ratios(frame, log_ns, "direction", lambda _: ("forward",))


def by_level(frame: pd.DataFrame, log_ns: FloatArray) -> list[Ratio]:
    """Compare levels with attention, and those with parameters with the same level without, if that was measured."""
    return _ratios(frame, log_ns, "level", lambda level: (level.partition("(")[0], ATTENTION))


def _ratios(
    frame: pd.DataFrame, log_ns: FloatArray, axis: str, against: Callable[[str], tuple[str, ...]]
) -> list[Ratio]:
    """Compare each value of an axis with the first of the values `against` that passed, within every series.

    This is at the comparison length of both. The result is ordered by setting, then by value, as in the frame.
    """
    passed = without_floor(frame[frame["status"] == "passed"])
    rest = [name for name in SETTING if name != axis]
    named = {"direction", "dtype", "device", *varied(frame)} - {axis}
    peak, flops = floats(frame["peak_bytes"]), floats(frame["flops"])
    found = []
    for _, part in passed.groupby(rest, sort=False):
        first = part.iloc[0].copy()
        first[axis] = DEFAULTS.get(axis, first[axis])  # the title names the axis in no other case
        title = ", ".join(told(first, named))
        for value in part[axis].unique():
            left = dict.fromkeys(part.loc[part[axis] == value, [*SERIES]].itertuples(index=False, name=None))
            for other in (each for each in against(value) if each != value):
                both = part[part[axis].isin([value, other])]
                n = _shared_length(both, axis) if both[axis].nunique() > 1 else -1
                rows_of = _rows(both[both["seq_len"] == n], [*SERIES, axis])
                for series in [each for each in left if (*each, value) in rows_of and (*each, other) in rows_of]:
                    del left[series]
                    over, under = rows_of[(*series, value)], rows_of[(*series, other)]
                    # Differences within a process leave out what differs between processes.
                    time = interval(log_ns[over] - log_ns[under])
                    if time.processes:
                        ratios = (each[over] / each[under] if each[under] > 0 else np.nan for each in (peak, flops))
                        found.append(Ratio(title, "/".join(series), n, value, other, time, *map(float, ratios)))
    return found


def _shared_length(part: pd.DataFrame, axis: str) -> int:
    """Return the longest length that every value of an axis passed, if possible no longer than any comparison length.

    Return -1 if there is none.
    """
    values = [each for _, each in part.groupby(axis, sort=False)]
    shared = set.intersection(*(set(each["seq_len"]) for each in values))
    compared = min(map(comparison_length, values))
    return int(max((n for n in shared if n <= compared), default=max(shared, default=-1)))


def _rows(part: pd.DataFrame, columns: list[str]) -> dict[tuple[Any, ...], int]:
    """Map the values of some columns to the row of their case."""
    return dict(zip(part[columns].itertuples(index=False, name=None), map(int, part.index), strict=True))


class Gain(NamedTuple):
    """Time with the fewest threads over time with the most, for one series at one length."""

    name: str
    """`label/implementation`."""
    seq_len: int
    time: Interval
    """On the log scale."""
    verdict: str
    """Whether more threads are `FASTER` or `SLOWER`, or `CLOSE`; empty without an interval."""


class Threads(NamedTuple):
    """Settings that differ only in their threads."""

    title: str
    """The setting without its threads."""
    fewest: int
    most: int
    frame: pd.DataFrame
    """The cases that passed; `count` is their number of threads."""
    compared: pd.DataFrame
    """The cases at the comparison length, threads ascending. `ideal_ns` is the time at perfect scaling from the fewest
    threads of the series."""
    gains: list[Gain]
    """One for each length and series that passed with both the fewest and the most threads."""
    crossovers: list[Crossovers]
    """One for each series that was compared with its baseline at several lengths."""


def by_threads(frame: pd.DataFrame, log_ns: FloatArray, scaling: pd.DataFrame, parts: Sequence[Part]) -> list[Threads]:
    """Return the settings that passed with several numbers of threads on one machine. Only the CPU has them.

    `scaling` and `parts` are those of the run.
    """
    auto = [each if isinstance(each, int) else 0 for each in (part.environment.get("threads") for part in parts)]
    rest = [*(name for name in SETTING if name != "threads"), "machine"]
    named = {"direction", "dtype", "device", *varied(frame)} - {"threads"}
    first = [int(each.partition(" ")[0] or 0) for each in frame["parts"]]
    count = [int(each) if each.isdigit() else auto[part] for each, part in zip(frame["threads"], first, strict=True)]
    machine = [parts[part].machine for part in first]
    frame = frame.assign(count=np.array(count, np.int64), machine=np.array(machine, np.int64))
    frame = without_floor(frame[(frame["status"] == "passed") & (frame["device"] == "cpu") & (frame["count"] > 0)])
    # If a case passed both with `auto` and with the number that `auto` stands for, keep the number.
    twice = frame.duplicated([*rest, "seq_len", *SERIES, "count"], keep=False)
    frame = frame[~(twice & (frame["threads"] == "auto"))]
    groups = [group for _, group in frame.groupby(rest, sort=False) if group["count"].nunique() > 1]
    return [_threads(", ".join(told(group.iloc[0], named)), group, log_ns, scaling) for group in groups]


def _threads(title: str, part: pd.DataFrame, log_ns: FloatArray, scaling: pd.DataFrame) -> Threads:
    fewest, most = int(part["count"].min()), int(part["count"].max())
    n = min(comparison_length(each) for _, each in part.groupby("count"))
    here = part[part["seq_len"] == n].sort_values("count", kind="stable")
    first = here.groupby(list(SERIES))[["time_ns", "count"]].transform("first")
    here = here.assign(ideal_ns=first["time_ns"] * first["count"] / here["count"])
    columns = ["seq_len", *SERIES]
    few, many = (_rows(part[part["count"] == count], columns) for count in (fewest, most))
    both = sorted(few.keys() & many.keys())
    times = interval(log_ns[[few[key] for key in both]] - log_ns[[many[key] for key in both]])
    gains = [
        Gain("/".join(series), int(n), Interval(*each), str(verdict))
        for (n, *series), verdict, *each in zip(both, verdicts(*np.exp(times[1:3])), *times, strict=True)
        if each[-1]
    ]
    return Threads(title, fewest, most, part, here, gains, crossovers(part, scaling))
