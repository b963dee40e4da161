"""Error rates of a procedure, as a self-test counts them: bounds and intervals whose unit is the run.

Cases of one run share a machine and an hour, so their errors come together. What repeats independently is the run.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from attnbench.reports.stats import statistics


class Rate(NamedTuple):
    """A share of cases with its interval over runs; the bounds are NaN where the runs are too few."""

    share: float
    low: float
    high: float


def clopper_pearson_upper(k: int, n: int, level: float = 0.95) -> float:
    """The one-sided upper bound for a probability of which k of n independent trials are seen (Clopper-Pearson 1934).

    Exact: it is below the true probability in at most 1 - `level` of all repetitions. Without any false alarm in 59
    runs the bound is just below 5 %.

    Raises:
        ValueError: n is not positive, k is not in 0 .. n, or `level` is not between 0 and 1.
    """
    if not (0 <= k <= n and n > 0):
        raise ValueError(f"expected k of n with 0 <= k <= n and n > 0, found {k} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, found {level}")
    return 1.0 if k == n else float(special.betaincinv(k + 1, n - k, level))


def clustered_interval(covered: npt.NDArray[np.bool_]) -> Rate:
    """The share of cases `[runs, cases]` that are covered, with a 95 % t interval over the runs' own shares.

    The interval is cut off at 0 and 1, and has no width where every run has the same share: then use
    `clopper_pearson_upper` on runs.

    Raises:
        ValueError: the array is not `[runs, cases]`, or is empty.
    """
    if covered.ndim != 2 or covered.size == 0:
        raise ValueError(f"expected an array of runs by cases with at least one of each, found shape {covered.shape}")
    found = statistics.interval(covered.mean(axis=1))
    low, high = np.clip([found.low, found.high], 0.0, 1.0)
    return Rate(float(found.mean), float(low), float(high))
