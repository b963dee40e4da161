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
"""A case is noisy if half of its interval is wider than this."""
DRIFTING = 0.02
"""A case drifts if its time changes by more than this over the run, and significantly."""
DRIFT_LEVEL = 0.01
"""Level of the drift's t test."""
MEMORY_OFF = 0.10
"""Measured and predicted peak may differ by this share."""
FEWEST_FOR_MODES = 10
"""With fewer processes than this, two modes cannot be told from chance."""
MODE_SHARE = 0.5
"""A gap must hold more than this share of the range of process times. Less than 1 % of normal samples of 10 have it."""
MODE_GAP = 0.02
"""The smallest gap, as a ratio minus 1, that is flagged."""
_MODE_SIZE = 2


class Meaning(NamedTuple):
    """Meaning of a flag, and the advice that goes with it."""

    says: str
    do: str


ABOVE_ROOF = "above_roof"

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
    ABOVE_ROOF: Meaning(
        "more FLOP/s than 105 % of the fastest matrix product measured beside it, even at the interval's low end",
        "an error of ours: do not use the number, and report the case",
    ),
    "memory_off": Meaning(
        "peak memory is more than 10 % off its prediction",
        "trust the measured peak; predictions of longer cases may be off too",
    ),
    "oversubscribed": Meaning(
        "more threads than the process may use cores, so threads wait for each other",
        "take at most as many threads as cores, or threads: auto",
    ),
}
"""Every flag, in the order in which a case lists them."""


def words(raised: Mapping[str, BoolArray], cases: int) -> list[str]:
    """Return the flags of each case, separated by spaces; each array of `raised` is `[cases]`."""
    return [" ".join(flag for flag in MEANINGS if flag in raised and raised[flag][i]) for i in range(cases)]


def carrying(frame: pd.DataFrame, flag: str) -> pd.DataFrame:
    """Return the cases of a frame that have a flag."""
    return frame[[flag in told.split() for told in frame["flags"]]]


def noisy(time: Interval) -> BoolArray:
    """Return which cases have half an interval above 5 %."""
    return np.asarray(np.sqrt(np.exp(time.high - time.low)) - 1 > NOISY)


def drifting(found: Drift) -> BoolArray:
    """Return which cases change over the run significantly and by more than 2 %."""
    return np.asarray((found.p_value < DRIFT_LEVEL) & (np.abs(found.change) > np.log1p(DRIFTING)))


def bimodal(y: FloatArray) -> BoolArray:
    """Return which cases have process times `y [C, P]` in two groups; NaN marks a missing process.

    A case needs at least 10 processes. The largest gap between its sorted times, with at least two on either side (a
    single outlier is no mode), must be above 2 % and above half of their range.
    """
    found = np.zeros(len(y), np.bool_)
    for case, row in enumerate(y):
        ordered = np.sort(row[np.isfinite(row)])
        if ordered.size >= FEWEST_FOR_MODES:
            gap = np.diff(ordered)[_MODE_SIZE - 1 : 1 - _MODE_SIZE].max()
            found[case] = gap > max(MODE_SHARE * (ordered[-1] - ordered[0]), np.log1p(MODE_GAP))
    return found


def memory_off(peak_bytes: FloatArray, predicted_bytes: FloatArray) -> BoolArray:
    """Return which cases have a peak more than 10 % above or below its prediction; never where either is NaN."""
    return np.asarray(np.abs(peak_bytes - predicted_bytes) > MEMORY_OFF * predicted_bytes)
