"""Error rates counted by a self-test, with bounds and intervals over runs.

Cases of one run share a machine and an hour, so their errors are not independent. Runs are.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from attnbench.reports.stats import statistics


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
    found = statistics.interval(covered.mean(axis=1))
    low, high = np.clip([found.low, found.high], 0.0, 1.0)
    return Rate(float(found.mean), float(low), float(high))
