"""Power of the two-stage procedure, and the smallest slow-down that it finds with good power.

The model: the log ratio of a pair is normal around the true change, with the same spread in both stages. Given a
stage's estimate of the spread, its t test and its floor are two thresholds on the same mean, and the larger one counts.
So the probability to pass a stage is a normal probability, averaged over the chi distribution of the estimated spread.
The average is taken over equally likely quantiles. Both stages must pass, and they are independent.

Two small terms are left out. Both would add power: a case that is flagged in the wrong direction and confirmed in the
right one, and the higher level that Holm's correction allows after a smaller p value is rejected.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from attnbench.reports.decision.rule import Rule
from attnbench.reports.stats.statistics import FloatArray

POWER = 0.80
"""The power at which a slow-down counts as detectable."""
_QUANTILES = (np.arange(64) + 0.5) / 64
_HALVINGS = 24
_LEAST_SPREAD = 1e-9
"""Replaces a spread of 0, at which the normal model divides by 0."""


class _Stage(NamedTuple):
    """Stage for C cases: Q equally likely thresholds on the mean log ratio `[C, Q]`, and the mean's error `[C]`."""

    threshold: FloatArray
    error: FloatArray


def power(slowdown: npt.ArrayLike, spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> FloatArray:
    """Return the probability that a case is called `regressed`.

    Args:
        slowdown: the true ratio minus 1, not negative.
        spread: standard deviation of a pair's log ratio.
        family: number of flagged cases, this one included.
        rule: the rule of the comparison.

    The first three broadcast to `[C]`.
    """
    return _power(_stages(spread, family, rule), np.log1p(np.asarray(slowdown, np.float64)))


def minimum_detectable(spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> FloatArray:
    """Return the smallest true slow-down, a ratio minus 1, that is called `regressed` with a power of 80 %.

    Arguments are those of `power`; the result is NaN if the spread is. It is found by bisection on the log scale. The
    smallest speed-up mirrors it: the ratio 1 / (1 + slow-down).
    """
    stages = _stages(spread, family, rule)
    # Three errors above the highest threshold, both stages pass almost surely: bisection starts there.
    high = np.max([stage.threshold.max(axis=-1) + 3 * stage.error for stage in stages], axis=0)
    low = np.zeros_like(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _power(stages, middle) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(np.expm1(high))


def detectable_at_once(error: FloatArray, freedom: FloatArray, rule: Rule) -> FloatArray:
    """Estimate the smallest true slow-down `[C]` that one stage, over all cases with an error, calls with 80 % power.

    The t test of Holm's first step and the floor are two thresholds on the estimate, and the larger one counts. The
    slow-down is above it by the 80 % quantile of t times the standard error.
    """
    # Holm's first step is Bonferroni: the level over the number of cases. Half of it for each direction.
    level = rule.family_level / 2 / max(np.isfinite(error).sum(), 1)
    threshold = np.maximum(np.log1p(rule.floor), -special.stdtrit(freedom, level) * error)
    return np.asarray(np.expm1(threshold + special.stdtrit(freedom, POWER) * error))


def _stages(spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> tuple[_Stage, _Stage]:
    """Return both stages for C cases; their levels are one-sided."""
    known, flagged = np.broadcast_arrays(np.asarray(spread, np.float64), np.asarray(family, np.float64))
    known = np.maximum(known, _LEAST_SPREAD)
    return (
        _stage(known, rule.screen_pairs, np.asarray(rule.screen_level), rule.floor / 2),
        _stage(known, rule.confirm_pairs, rule.family_level / 2 / flagged, rule.floor),
    )


def _stage(spread: FloatArray, pairs: int, level: FloatArray, floor: float) -> _Stage:
    """Return a stage that passes if the t test rejects at the one-sided `level` and the estimate exceeds `floor`."""
    error = spread / np.sqrt(pairs)
    # Quantiles of the estimated spread over the true one: chi over the root of its degrees of freedom.
    estimated = np.sqrt(special.chdtri(pairs - 1, _QUANTILES) / (pairs - 1))
    critical = -special.stdtrit(pairs - 1, level)
    return _Stage(np.maximum(np.log1p(floor), (critical * error)[..., None] * estimated), error)


def _power(stages: tuple[_Stage, _Stage], change: FloatArray) -> FloatArray:
    """Return the probability to pass both stages at a true log ratio `change [C]`."""
    passes = [special.ndtr((change[..., None] - each.threshold) / each.error[..., None]).mean(-1) for each in stages]
    return np.asarray(passes[0] * passes[1])
