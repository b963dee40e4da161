"""Results of a setting by length: the fastest series, the floor, comparisons with the baseline, errors, cached bytes.

A floor does not mix tokens. It is compared with the baseline, and left out of everything else.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from attnbench.reports.data.flags import ABOVE_ROOF
from attnbench.reports.data.settings import SERIES, names
from attnbench.reports.data.values import CLOSE, FASTER, FEWEST_PROCESSES, SLOWER, FloatArray, floats, verdicts
from attnbench.reports.stats.statistics import IntArray, Interval, interval
from attnbench.variants import FLOOR

_LIKE_MEAN = 0.95
"""An error of at least this share of that of the mean of all values is hardly smaller."""


class Fastest(NamedTuple):
    """Fastest series at the length at which series are compared."""

    name: str
    case: pd.Series
    """Its row of the frame."""
    since: int
    """The length from which it stays the fastest up to there."""
    close: list[str]
    """Series that are not shown to be slower there; empty if there are too few processes to say."""


class Floor(NamedTuple):
    """What a layer takes that does not mix tokens, as shares of what the baseline takes at one length."""

    name: str
    against: str
    time: Interval
    """On the log scale."""
    peak: float
    """The share of the memory peak; NaN if either is missing."""


class Standing(NamedTuple):
    """Cases at one length, sorted by whether the interval of their speed-up is above, below or around 1."""

    faster: pd.DataFrame
    slower: pd.DataFrame
    close: pd.DataFrame
    """Cases that are not shown to differ from their baseline."""


class Kept(NamedTuple):
    """Bytes of cache or state that a series needs to decode."""

    name: str
    least: int
    """At the shortest length that passed."""
    most: int
    """At the longest."""


def fastest(frame: pd.DataFrame, log_ns: FloatArray, n: int) -> Fastest | None:
    """Return the fastest series of a setting at a length; None if no case passed.

    `log_ns` is the run's `paired_log_ns`.
    """
    passed = usable(frame[frame["seq_len"] <= n])
    if not len(passed):
        return None
    winners = _winners(passed)
    best = frame.loc[winners.iloc[-1]]
    name = "/".join(best[list(SERIES)])
    lost = winners.index[names(frame.loc[winners]) != name]
    since = int(winners.index[winners.index > lost.max()][0] if len(lost) else winners.index[0])
    leading = fastest_rows(frame[frame["seq_len"] == best["seq_len"]], log_ns)
    return Fastest(name, best, since, list(names(frame.loc[leading[1:]])))


def fastest_rows(frame: pd.DataFrame, log_ns: FloatArray) -> list[int]:
    """Return the row of the fastest of some cases, then those of cases that are not shown to be slower.

    A rival that shares fewer than three processes with the fastest is not shown to be slower. There are no rivals if
    the fastest has too few processes to say. `log_ns` is the run's `paired_log_ns`.
    """
    return _leaders(usable(frame)["time_ns"], log_ns)


def _leaders(time_ns: pd.Series, log_ns: FloatArray) -> list[int]:
    """Return the rows of `fastest_rows` from the times of usable cases."""
    if not len(time_ns):
        return []
    rows = time_ns.index.to_numpy()
    first = int(rows[floats(time_ns).argmin()])
    if np.isfinite(log_ns[first]).sum() < FEWEST_PROCESSES:
        return [first]
    rivals = rows[rows != first]
    # The interval of a difference within processes separates two series better than their own two intervals do.
    _, low, high, _ = interval(log_ns[rivals] - log_ns[first])
    return [first, *(int(row) for row in rivals[verdicts(np.exp(low), np.exp(high)) != FASTER])]


def usable(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the cases that passed; without those that are faster than the machine, unless there are no others.

    `by` names columns: this then holds for each of their values alone.
    """
    passed = frame[frame["status"] == "passed"]
    above = passed["flags"].str.contains(ABOVE_ROOF, regex=False)
    # A part of the frame for each value would copy all its columns each time.
    only = above.groupby([passed[name] for name in by]).transform("all") if by else bool(above.all())
    return passed[~above | only]


def _winners(passed: pd.DataFrame) -> pd.Series:
    """Return the row of the least time at each length."""
    return passed.groupby("seq_len")["time_ns"].idxmin()


def leading(frame: pd.DataFrame, log_ns: FloatArray) -> dict[int, frozenset[str]]:
    """Return for each length the series that are not shown to be slower than the fastest; see `fastest_rows`."""
    name = names(frame).to_dict()
    found = usable(frame, ["seq_len"]).groupby("seq_len")["time_ns"]
    return {cast(int, n): frozenset(name[row] for row in _leaders(times, log_ns)) for n, times in found}


def floors(frame: pd.DataFrame, log_ns: FloatArray, baseline_rows: IntArray, n: int) -> list[Floor]:
    """Compare each floor of a setting with its baseline at a length; `log_ns` is the run's `paired_log_ns`."""
    at = frame[(frame["family"] == FLOOR) & (frame["seq_len"] == n) & frame["speedup"].notna()]
    times = interval(log_ns[at.index] - log_ns[baseline_rows[at.index]])
    told = zip(names(at), at["baseline"], *times, at["peak_fraction"], strict=True)
    return [Floor(name, against, Interval(*time), float(peak)) for name, against, *time, peak in told]


def standing(frame: pd.DataFrame, n: int) -> Standing:
    """Sort the cases of a setting at a length by how they compare with their baseline."""
    at = frame[(frame["seq_len"] == n) & frame["speedup_low"].notna() & (names(frame) != frame["baseline"])]
    told = verdicts(at["speedup_low"], at["speedup_high"])
    return Standing(at[told == FASTER], at[told == SLOWER], at[told == CLOSE])


def errors(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the cases of a setting at a length that are not full attention, the smallest error against it first.

    `like_mean` is true if a case is hardly closer to full attention than the mean of all values.
    """
    at = frame[(frame["seq_len"] == n) & (frame["error_vs_full"] > 0)].sort_values("error_vs_full", kind="stable")
    return at.assign(like_mean=at["error_vs_full"] >= _LIKE_MEAN * at["error_of_mean"])


def kept(frame: pd.DataFrame) -> list[Kept]:
    """Return what the series of a setting keep to decode, the fewest bytes at the longest length first."""
    told = frame[frame["state_bytes"].notna()].assign(name=names).sort_values("seq_len", kind="stable")
    groups = told.groupby("name", sort=False)["state_bytes"]
    found = [Kept(str(name), int(each.iloc[0]), int(each.iloc[-1])) for name, each in groups]
    return sorted(found, key=lambda each: each.most)
