"""The decision of an A/B comparison, as a pure function of its pairs.

Two arms, A (the base) and B (the head), are measured in pairs of fresh processes. A pair gives one number per case,
`d = log(time_B / time_A)`; positive is slower. There are two stages. *Screening* measures every case with few pairs
and flags those that look changed. *Confirming* measures the flagged cases with new pairs, and judges them by these
alone.

Properties, for any number of cases:

- **False calls.** If the arms are equal, the probability that a run calls any case `regressed` or `improved` is at
  most `family_level`. The confirming pairs are independent of the screening pairs, which alone decide what is flagged.
  So each t test on confirming pairs keeps its level, and Holm's correction (1979) over the flagged cases keeps the
  family's, however the cases depend on each other. A test on the pairs that flagged a case would use numbers that were
  selected for being large. The floor only removes calls.
- **Unchanged** is shown, never assumed: the whole 95 % interval lies within `equivalence`, per case. So the interval
  that a report prints shows the verdict. This is the same as two one-sided t tests (Schuirmann 1987) at 2.5 % each. If
  a change is as large as the margin, it is wrong in at most 2.5 % of cases from screening pairs and another 2.5 % from
  confirming pairs. A case that is neither called nor shown to be unchanged is `inconclusive`.
- **Intervals** of flagged cases cover the truth in 95 %. Those of other cases are conditional on not being flagged:
  they cover more than 95 % if nothing changed, and less if a change was missed.

Assumptions: pairs are independent, their number is fixed beforehand, the order of the arms within a pair is random, and
d is about normal. If there is no change, the arms can be exchanged, so d is symmetric, and the t test tolerates heavy
tails then. An estimate without any spread counts as exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.reports.decision.pairs import BoolArray, Estimates, estimates
from attnbench.reports.decision.power import minimum_detectable
from attnbench.reports.decision.rule import FEWEST_PAIRS
from attnbench.reports.decision.rule import Rule as Rule
from attnbench.reports.decision.rule import Verdict as Verdict
from attnbench.reports.stats.statistics import FloatArray

_NO_PAIRS = np.empty(0)


@dataclass(frozen=True)
class Decision:
    """Verdict on one case, with its numbers.

    They come from the confirming pairs if the case was flagged, else from the screening pairs. A number is NaN if there
    are too few pairs for it.
    """

    verdict: Verdict
    ratio: float
    """Time of B over time of A: the geometric mean over pairs."""
    low: float
    """Lower end of the ratio's 95 % t interval."""
    high: float
    minimum_detectable: float
    """The smallest true slow-down, a ratio minus 1, that both stages find with a power of 80 %.

    It uses the spread of this case, which few pairs estimate only roughly: from 5 pairs it may be off by half. It is
    NaN if there are fewer pairs than the rule asks for.
    """
    pairs: int
    p_value: float | None
    """Holm's adjusted two-sided p value; None if the case was not flagged. A change has at most `family_level`."""
    reason: str = ""
    """Why the case is inconclusive; empty for other verdicts."""


def flagged(screen: Mapping[str, FloatArray], rule: Rule) -> list[str]:
    """Return the cases that look changed: a t test rejects at `screen_level` and the estimate exceeds half the floor.

    Args:
        screen: log ratios of each case's screening pairs; a case with fewer than 3 is never flagged.
        rule: the rule of the comparison.

    Raises:
        ValueError: a value is not a finite log ratio.
    """
    found = estimates(screen, "screening")
    # Twice the level, because it is per direction and the p value is two-sided. Half the floor, because few pairs may
    # underestimate a change of the size of the floor.
    changed = (found.p_values() < 2 * rule.screen_level) & (np.abs(found.mean) > np.log1p(rule.floor / 2))
    return [case for case, each in zip(screen, changed, strict=True) if each]


def decide(screen: Mapping[str, FloatArray], confirm: Mapping[str, FloatArray], rule: Rule) -> dict[str, Decision]:
    """Decide on every case, in the order of `screen`.

    Args:
        screen: log ratios of each case's screening pairs.
        confirm: log ratios of the flagged cases' confirming pairs. A flagged case that is missing here, or has fewer
            than 3 pairs, is inconclusive and still counts as flagged.
        rule: the rule of the comparison.

    Raises:
        ValueError: a value is not a finite log ratio, or a case has confirming pairs and is not flagged.
    """
    suspects = flagged(screen, rule)
    _refuse_others(confirm, suspects)
    # Without confirming pairs the screening pairs must not stand in: they were selected for being large.
    new = {case: confirm.get(case, _NO_PAIRS) for case in suspects}
    found = estimates({**screen, **new}, "confirming")
    suspect = np.array([case in new for case in screen], np.bool_)
    adjusted = np.full(len(screen), np.nan)
    adjusted[suspect] = holm(found.p_values()[suspect])
    return dict(zip(screen, _decisions(found, suspect, adjusted, rule), strict=True))


def judge(found: Estimates, rule: Rule, limits: FloatArray | None = None) -> tuple[list[Verdict], FloatArray]:
    """Return the verdicts on C cases from one stage, and Holm's adjusted p values `[C]`, NaN without an estimate.

    With `limits [C]` each case has a floor of its own, which is its margin of equivalence too unless the rule's is
    larger.
    """
    tested = np.isfinite(found.error)
    adjusted = np.full(len(tested), np.nan)
    adjusted[tested] = holm(found.p_values()[tested])
    return _verdicts(found, adjusted, rule, limits), adjusted


def holm(p_values: FloatArray) -> FloatArray:
    """Adjust p values for their number (Holm 1979), in the given order; NaN counts as 1.

    Rejecting adjusted values up to a level keeps the probability of any false rejection at that level.
    """
    p_values = np.where(np.isnan(p_values), 1.0, p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    # Step-down: a value cannot be rejected before all smaller ones, hence the running maximum.
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _decisions(found: Estimates, suspect: BoolArray, adjusted: FloatArray, rule: Rule) -> list[Decision]:
    """Return the decision on each of C cases; `adjusted [C]` is NaN for cases that are not `suspect [C]`."""
    verdicts = _verdicts(found, adjusted, rule)
    # A case that was not flagged would, if it had been, be one more in the family of Holm's correction.
    family = np.where(suspect, suspect.sum(), suspect.sum() + 1)
    detectable = minimum_detectable(found.spread(), family, rule)
    detectable[found.pairs < np.where(suspect, rule.confirm_pairs, rule.screen_pairs)] = np.nan
    ratio, low, high = np.exp(found.mean), np.exp(found.low), np.exp(found.high)
    return [
        Decision(
            verdict=verdict,
            ratio=float(ratio[i]),
            low=float(low[i]),
            high=float(high[i]),
            minimum_detectable=float(detectable[i]),
            pairs=int(found.pairs[i]),
            p_value=float(adjusted[i]) if suspect[i] else None,
            reason=_reason(verdict, int(found.pairs[i]), bool(suspect[i]), rule),
        )
        for i, verdict in enumerate(verdicts)
    ]


def _verdicts(found: Estimates, adjusted: FloatArray, rule: Rule, limits: FloatArray | None = None) -> list[Verdict]:
    """Return the verdict on each case: first test for a change by its adjusted p value, then for `unchanged`."""
    floor = rule.floor if limits is None else limits
    large = np.abs(found.mean) >= np.log1p(floor)
    called = (adjusted <= rule.family_level) & large
    alike = found.within(np.maximum(floor, rule.equivalence))
    rows = zip(called, found.mean > 0, alike, strict=True)
    return [_verdict(*row) for row in rows]


def _verdict(called: bool, slower: bool, equivalent: bool) -> Verdict:
    if called:
        return Verdict.REGRESSED if slower else Verdict.IMPROVED
    return Verdict.UNCHANGED if equivalent else Verdict.INCONCLUSIVE


def _reason(verdict: Verdict, pairs: int, suspect: bool, rule: Rule) -> str:
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    if pairs < FEWEST_PAIRS:
        stage = "confirming" if suspect else "screening"
        return f"expected at least {FEWEST_PAIRS} {stage} pairs, found {pairs}"
    return f"neither a change of {100 * rule.floor:.3g} % confirmed nor one of {100 * rule.equivalence:.3g} % excluded"


def _refuse_others(confirm: Mapping[str, FloatArray], suspects: Sequence[str]) -> None:
    others = [case for case in confirm if case not in suspects]
    if others:
        raise ValueError(
            f"{others[0]}: expected confirming pairs of flagged cases only, found {len(others)} of others; "
            "confirm what `flagged` names, under the same rule"
        )
