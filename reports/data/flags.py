"""Flags that mark a case's numbers as doubtful. Flagged cases are kept."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from attnbench.reports.stats.spread import Drift
from attnbench.reports.stats.statistics import FloatArray, Interval

BoolArray = npt.NDArray[np.bool_]

NOISY = 0.05
"""Half an interval's width from which on a case is noisy."""
DRIFTING = 0.02
"""The change over the run from which on a case drifts, if it is significant."""
DRIFT_LEVEL = 0.01
MEMORY_OFF = 0.10
"""The share by which measured and predicted peak may differ."""
FEWEST_FOR_MODES = 10
"""Processes below which two modes cannot be told from chance."""
MODE_SHARE = 0.5
"""The share of the range of process medians that an empty gap must hold: in less than 1 % of normal samples it does."""
MODE_GAP = 0.02
"""The smallest gap, as a ratio minus 1, that is worth a word."""
_MODE_SIZE = 2


class Meaning(NamedTuple):
    """What a flag says, and what to do about it."""

    says: str
    do: str


MEANINGS: Mapping[str, Meaning] = {
    "noisy": Meaning("half of the 95 % interval is above 5 %", "more processes (--rigorous), or a quieter machine"),
    "drifting": Meaning(
        "time changed by more than 2 % over the run (t test, 1 %)", "see bench doctor (clocks, heat, load); run again"
    ),
    "not_steady": Meaning(
        "in some process times still changed when warm-up ended", "see bench doctor (load, clocks); run again"
    ),
    "throttled": Meaning("the device lowered its clock while it was timed", "cool it, or lock its clocks; run again"),
    "bimodal": Meaning(
        "processes fall into two groups, half of the range empty between them",
        "do not trust the mean; look at the values in samples.jsonl, and at thread placement",
    ),
    "above_roof": Meaning(
        "more FLOP/s than 105 % of the fastest matrix product measured beside it, even at the interval's low end",
        "an error of ours: do not use the number, and report the case",
    ),
    "memory_off": Meaning(
        "peak memory is more than 10 % off its prediction",
        "trust the measured peak; predictions of longer cases may be off too",
    ),
}
"""Every flag, in the order in which a case carries them."""


def words(raised: Mapping[str, BoolArray], cases: int) -> list[str]:
    """The flags of each case, separated by spaces; `raised [cases]` by flag."""
    return [" ".join(flag for flag in MEANINGS if flag in raised and raised[flag][i]) for i in range(cases)]


def carrying(frame: pd.DataFrame, flag: str) -> pd.DataFrame:
    """The cases of a frame that carry a flag."""
    return frame[[flag in told.split() for told in frame["flags"]]]


def noisy(time: Interval) -> BoolArray:
    """Cases with half an interval above 5 %."""
    return np.asarray(np.sqrt(np.exp(time.high - time.low)) - 1 > NOISY)


def drifting(found: Drift) -> BoolArray:
    """Cases whose change over the run is significant and above 2 %."""
    return np.asarray((found.p_value < DRIFT_LEVEL) & (np.abs(found.change) > np.log1p(DRIFTING)))


def bimodal(y: FloatArray) -> BoolArray:
    """Cases whose process medians `[C, P]` fall into two groups; a NaN is a process that is not there.

    From 10 processes on: the largest gap between sorted medians with at least two on either side (a lone outlier is no
    mode) holds more than half of their range, and more than 2 %.
    """
    found = np.zeros(len(y), np.bool_)
    for case, row in enumerate(y):
        ordered = np.sort(row[np.isfinite(row)])
        if ordered.size >= FEWEST_FOR_MODES:
            gap = np.diff(ordered)[_MODE_SIZE - 1 : 1 - _MODE_SIZE].max()
            found[case] = gap > max(MODE_SHARE * (ordered[-1] - ordered[0]), np.log1p(MODE_GAP))
    return found


def memory_off(peak_bytes: FloatArray, predicted_bytes: FloatArray) -> BoolArray:
    """Cases whose measured peak is more than 10 % above or below its prediction; NaN where there is none."""
    return np.asarray(np.abs(peak_bytes - predicted_bytes) > MEMORY_OFF * predicted_bytes)
