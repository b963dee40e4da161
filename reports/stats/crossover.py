"""Who is faster at a point, and the point from which a series stays faster than another."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from attnbench.reports.stats.statistics import FEWEST_PROCESSES, FloatArray, interval

FASTER, SLOWER, CLOSE = "faster", "slower", "not distinguishable"
"""How a series compares with another at one point."""
ALWAYS, NEVER, CROSSES, UNCLEAR = "always", "never", "crosses", "unclear"
"""How a series compares with another over all points: faster at every one, slower at the last, or faster from some
point on. `UNCLEAR`: not distinguishable at the last point."""


def verdicts(low: npt.ArrayLike, high: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Return `FASTER`, `SLOWER` or `CLOSE` for each speed-up whose interval is `low` to `high`; empty without one.

    A series is faster if the whole interval is above 1, and slower if it is below. Every table, figure and sentence
    that says who is faster takes it from here.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return np.asarray(np.select([low > 1, high < 1, np.isfinite(low)], [FASTER, SLOWER, CLOSE], ""))


class Crossover(NamedTuple):
    """Comparison of a series with another and, if they cross, the point from which it is faster, with its interval."""

    kind: str
    """`ALWAYS`, `NEVER`, `CROSSES`, `UNCLEAR`, or empty if no point has an interval."""
    at: float = math.nan
    """NaN if it is before the first point, where the two are not distinguishable."""
    low: float = math.nan
    """Before this point it is slower. NaN if that is before the first point."""
    high: float = math.nan
    """From this point on it is faster."""
    first: float = math.nan
    """The first and the last point that were compared."""
    last: float = math.nan
    processes: int = 0
    """The fewest processes at a point that was compared; if none was, the most at any."""


def crossover(x: FloatArray, difference: FloatArray) -> Crossover:
    """Find the point from which a series stays faster, up to the last point.

    `x [K]` is positive and ascending. `difference [K, P]` is log time minus that of the other series, per process.
    Points with fewer than three processes are left out. Between points, the mean difference and both ends of its
    interval are interpolated linearly in log x. The result is where they cross 0 for the last time. So it agrees with
    `verdicts` at each point, and does not leave the range of the points.
    """
    found = interval(difference)
    there = found.processes >= FEWEST_PROCESSES
    if not there.any():
        return Crossover("", processes=int(found.processes.max(initial=0)))
    mean, low, high = (each[there] for each in found[:3])
    told = verdicts(np.exp(-high), np.exp(-low))
    first, last, processes = float(x[there][0]), float(x[there][-1]), int(found.processes[there].min())
    if (told == FASTER).all() or told[-1] != FASTER:
        kind = {FASTER: ALWAYS, SLOWER: NEVER, CLOSE: UNCLEAR}[str(told[-1])]
        return Crossover(kind, first=first, last=last, processes=processes)
    at, least, most = (_last_crossing(np.log(x[there]), each) for each in (mean, low, high))
    return Crossover(CROSSES, at, least, most, first, last, processes)


def limit(x: FloatArray, difference: FloatArray) -> Crossover:
    """Find the point up to which a series is faster, from the first point on. Arguments are those of `crossover`."""
    # In 1/x, from the last point to the first, this is a crossover.
    found = crossover(1 / x[::-1], difference[::-1])
    return found._replace(
        at=1 / found.at, low=1 / found.high, high=1 / found.low, first=1 / found.last, last=1 / found.first
    )


def _last_crossing(log_x: FloatArray, y: FloatArray) -> float:
    """Return the x from which `y [K]` stays below 0; NaN if it is everywhere. Its last value is below 0."""
    above = np.flatnonzero(y >= 0)
    if not len(above):
        return math.nan
    before = above[-1]
    share = y[before] / (y[before] - y[before + 1])
    return float(np.exp(log_x[before] + share * (log_x[before + 1] - log_x[before])))
