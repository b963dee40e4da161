"""What the lengths of a setting show: the fastest series, how others stand to the baseline, memory, realised work."""

from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.settings import SERIES, names
from attnbench.reports.data.values import FEWEST_PROCESSES, FloatArray
from attnbench.reports.stats.statistics import interval

_SAME = 0.005
"""Peaks closer than this share of the baseline's are called as much."""


class Fastest(NamedTuple):
    """The fastest series at the longest length at which any passed."""

    name: str
    case: pd.Series
    """Its row of the frame."""
    since: int
    """The length from which on it is the fastest."""
    close: list[str]
    """The series that cannot be told from it there; none where there are too few processes to say."""


class Standing(NamedTuple):
    """Cases at one length by how they stand to their baseline, as far as their intervals tell."""

    faster: pd.DataFrame
    slower: pd.DataFrame
    close: pd.DataFrame
    """Those that cannot be told from it."""


class Peaks(NamedTuple):
    """Peaks of memory at one length against the baseline's, the smallest first, each with its share of it."""

    baseline: str
    baseline_bytes: int
    less: list[tuple[str, float]]
    same: list[tuple[str, float]]
    more: list[tuple[str, float]]


def fastest(frame: pd.DataFrame, log_ns: FloatArray) -> Fastest | None:
    """The fastest of a setting; nothing where no case passed. `log_ns` is that of the run."""
    passed = frame[frame["status"] == "passed"]
    if not len(passed):
        return None
    winners = passed.groupby("seq_len")["time_ns"].idxmin()
    best = frame.loc[winners.iloc[-1]]
    name = "/".join(best[list(SERIES)])
    lost = winners.index[names(frame.loc[winners]) != name]
    since = int(winners.index[winners.index > lost.max()][0] if len(lost) else winners.index[0])
    rivals = passed[(passed["seq_len"] == best["seq_len"]) & (passed.index != winners.iloc[-1])]
    apart = interval(log_ns[rivals.index] - log_ns[winners.iloc[-1]])
    enough = best["processes"] >= FEWEST_PROCESSES
    close = [rival for rival, low in zip(names(rivals), apart.low, strict=True) if enough and not low > 0]
    return Fastest(name, best, since, close)


def standing(frame: pd.DataFrame, n: int) -> Standing:
    """How the cases of a setting at a length stand to their baseline."""
    at = frame[(frame["seq_len"] == n) & frame["speedup_low"].notna() & (names(frame) != frame["baseline"])]
    faster, slower = at["speedup_low"] > 1, at["speedup_high"] < 1
    return Standing(at[faster], at[slower], at[~faster & ~slower])


def peaks(frame: pd.DataFrame, n: int) -> Peaks | None:
    """The peaks of a setting at a length; nothing where the baseline has none."""
    at = frame[(frame["seq_len"] == n) & frame["peak_fraction"].notna()].sort_values("peak_fraction", kind="stable")
    own = at[names(at) == at["baseline"]]
    if not len(own):
        return None
    shares = [each for each in zip(names(at), at["peak_fraction"], strict=True) if each[0] not in set(at["baseline"])]
    same = [each for each in shares if abs(each[1] - 1) < _SAME]
    less, more = ([each for each in shares if each not in same and (each[1] < 1) is below] for below in (True, False))
    return Peaks(str(own["baseline"].iloc[0]), int(own["peak_bytes"].iloc[0]), less, same, more)


def realised(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """The cases of a setting at a length that save work, by how much of it they realise, the least first."""
    at = frame[(frame["seq_len"] == n) & (frame["bound_speedup"] > 1)].dropna(subset=["realised"])
    return at.sort_values("realised", kind="stable")
