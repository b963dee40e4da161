"""What pairs of processes say about each case: means, intervals and t tests on the log scale.

A pair gives one number for a case, `d = log(time_B / time_A)`. Cases may differ in their number of pairs; C counts
cases. Without any spread the mean counts as exact: a t statistic is then infinite, or 0 at no distance.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from attnbench.reports import statistics
from attnbench.reports.statistics import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_LARGEST = 100.0
"""A log ratio beyond this is no ratio of two times: e to the 100 is 43 powers of ten."""


class Estimates(NamedTuple):
    """Mean log ratios with their 95 % t intervals, each `[C]`; NaN where the pairs are too few."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    error: FloatArray
    """Standard error of the mean."""
    pairs: IntArray

    def spread(self) -> FloatArray:
        """Standard deviation of a pair's log ratio."""
        return np.asarray(self.error * np.sqrt(self.pairs))

    def p_values(self) -> FloatArray:
        """Two-sided p values of the t tests for any change."""
        return np.asarray(2 * special.stdtr(self.pairs - 1, -np.abs(_t(self.mean, self.error))))

    def within(self, change: float, level: float) -> BoolArray:
        """Whether two one-sided t tests at `level` each show a change smaller than `change`, a ratio minus 1."""
        margin = np.log1p(change) - np.abs(self.mean)
        return np.asarray(special.stdtr(self.pairs - 1, -_t(margin, self.error)) <= level)


def estimates(pairs: Mapping[str, FloatArray], stage: str) -> Estimates:
    """What the pairs of each case say, in the order of the mapping; `stage` is their name in an error.

    Raises:
        ValueError: something is not a finite log ratio.
    """
    for case, values in pairs.items():
        _refuse_strange(case, values, stage)
    padded = np.full((len(pairs), max(map(len, pairs.values()), default=0)), np.nan)
    for row, values in zip(padded, pairs.values(), strict=True):
        row[: len(values)] = values
    mean, low, high, count = statistics.interval(padded)
    widths = 2 * special.stdtrit(np.maximum(count - 1, 1), (1 + statistics.LEVEL) / 2)
    return Estimates(mean, low, high, (high - low) / widths, count)


def _t(distance: FloatArray, error: FloatArray) -> FloatArray:
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
