"""Crossover: the point from which one series is faster than another."""

import math
from typing import NamedTuple

import numpy as np

from attnbench.reports.stats.statistics import FloatArray, crossings, interval

ALWAYS, NEVER, CROSSES, UNCLEAR = "always", "never", "crosses", "unclear"
"""How a series compares with its baseline: faster at every measured point, not faster at the last, or faster from some
point on. `UNCLEAR`: the processes disagree about which of these it is."""


class Crossover(NamedTuple):
    """Comparison of a series with another and, if they cross, the point from which it is faster, with its interval."""

    kind: str
    """`ALWAYS`, `NEVER`, `CROSSES`, `UNCLEAR`, or empty if there was nothing to compare."""
    at: float = math.nan
    low: float = math.nan
    high: float = math.nan
    processes: int = 0
    crossing_processes: int = 0
    always_processes: int = 0
    """Processes in which it is faster at every point. In those counted by neither, it is not faster at the last."""


def crossover(x: FloatArray, difference: FloatArray) -> Crossover:
    """Find the point from which a series stays faster, up to the last point.

    `x [K]` is positive and ascending. `difference [K, P]` is log time minus that of the other series, per process.
    Between points it is interpolated linearly in log x.
    """
    log_x = crossings(np.log(x), difference)
    log_x = log_x[~np.isnan(log_x)]
    # A mean and an interval exist only if all processes cross: infinite crossings have none.
    crossed = np.isfinite(log_x)
    if not len(log_x):
        return Crossover("")
    if crossed.all():
        at, low, high = (float(np.exp(each)) for each in interval(log_x)[:3])
        return Crossover(CROSSES, at, low, high, len(log_x), len(log_x))
    always = log_x == -np.inf
    kind = ALWAYS if always.all() else NEVER if (log_x == np.inf).all() else UNCLEAR
    return Crossover(
        kind, processes=len(log_x), crossing_processes=int(crossed.sum()), always_processes=int(always.sum())
    )


def limit(x: FloatArray, difference: FloatArray) -> Crossover:
    """Find the point up to which a series is faster, from the first point on. Arguments are those of `crossover`."""
    # In 1/x, from the last point to the first, this is a crossover.
    found = crossover(1 / x[::-1], difference[::-1])
    return found._replace(at=1 / found.at, low=1 / found.high, high=1 / found.low)
