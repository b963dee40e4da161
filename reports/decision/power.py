"""Power of the two-stage procedure, and the smallest slow-down it finds with good power.

The model: a pair's log ratio is normal about the true change, with one spread in both stages. Then, given the spread
that a stage happens to estimate, the stage's t test and its floor are two thresholds on the same mean, of which the
larger counts; so the probability to pass is a normal probability, averaged over the chi distribution of the estimate.
That average is taken over equally likely quantiles. Both stages must pass, and they are independent.

Two small terms are left out, both of which would add power: a case flagged in the wrong direction and confirmed in the
right one, and the higher level that Holm allows once a smaller p value is rejected.
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
"""Stands for no spread at all, where the normal model has no density."""


class _Stage(NamedTuple):
    """One stage for C cases: Q equally likely thresholds on the mean log ratio `[C, Q]`, and the mean's error `[C]`."""

    threshold: FloatArray
    error: FloatArray


def power(slowdown: npt.ArrayLike, spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> FloatArray:
    """The probability that a case is called `regressed`.

    Args:
        slowdown: the true ratio minus 1, not negative.
        spread: standard deviation of a pair's log ratio.
        family: number of flagged cases, this one included.
        rule: the rule of the comparison.

    The first three broadcast to `[C]`.
    """
    return _power(_stages(spread, family, rule), np.log1p(np.asarray(slowdown, np.float64)))


def minimum_detectable(spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> FloatArray:
    """The smallest true slow-down, a ratio minus 1, that is called `regressed` with a power of 80 %.

    Arguments as in `power`; NaN where the spread is NaN. Found by bisection on the log scale. A smallest speed-up is
    its mirror: the ratio 1 / (1 + slow-down).
    """
    stages = _stages(spread, family, rule)
    high = np.max([stage.threshold.max(axis=-1) + 3 * stage.error for stage in stages], axis=0)
    low = np.zeros_like(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _power(stages, middle) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(np.expm1(high))


def detectable_at_once(error: FloatArray, freedom: FloatArray, rule: Rule) -> FloatArray:
    """The smallest true slow-down `[C]` that one stage over all that have an error calls with a power of 80 %, roughly.

    The t test of Holm's first step and the floor are two thresholds on the estimate, of which the larger counts; the
    estimate exceeds it by the 80 % quantile of t times its standard error.
    """
    level = rule.family_level / 2 / max(np.isfinite(error).sum(), 1)
    threshold = np.maximum(np.log1p(rule.floor), -special.stdtrit(freedom, level) * error)
    return np.asarray(np.expm1(threshold + special.stdtrit(freedom, POWER) * error))


def _stages(spread: npt.ArrayLike, family: npt.ArrayLike, rule: Rule) -> tuple[_Stage, _Stage]:
    known, flagged = np.broadcast_arrays(np.asarray(spread, np.float64), np.asarray(family, np.float64))
    known = np.maximum(known, _LEAST_SPREAD)
    return (
        _stage(known, rule.screen_pairs, np.asarray(rule.screen_level), rule.floor / 2),
        _stage(known, rule.confirm_pairs, rule.family_level / 2 / flagged, rule.floor),
    )


def _stage(spread: FloatArray, pairs: int, level: FloatArray, floor: float) -> _Stage:
    """A stage that passes when the t test rejects at the one-sided `level` and the estimate exceeds `floor`."""
    error = spread / np.sqrt(pairs)
    estimated = np.sqrt(special.chdtri(pairs - 1, _QUANTILES) / (pairs - 1))
    critical = -special.stdtrit(pairs - 1, level)
    return _Stage(np.maximum(np.log1p(floor), (critical * error)[..., None] * estimated), error)


def _power(stages: tuple[_Stage, _Stage], change: FloatArray) -> FloatArray:
    """The probability to pass both stages at a true log ratio `change [C]`."""
    passes = [special.ndtr((change[..., None] - each.threshold) / each.error[..., None]).mean(-1) for each in stages]
    return np.asarray(passes[0] * passes[1])
