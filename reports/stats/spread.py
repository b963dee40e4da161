"""Spread of a case on the log scale: between values, between processes, and drift.

The standard deviations come from a one-way random-effects analysis of variance with processes as groups:
`log t = mean + b_process + w_value`. C counts cases, P processes.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from attnbench.reports.stats.statistics import FEWEST_PROCESSES, LEVEL, FloatArray, IntArray

PRECISION = 0.01
"""Half of the interval's width that `needed_processes` aims at, as a ratio minus 1."""
_MOST_PROCESSES = 2**30


class Components(NamedTuple):
    """Standard deviations on the log scale `[C]`; NaN if there are too few values."""

    within: FloatArray
    """Between values of a process. It needs a process with two values."""
    between: FloatArray
    """Between processes; 0 if the estimate of its square is negative."""


class Drift(NamedTuple):
    """Log change over the run `[C]`, and the p value of its t test; NaN with fewer than 3 processes."""

    change: FloatArray
    p_value: FloatArray


def components(values: Sequence[Sequence[float]], case: IntArray, cases: int) -> Components:
    """Estimate the components of variance of C cases, by the method of moments for groups of unequal size.

    Args:
        values: positive times of each sample; none may be empty.
        case: the case of each sample, `[samples]`; a sample is one process.
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
    # The effective number of values per process: their mean if all have equally many, less if they do not.
    size = _over(number - _over(total(count**2), number), processes - 1)
    between = _over(np.maximum(_over(across, processes - 1) - within, 0.0), size)
    return Components(np.sqrt(within), np.sqrt(between))


def drift(y: FloatArray) -> Drift:
    """Fit a line through process times `y [C, P]` and return its change from the first to the last process.

    Processes are taken as evenly spaced; NaN marks a missing one. The t test has P - 2 degrees of freedom.
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
    # Points exactly on a line have no error: t is then infinite, or 0 if the line is flat.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(slope == 0, 0.0, np.abs(slope) / error)
    return Drift(slope * span, 2 * stdtr(np.where(enough, count - 2, 1), -t))


def needed_processes(y: FloatArray) -> FloatArray:
    """Return the fewest processes whose t interval would be at most +-1 %, given the spread of `y [C, P]`.

    This is the smallest P >= 3 with `t(P - 1) s / sqrt(P) <= log(1.01)`. It is NaN with fewer than 3 processes, whose
    spread says too little.
    """
    there = np.isfinite(y)
    count = there.sum(axis=1)
    enough = count >= FEWEST_PROCESSES
    mean = np.where(there, y, 0.0).sum(axis=1) / np.where(enough, count, np.nan)
    squares = np.where(there, y - mean[:, None], 0.0) ** 2
    sd = np.sqrt(squares.sum(axis=1) / np.where(enough, count - 1, np.nan))
    # Bisection, because t depends on P too. The half width falls with P, so the smallest P is found.
    low, high = np.full(len(y), FEWEST_PROCESSES), np.full(len(y), _MOST_PROCESSES)
    while (low < high).any():
        middle = (low + high) // 2
        fits = stdtrit(middle - 1, (1 + LEVEL) / 2) * sd / np.sqrt(middle) <= np.log1p(PRECISION)
        low, high = np.where(fits, low, middle + 1), np.where(fits, middle, high)
    return np.where(enough, low, np.nan)


def _over(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return the elementwise ratio; NaN if the divisor is not positive."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))
