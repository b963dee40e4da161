"""Statistics of paired processes: means, intervals and t tests per case, on the log scale.

A pair gives one number for a case, `d = log(time_B / time_A)`. Cases may differ in their number of pairs; C counts
cases. A mean without any spread counts as exact: its t statistic is infinite, or 0 at distance 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from attnbench.reports.stats import statistics
from attnbench.reports.stats.statistics import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_LARGEST = 100.0
"""The largest plausible log ratio. e^100 is 43 powers of ten, which no two times differ by."""


class Estimates(NamedTuple):
    """Mean log ratios with their 95 % t intervals, each `[C]`; NaN if there are too few pairs."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    error: FloatArray
    """Standard error of the mean."""
    pairs: IntArray
    freedom: FloatArray
    """Degrees of freedom of the error; at least 1."""

    def spread(self) -> FloatArray:
        """Return the standard deviation of a pair's log ratio."""
        return np.asarray(self.error * np.sqrt(self.pairs))

    def p_values(self) -> FloatArray:
        """Return two-sided p values of t tests for any change."""
        return np.asarray(2 * special.stdtr(self.freedom, -np.abs(_t(self.mean, self.error))))

    def within(self, change: FloatArray | float) -> BoolArray:
        """Check whether the whole interval is nearer to 1 than `change`, a ratio minus 1, in either direction."""
        return np.asarray(np.maximum(-self.low, self.high) < np.log1p(change))


def estimates(pairs: Mapping[str, FloatArray], stage: str) -> Estimates:
    """Estimate the log ratio of each case from its pairs, in the order of the mapping; `stage` names them in errors.

    Raises:
        ValueError: a value is not a finite log ratio.
    """
    for case, values in pairs.items():
        _refuse_strange(case, values, stage)
    padded = np.full((len(pairs), max(map(len, pairs.values()), default=0)), np.nan)
    for row, values in zip(padded, pairs.values(), strict=True):
        row[: len(values)] = values
    return paired(padded)


def largest_shown(same: Mapping[str, FloatArray]) -> float:
    """Return the largest change, a ratio minus 1, that pairs of the same code show; 0 if every interval contains 0.

    A mean whose interval contains 0 does not count, because the intervals of all cases include such spread already. If
    there are too few pairs for an interval, the mean counts.
    """
    found = estimates(same, "same")
    explained = (found.low <= 0) & (found.high >= 0)
    return float(np.expm1(np.abs(np.where(explained, 0.0, found.mean)).max()))


def paired(differences: FloatArray) -> Estimates:
    """Estimate log ratios from paired differences of log times `[C, P]`; NaN marks a missing pair."""
    # `interval` gives the half width, t(P - 1) times the error. Divide t out to get the error.
    mean, low, high, count = statistics.interval(differences)
    freedom = np.maximum(count - 1, 1).astype(np.float64)
    widths = 2 * special.stdtrit(freedom, (1 + statistics.LEVEL) / 2)
    return Estimates(mean, low, high, (high - low) / widths, count, freedom)


def unpaired(a: FloatArray, b: FloatArray) -> Estimates:
    """Estimate log ratios from log times of A `[C, P]` and B `[C, Q]` that were measured apart: Welch's t (1947).

    NaN marks a missing process. `pairs` is the smaller number of processes.
    """
    # Two runs may differ in their spread and in their number of processes, so the variances are not pooled.
    one, other = statistics.interval(a), statistics.interval(b)
    variances = [_squared_error(each) for each in (one, other)]
    error = np.sqrt(variances[0] + variances[1])
    shares = [
        np.divide(variance**2, np.maximum(each.processes - 1, 1))
        for variance, each in zip(variances, (one, other), strict=True)
    ]
    # Welch-Satterthwaite: between the smaller of both degrees of freedom and their sum. 1 stands in without spread.
    below = shares[0] + shares[1]
    freedom = np.divide(error**4, below, out=np.ones_like(error), where=below > 0)
    mean, half = other.mean - one.mean, special.stdtrit(freedom, (1 + statistics.LEVEL) / 2) * error
    return Estimates(mean, mean - half, mean + half, error, np.minimum(one.processes, other.processes), freedom)


def _squared_error(found: statistics.Interval) -> FloatArray:
    """Return the squared standard error of each mean; NaN if there are too few processes."""
    freedom = np.maximum(found.processes - 1, 1)
    return np.asarray(((found.high - found.low) / 2 / special.stdtrit(freedom, (1 + statistics.LEVEL) / 2)) ** 2)


def _t(distance: FloatArray, error: FloatArray) -> FloatArray:
    """Return t statistics; without any error they are infinite, or 0 at distance 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / error)


def _refuse_strange(case: str, values: FloatArray, stage: str) -> None:
    if values.ndim != 1:
        raise ValueError(f"{case}: expected one number for each of the {stage} pairs, found shape {values.shape}")
    strange = values[~(np.abs(values) <= _LARGEST)]
    if strange.size:
        raise ValueError(
            f"{case}: expected log(time_B / time_A) of two measured times, found {strange[0]} "
            f"among the {stage} pairs; leave out a pair that was not measured"
        )
