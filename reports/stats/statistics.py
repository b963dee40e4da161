"""Statistics over processes, as pure functions on arrays of log times.

On the log scale a ratio of times is a difference, and errors are relative.

A process gives one number for a case: a quantile of its log times. Intervals are taken over processes, because values
within a process share its memory layout, threads and caches and so are not independent. P counts processes, K lengths.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.optimize import nnls
from scipy.special import stdtrit

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVEL = 0.95
"""The confidence of every interval."""
FEWEST_PROCESSES = 3
"""The fewest processes that give an interval."""
FEWEST_LENGTHS = 3
"""The fewest lengths that give a growth exponent."""
OCTAVES = 3
"""The growth exponent is fitted over this many of the longest octaves."""


class Interval(NamedTuple):
    """Means over processes with their Student t intervals; NaN if there are too few processes."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    processes: IntArray
    """The number of processes of each mean."""


def log_quantiles(values: Sequence[Sequence[float]], quantile: float) -> FloatArray:
    """Return a quantile of the logarithms of each sequence of positive numbers, interpolated linearly.

    No sequence may be empty.
    """
    # One sort of all values, by sequence and then by size. Runs have up to 100,000 sequences: a loop would be slow.
    lengths = np.array([len(each) for each in values], np.int64)
    flat = np.fromiter(chain.from_iterable(values), np.float64, int(lengths.sum()))
    ordered = np.log(flat[np.lexsort((flat, np.repeat(np.arange(len(lengths)), lengths)))])
    start = np.cumsum(lengths) - lengths
    place = quantile * (lengths - 1)
    below = np.floor(place).astype(np.int64)
    low, high = ordered[start + below], ordered[start + np.ceil(place).astype(np.int64)]
    return np.asarray(low + (place - below) * (high - low))


def interval(y: FloatArray) -> Interval:
    """Return mean and t interval over the last axis of `y [..., P]`; NaN marks a missing process."""
    there = np.isfinite(y)
    count = there.sum(axis=-1)
    # Not `nanmean`, which warns if all processes are missing.
    some = np.where(count > 0, count, 1)
    mean = np.where(count > 0, np.where(there, y, 0.0).sum(axis=-1) / some, np.nan)
    squares = np.where(there, y - mean[..., None], 0.0) ** 2
    enough = count >= FEWEST_PROCESSES
    freedom = np.where(enough, count - 1, 1)
    error = np.sqrt(squares.sum(axis=-1) / freedom / some)
    half = np.where(enough, stdtrit(freedom, (1 + LEVEL) / 2) * error, np.nan)
    return Interval(mean, mean - half, mean + half, count)


def longest_octaves(n: IntArray, octaves: int = OCTAVES) -> npt.NDArray[np.bool_]:
    """Return which of the lengths `n [K]` lie in the longest octaves, over which growth is fitted; none if too few do.

    Short lengths are left out, because fixed costs of a call flatten their slope.
    """
    chosen = n * 2**octaves >= n.max(initial=0)
    return np.asarray(chosen & (np.unique(n[chosen]).size >= FEWEST_LENGTHS))


def slopes(log_n: FloatArray, y: FloatArray) -> FloatArray:
    """Return the least-squares slope of each column of `y [K, P]` against `log_n [K]`; NaN if a value is missing."""
    centred = log_n - log_n.mean()
    return np.asarray((centred[:, None] * y).sum(axis=0) / (centred**2).sum())


def parabola(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the coefficients of `y [K]` as `a + b x + c x^2`, none below 0, with the least squares of relative errors.

    Both are positive.
    """
    scale = float(x.max())
    relative = np.stack([np.ones_like(x), x / scale, (x / scale) ** 2], axis=1) / y[:, None]
    return np.asarray(nnls(relative, np.ones_like(y))[0] / scale ** np.arange(3.0))


class Rate(NamedTuple):
    """Share of cases with its interval over runs; the bounds are NaN if there are too few runs."""

    share: float
    low: float
    high: float


def clopper_pearson_upper(k: int, n: int, level: float = 0.95) -> float:
    """Return the one-sided upper bound of a probability after k of n independent trials (Clopper-Pearson 1934).

    It is exact: it is below the true probability in at most 1 - `level` of all repetitions. For example, 59 runs
    without a false alarm give a bound just below 5 %.

    Raises:
        ValueError: n is not positive, k is not in 0 .. n, or `level` is not between 0 and 1.
    """
    if not (0 <= k <= n and n > 0):
        raise ValueError(f"expected k of n with 0 <= k <= n and n > 0, found {k} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, found {level}")
    # The bound is a quantile of the beta distribution with k + 1 and n - k.
    return 1.0 if k == n else float(special.betaincinv(k + 1, n - k, level))


def clustered_interval(covered: npt.NDArray[np.bool_]) -> Rate:
    """Return the share of `covered [runs, cases]` that is true, with a 95 % t interval over the shares of runs.

    The interval is clipped to 0 and 1. It has no width if all runs have the same share; use `clopper_pearson_upper`
    on runs then.

    Raises:
        ValueError: the array is not `[runs, cases]`, or is empty.
    """
    if covered.ndim != 2 or covered.size == 0:
        raise ValueError(f"expected an array of runs by cases with at least one of each, found shape {covered.shape}")
    found = interval(covered.mean(axis=1))
    low, high = np.clip([found.low, found.high], 0.0, 1.0)
    return Rate(float(found.mean), float(low), float(high))
