"""Results of a setting by length: the fastest series, the floor, comparisons with the baseline, memory, realised work.

A floor does not mix tokens. It is compared with the baseline, and left out of everything else.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import SERIES, names
from attnbench.reports.data.values import CLOSE, FASTER, SLOWER, FloatArray, verdicts
from attnbench.reports.stats.statistics import IntArray, Interval, interval
from attnbench.variants import FLOOR

_SAME = 0.005
"""Peaks that differ by less than this share of the baseline's count as equal."""
COST_AGREES = 0.15
"""Time grows as the stated cost if their exponents differ by at most this."""
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


class AgainstCost(NamedTuple):
    """Series with their rows of `scaling`, sorted by whether time grows as their stated cost."""

    agreeing: list[tuple[str, pd.Series]]
    slower: list[tuple[str, pd.Series]]
    """Time grows more slowly, the largest difference first."""
    faster: list[tuple[str, pd.Series]]


class Standing(NamedTuple):
    """Cases at one length, sorted by whether the interval of their speed-up is above, below or around 1."""

    faster: pd.DataFrame
    slower: pd.DataFrame
    close: pd.DataFrame
    """Cases that are not shown to differ from their baseline."""


class Peaks(NamedTuple):
    """Memory peaks at one length, each with its share of the baseline's, the smallest first."""

    baseline: str
    baseline_bytes: int
    less: list[tuple[str, float]]
    same: list[tuple[str, float]]
    more: list[tuple[str, float]]


class Kept(NamedTuple):
    """Bytes of cache or state that a series needs to decode."""

    name: str
    least: int
    """At the shortest length that passed."""
    most: int
    """At the longest."""


def fastest(frame: pd.DataFrame, log_ns: FloatArray, n: int) -> Fastest | None:
    """Return the fastest series of a setting at a length; None if no case passed. `log_ns` is that of the run."""
    passed = frame[(frame["status"] == "passed") & (frame["seq_len"] <= n)]
    if not len(passed):
        return None
    winners = passed.groupby("seq_len")["time_ns"].idxmin()
    best = frame.loc[winners.iloc[-1]]
    name = "/".join(best[list(SERIES)])
    lost = winners.index[names(frame.loc[winners]) != name]
    since = int(winners.index[winners.index > lost.max()][0] if len(lost) else winners.index[0])
    rivals = passed[(passed["seq_len"] == best["seq_len"]) & (passed.index != winners.iloc[-1])]
    # The interval of a difference within processes separates two series better than their own two intervals do.
    _, low, high, _ = interval(log_ns[rivals.index] - log_ns[winners.iloc[-1]])
    return Fastest(name, best, since, list(names(rivals)[verdicts(np.exp(low), np.exp(high)) == CLOSE]))


def floors(frame: pd.DataFrame, log_ns: FloatArray, baseline_rows: IntArray, n: int) -> list[Floor]:
    """Compare each floor of a setting with its baseline at a length; the arrays are those of the run."""
    at = frame[(frame["family"] == FLOOR) & (frame["seq_len"] == n) & frame["speedup"].notna()]
    times = interval(log_ns[at.index] - log_ns[baseline_rows[at.index]])
    told = zip(names(at), at["baseline"], *times, at["peak_fraction"], strict=True)
    return [Floor(name, against, Interval(*time), float(peak)) for name, against, *time, peak in told]


def standing(frame: pd.DataFrame, n: int) -> Standing:
    """Sort the cases of a setting at a length by how they compare with their baseline."""
    at = frame[(frame["seq_len"] == n) & frame["speedup_low"].notna() & (names(frame) != frame["baseline"])]
    told = verdicts(at["speedup_low"], at["speedup_high"])
    return Standing(at[told == FASTER], at[told == SLOWER], at[told == CLOSE])


def peaks(frame: pd.DataFrame, n: int) -> Peaks | None:
    """Compare the memory peaks of a setting at a length; None if the baseline has none."""
    at = frame[(frame["seq_len"] == n) & frame["peak_fraction"].notna()].sort_values("peak_fraction", kind="stable")
    own = at[names(at) == at["baseline"]]
    if not len(own):
        return None
    shares = [each for each in zip(names(at), at["peak_fraction"], strict=True) if each[0] not in set(at["baseline"])]
    same = [each for each in shares if abs(each[1] - 1) < _SAME]
    less, more = ([each for each in shares if each not in same and (each[1] < 1) is below] for below in (True, False))
    return Peaks(str(own["baseline"].iloc[0]), int(own["peak_bytes"].iloc[0]), less, same, more)


def fits(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the cases of a setting at a length of which it is known how long they may get, the shortest first."""
    return frame[(frame["seq_len"] == n) & frame["fits_up_to"].notna()].sort_values("fits_up_to", kind="stable")


def against_cost(growth: list[tuple[str, pd.Series]]) -> AgainstCost:
    """Compare how time and stated cost grow, for series that mix tokens and state FLOPs."""
    known = [each for each in growth if each[1]["family"] != FLOOR and not math.isnan(_excess(each[1]))]
    known.sort(key=lambda each: -abs(_excess(each[1])))
    off = [each for each in known if abs(_excess(each[1])) > COST_AGREES]
    slower = [each for each in off if _excess(each[1]) < 0]
    return AgainstCost(
        [each for each in known if abs(_excess(each[1])) <= COST_AGREES],
        slower,
        [each for each in off if _excess(each[1]) > 0],
    )


def _excess(row: pd.Series) -> float:
    """Return by how much the exponent of time is above that of the stated cost."""
    return float(row["last_time_exponent"] - row["cost_exponent"])


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


def realised(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the cases of a setting at a length that save work, the smallest realised share first."""
    at = frame[(frame["seq_len"] == n) & (frame["bound_speedup"] > 1)].dropna(subset=["realised"])
    return at.sort_values("realised", kind="stable")
