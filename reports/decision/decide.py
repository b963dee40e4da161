"""The decision of an A/B comparison, as a pure function of its pairs.

Two arms, A (the base) and B (the head), are measured in pairs of fresh processes. For each case a pair gives one
number, `d = log(time_B / time_A)`: positive is slower. It goes in two stages: *screen* every case with few pairs, flag
what looks changed; *confirm* the flagged cases with new pairs, and judge them by those alone.

What holds, for whatever number of cases:

- **False calls.** In a run whose arms are equal, the probability that any case is called `regressed` or `improved` is
  at most `family_level`. Which cases are flagged depends on the screening pairs only, and the confirming pairs are
  independent of these; so, whatever was flagged, each t test on the confirming pairs keeps its level, and Holm (1979)
  over the flagged cases keeps the family's, however the cases depend on each other. Judged by the pairs that flagged
  it, a case would be tested on numbers chosen for being large. The floor only takes calls away.
- **Unchanged** is shown, never assumed: two one-sided t tests (Schuirmann 1987), 5 % each, for a change of less than
  `equivalence`, for each case by itself. That is, the 90 % interval lies inside. Where a change is as large as that,
  it is wrongly said in at most 5 % from the screening pairs and another 5 % from the confirming ones; about 6 % in
  all at worst, in simulation. What is neither called nor shown to be unchanged is `inconclusive`.
- **Intervals** of flagged cases cover the truth in 95 %. Those of the others are conditional on not being flagged:
  they cover more than 95 % where nothing changed, and fewer where a change was missed.

What it rests on: pairs independent of each other, their number fixed beforehand, the order of the arms within a pair
drawn at random, d about normal. Equal arms can be exchanged, so where there is no change d is symmetric, and the t test
is known to bear heavy tails then. Without any spread the estimate counts as exact.
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

EQUIVALENCE_LEVEL = 0.05
"""Level of each of the two one-sided tests behind `unchanged`."""
_NO_PAIRS = np.empty(0)


@dataclass(frozen=True)
class Decision:
    """The verdict on one case and the numbers behind it, from the pairs that it was judged by.

    Judged by its confirming pairs if it was flagged, else by its screening pairs. Numbers that too few pairs leave
    open are NaN.
    """

    verdict: Verdict
    ratio: float
    """Time of B over time of A: the geometric mean over pairs."""
    low: float
    """Lower end of the ratio's 95 % t interval."""
    high: float
    minimum_detectable: float
    """The smallest true slow-down, a ratio minus 1, that both stages find with a power of 80 %.

    At this case's own spread, which few pairs estimate roughly: from 5 pairs it may be off by half. NaN where there
    are fewer pairs than the rule asks for.
    """
    pairs: int
    p_value: float | None
    """Holm's adjusted p value, both directions; None if the case was not flagged. Rejected: at most `family_level`."""
    reason: str = ""
    """Why the case is inconclusive; else empty."""


def flagged(screen: Mapping[str, FloatArray], rule: Rule) -> list[str]:
    """The cases that look changed: their t test rejects at `screen_level`, their estimate exceeds half the floor.

    Args:
        screen: log ratios of each case's screening pairs; a case with fewer than 3 is never flagged.
        rule: the rule of the comparison.

    Raises:
        ValueError: something is not a finite log ratio.
    """
    found = estimates(screen, "screening")
    changed = (found.p_values() < 2 * rule.screen_level) & (np.abs(found.mean) > np.log1p(rule.floor / 2))
    return [case for case, each in zip(screen, changed, strict=True) if each]


def decide(screen: Mapping[str, FloatArray], confirm: Mapping[str, FloatArray], rule: Rule) -> dict[str, Decision]:
    """The decision on every case, in the order of `screen`.

    Args:
        screen: log ratios of each case's screening pairs.
        confirm: log ratios of the flagged cases' confirming pairs. A flagged case that is missing here, or has fewer
            than 3 pairs, is inconclusive and counts as flagged all the same.
        rule: the rule of the comparison.

    Raises:
        ValueError: something is not a finite log ratio, or a case was confirmed that is not flagged.
    """
    suspects = flagged(screen, rule)
    _refuse_others(confirm, suspects)
    new = {case: confirm.get(case, _NO_PAIRS) for case in suspects}
    found = estimates({**screen, **new}, "confirming")
    suspect = np.array([case in new for case in screen], np.bool_)
    adjusted = np.full(len(screen), np.nan)
    adjusted[suspect] = holm(found.p_values()[suspect])
    return dict(zip(screen, _decisions(found, suspect, adjusted, rule), strict=True))


def judge(found: Estimates, rule: Rule) -> tuple[list[Verdict], FloatArray]:
    """The verdicts on C cases from one stage, and Holm's adjusted p values `[C]`, of all that have an estimate."""
    tested = np.isfinite(found.error)
    adjusted = np.full(len(tested), np.nan)
    adjusted[tested] = holm(found.p_values()[tested])
    return _verdicts(found, adjusted, rule), adjusted


def holm(p_values: FloatArray) -> FloatArray:
    """The p values adjusted for their number (Holm 1979), in the order given; NaN counts as 1.

    Rejecting what is at most a level keeps the probability of any false rejection at that level.
    """
    p_values = np.where(np.isnan(p_values), 1.0, p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _decisions(found: Estimates, suspect: BoolArray, adjusted: FloatArray, rule: Rule) -> list[Decision]:
    """The decision on each of C cases; `adjusted [C]` is NaN where a case is not `suspect [C]`."""
    verdicts = _verdicts(found, adjusted, rule)
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


def _verdicts(found: Estimates, adjusted: FloatArray, rule: Rule) -> list[Verdict]:
    """A change is called by its adjusted p value; `unchanged` is asked of the rest."""
    large = np.abs(found.mean) >= np.log1p(rule.floor)
    called = (adjusted <= rule.family_level) & large
    rows = zip(called, found.mean > 0, found.within(rule.equivalence, EQUIVALENCE_LEVEL), strict=True)
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
