"""Components of a case's spread on the log scale: between values, between processes, and drift.

C counts cases, P processes. The standard deviations are those of a one-way random-effects analysis of variance, a
process being a group: `log t = mean + b_process + w_value`.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from attnbench.reports.stats.statistics import FEWEST_PROCESSES, LEVEL, FloatArray, IntArray

PRECISION = 0.01
"""Half an interval's width that `needed_processes` aims at."""
_MOST_PROCESSES = 2**30


class Components(NamedTuple):
    """Standard deviations on the log scale `[C]`, NaN where the values do not tell."""

    within: FloatArray
    """Between the values of one process; needs a process with two values."""
    between: FloatArray
    """Between processes; 0 where the estimate of its square is negative."""


class Drift(NamedTuple):
    """Log change over the run `[C]`, and the p value of its t test; NaN below 3 processes."""

    change: FloatArray
    p_value: FloatArray


def components(values: Sequence[Sequence[float]], case: IntArray, cases: int) -> Components:
    """The components of variance of each of C cases.

    Args:
        values: the positive times of every sample; none may be empty.
        case: which case each sample belongs to, `[samples]`; a sample is one process.
        cases: C.
    """
    count = np.array([len(each) for each in values], np.float64)
    sample = np.repeat(np.arange(len(values)), count.astype(np.int64))
    logs = np.log(np.fromiter(chain.from_iterable(values), np.float64, sample.size))
    mean = np.asarray(np.bincount(sample, logs, len(values)) / count, np.float64)
    inside = np.asarray(np.bincount(sample, (logs - mean[sample]) ** 2, len(values)), np.float64)

    def total(each: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(case, each, cases), np.float64)

    processes, number = total(np.ones_like(count)), total(count)
    grand = _over(total(count * mean), number)
    across = total(count * (mean - grand[case]) ** 2)
    within = _over(total(inside), number - processes)
    size = _over(number - _over(total(count**2), number), processes - 1)
    between = _over(np.maximum(_over(across, processes - 1) - within, 0.0), size)
    return Components(np.sqrt(within), np.sqrt(between))


def drift(y: FloatArray) -> Drift:
    """The change from the first to the last process, by the least-squares line through process medians `[C, P]`.

    The t test has P - 2 degrees of freedom. Processes are evenly spaced; a NaN is one that is not there.
    """
    there = np.isfinite(y)
    count = there.sum(axis=1)
    place = np.where(there, np.arange(y.shape[1], dtype=np.float64), 0.0)
    value = np.where(there, y, 0.0)
    enough = count >= FEWEST_PROCESSES
    some = np.where(enough, count, np.nan)[:, None]
    place = np.where(there, place - place.sum(axis=1, keepdims=True) / some, 0.0)
    value = np.where(there, value - value.sum(axis=1, keepdims=True) / some, 0.0)
    squares = (place**2).sum(axis=1)
    slope = _over((place * value).sum(axis=1), squares)
    left = ((value - slope[:, None] * place) ** 2).sum(axis=1)
    error = np.sqrt(_over(_over(left, some[:, 0] - 2), squares))
    span = np.ptp(place, axis=1) if y.shape[1] else np.zeros(len(y))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(slope == 0, 0.0, np.abs(slope) / error)
    return Drift(slope * span, 2 * stdtr(np.where(enough, count - 2, 1), -t))


def needed_processes(y: FloatArray) -> FloatArray:
    """The fewest processes whose t interval would be at most +-1 %, at the spread of the medians `[C, P]`.

    `t(P - 1) s / sqrt(P) <= log(1.01)`, at least 3. NaN below 3 processes: their spread says too little.
    """
    there = np.isfinite(y)
    count = there.sum(axis=1)
    enough = count >= FEWEST_PROCESSES
    mean = np.where(there, y, 0.0).sum(axis=1) / np.where(enough, count, np.nan)
    squares = np.where(there, y - mean[:, None], 0.0) ** 2
    sd = np.sqrt(squares.sum(axis=1) / np.where(enough, count - 1, np.nan))
    low, high = np.full(len(y), FEWEST_PROCESSES), np.full(len(y), _MOST_PROCESSES)
    while (low < high).any():
        middle = (low + high) // 2
        fits = stdtrit(middle - 1, (1 + LEVEL) / 2) * sd / np.sqrt(middle) <= np.log1p(PRECISION)
        low, high = np.where(fits, low, middle + 1), np.where(fits, middle, high)
    return np.where(enough, low, np.nan)


def _over(above: FloatArray, below: FloatArray) -> FloatArray:
    """Elementwise ratio, NaN where nothing is left to divide by."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))
