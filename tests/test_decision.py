"""The decision of an A/B comparison, on simulated pairs whose truth is known.

Simulations are seeded. Where a share of n runs is asserted, the margin is 3 or more Monte Carlo standard errors,
`sqrt(p (1 - p) / n)`, as `monte_carlo_error` says.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from attnbench.reports.decision.decide import Decision, Rule, Verdict, decide, flagged, holm
from attnbench.reports.decision.power import POWER, minimum_detectable, power
from attnbench.reports.stats.statistics import clopper_pearson_upper, clustered_interval

FloatArray = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, int, int], FloatArray]
RULE = Rule()
CASES = 30
CALLED = {Verdict.REGRESSED, Verdict.IMPROVED}


def normal(rng: np.random.Generator, cases: int, pairs: int) -> FloatArray:
    return rng.standard_normal((cases, pairs))


def heavy_tailed(rng: np.random.Generator, cases: int, pairs: int) -> FloatArray:
    return rng.standard_t(5, (cases, pairs))


def correlated(rng: np.random.Generator, cases: int, pairs: int) -> FloatArray:
    """Most of the noise is common to all cases of a pair."""
    return math.sqrt(0.8) * normal(rng, 1, pairs) + math.sqrt(0.2) * normal(rng, cases, pairs)


def simulate(
    changes: FloatArray, spread: float, runs: int, seed: int, noise: Noise = normal, reuse: bool = False
) -> Iterator[list[Decision]]:
    """Decisions of many runs on cases of true log ratios `changes`; `reuse` confirms with the screening pairs."""
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        first = changes[:, None] + spread * noise(rng, len(changes), RULE.screen_pairs)
        second = changes[:, None] + spread * noise(rng, len(changes), RULE.confirm_pairs)
        screen = {str(i): pairs for i, pairs in enumerate(first)}
        confirm = {case: (first if reuse else second)[int(case)] for case in flagged(screen, RULE)}
        yield list(decide(screen, confirm, RULE).values())


def alarm(decisions: list[Decision]) -> bool:
    return any(each.verdict in CALLED for each in decisions)


def monte_carlo_error(share: float, runs: int) -> float:
    return math.sqrt(share * (1 - share) / runs)


def mixed(seed: int = 7) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """One run with all verdicts in it: changes of up to 12 % either way at spreads of 1 % to 5 %."""
    rng = np.random.default_rng(seed)
    change, spread = rng.uniform(-0.12, 0.12, (80, 1)) * (rng.random((80, 1)) < 0.6), rng.uniform(0.01, 0.05, (80, 1))
    screen = {f"case {i}": each for i, each in enumerate(change + spread * normal(rng, 80, 5))}
    second = dict(zip(screen, change + spread * normal(rng, 80, 12), strict=True))
    return screen, {case: second[case] for case in flagged(screen, RULE)}


# What a run without any change says, at a spread so large that the floor does not protect it.


@pytest.fixture(scope="module")
def equal_runs() -> list[list[Decision]]:
    return list(simulate(np.zeros(CASES), 0.1, 1500, seed=1))


def test_equal_arms_alarm_in_at_most_five_percent_of_runs(equal_runs: list[list[Decision]]) -> None:
    rate = np.mean([alarm(run) for run in equal_runs])
    error = monte_carlo_error(0.05, len(equal_runs))
    assert rate <= 0.05 + 3 * error
    assert rate >= 0.03, "the level is not used up: the simulation or the rule is too strict"


@pytest.mark.parametrize("noise", [heavy_tailed, correlated])
def test_heavy_tails_and_correlated_cases_keep_the_alarm_rate(noise: Noise) -> None:
    runs = 1200
    rate = np.mean([alarm(run) for run in simulate(np.zeros(CASES), 0.1, runs, 2, noise)])
    assert 0 < rate <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_the_floor_keeps_a_quiet_machine_from_any_alarm() -> None:
    runs = 300
    alarms = sum(alarm(run) for run in simulate(np.zeros(CASES), 0.017, runs, 3))
    assert clopper_pearson_upper(alarms, runs) < 0.02


def test_judging_by_the_pairs_that_flagged_would_break_the_alarm_rate() -> None:
    runs = 300
    rate = np.mean([alarm(run) for run in simulate(np.zeros(CASES), 0.1, runs, 4, reuse=True)])
    assert rate > 0.05 + 4 * monte_carlo_error(0.05, runs)


def test_intervals_of_flagged_cases_cover_the_truth_in_95_percent(equal_runs: list[list[Decision]]) -> None:
    covered = [each.low <= 1 <= each.high for run in equal_runs for each in run if each.p_value is not None]
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * monte_carlo_error(0.95, len(covered)))


def test_intervals_of_all_cases_cover_at_least_95_percent_where_nothing_changed(
    equal_runs: list[list[Decision]],
) -> None:
    found = clustered_interval(np.array([[each.low <= 1 <= each.high for each in run] for run in equal_runs]))
    assert 0.95 < found.low < found.share < found.high < 1


def test_intervals_of_a_changed_case_cover_it_in_about_95_percent() -> None:
    change, runs = 0.02, 1000
    found = [run[0] for run in simulate(np.array([change]), 0.017, runs, 5)]
    covered = np.mean([each.low <= math.exp(change) <= each.high for each in found])
    assert {each.pairs for each in found} == {5, 12}
    assert covered == pytest.approx(0.95, abs=0.01 + 3 * monte_carlo_error(0.95, runs))


# What a true change gets.


@pytest.mark.parametrize(
    ("spread", "slowdown", "least", "most"),
    [
        (0.010, 0.02, 0, 0.01),
        (0.017, 0.02, 0, 0.04),
        (0.030, 0.02, 0, 0.11),
        (0.010, 0.05, 0.99, 1),
        (0.017, 0.05, 0.98, 1),
        (0.030, 0.05, 0.92, 0.99),
        (0.010, 0.10, 0.99, 1),
        (0.017, 0.10, 0.99, 1),
        (0.030, 0.10, 0.99, 1),
    ],
)
def test_a_slowdown_is_found_as_often_as_the_power_says(
    spread: float, slowdown: float, least: float, most: float
) -> None:
    runs = 400
    found = [run[0].verdict for run in simulate(np.array([math.log1p(slowdown)]), spread, runs, 6)]
    share, said = found.count(Verdict.REGRESSED) / runs, float(power(slowdown, spread, 1, RULE))
    assert least <= share <= most
    assert share == pytest.approx(said, abs=0.003 + 3.5 * monte_carlo_error(said, runs))
    assert Verdict.IMPROVED not in found


def test_slowdowns_among_many_cases_are_found_and_nothing_else_is_accused() -> None:
    runs, changes = 200, np.zeros(CASES)
    changes[:2] = np.log([1.05, 1 / 1.1])
    found = list(simulate(changes, 0.03, runs, 7))
    assert np.mean([run[0].verdict == Verdict.REGRESSED for run in found]) > 0.9 - 3 * monte_carlo_error(0.9, runs)
    assert np.mean([run[1].verdict == Verdict.IMPROVED for run in found]) > 0.98
    assert np.mean([alarm(run[2:]) for run in found]) <= 0.05 + 3 * monte_carlo_error(0.05, runs)


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.05])
def test_a_change_of_the_equivalence_margin_is_rarely_said_to_be_unchanged(spread: float) -> None:
    runs = 500
    found = [run[0].verdict for run in simulate(np.array([math.log1p(RULE.equivalence)]), spread, runs, 8)]
    assert found.count(Verdict.UNCHANGED) / runs <= 0.035 + 3 * monte_carlo_error(0.035, runs)


@pytest.mark.parametrize(("spread", "family"), [(0.017, 1), (0.03, 4), (0.1, 1)])
def test_the_minimum_detectable_slowdown_is_found_in_80_percent(spread: float, family: int) -> None:
    """The other flagged cases of the family are confirmed as exactly equal."""
    runs, rng = 800, np.random.default_rng(9)
    change = math.log1p(float(minimum_detectable(spread, family, RULE)))
    others = [str(i) for i in range(family - 1)]
    found = []
    for _ in range(runs):
        screen = {"changed": change + spread * normal(rng, 1, 5)[0], **dict.fromkeys(others, np.full(5, 1.0))}
        confirm = {"changed": change + spread * normal(rng, 1, 12)[0], **dict.fromkeys(others, np.zeros(12))}
        kept = {case: confirm[case] for case in flagged(screen, RULE)}
        found.append(decide(screen, kept, RULE)["changed"].verdict)
    error = monte_carlo_error(POWER, runs)
    assert found.count(Verdict.REGRESSED) / runs == pytest.approx(POWER, abs=0.01 + 3 * error)


@pytest.mark.parametrize("family", [1, 8])
def test_without_a_floor_the_power_is_that_of_two_t_tests(family: int) -> None:
    rule, slowdown = replace(RULE, floor=0.0), np.array([0.0, 0.02, 0.05, 0.1])
    distance = np.log1p(slowdown) / 0.06
    first = stats.nct.sf(stats.t.isf(0.10, 4), 4, distance * math.sqrt(5))
    second = stats.nct.sf(stats.t.isf(0.025 / family, 11), 11, distance * math.sqrt(12))
    assert power(slowdown, 0.06, family, rule) == pytest.approx(first * second, abs=2e-3)


def test_more_spread_and_more_flagged_cases_make_less_detectable() -> None:
    spreads = np.array([0.0, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0])
    found = minimum_detectable(spreads[:, None], np.array([1, 5, 100]), RULE)
    assert found.shape == (7, 3)
    assert (np.diff(found, axis=0) > 0).all()
    assert (np.diff(found, axis=1) >= 0).all()
    assert found[0] == pytest.approx(RULE.floor)


def test_the_slowdown_that_is_detectable_has_the_power_it_is_named_for() -> None:
    spreads = np.array([0.003, 0.017, 0.05, 0.5])
    assert power(minimum_detectable(spreads, 3, RULE), spreads, 3, RULE) == pytest.approx(POWER, abs=1e-4)


# How verdicts relate to each other and to the textbook tests.


def test_one_run_holds_all_verdicts() -> None:
    found = decide(*mixed(), RULE)
    calls = {Verdict.REGRESSED, Verdict.IMPROVED, Verdict.UNCHANGED, Verdict.INCONCLUSIVE}
    assert {each.verdict for each in found.values()} == calls
    assert all(bool(each.reason) == (each.verdict is Verdict.INCONCLUSIVE) for each in found.values())


def test_improved_mirrors_regressed() -> None:
    screen, confirm = mixed()
    found = decide(screen, confirm, RULE)
    mirrored = decide({k: -d for k, d in screen.items()}, {k: -d for k, d in confirm.items()}, RULE)
    swap = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED}
    for case, each in found.items():
        other = mirrored[case]
        assert other.verdict is swap.get(each.verdict, each.verdict)
        assert (1 / other.ratio, 1 / other.high, 1 / other.low) == pytest.approx((each.ratio, each.low, each.high))
        assert (other.p_value, other.minimum_detectable) == pytest.approx((each.p_value, each.minimum_detectable))


def test_the_order_of_cases_does_not_matter() -> None:
    screen, confirm = mixed()
    expected = decide(screen, confirm, RULE)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(list(screen))
        found = decide({case: screen[case] for case in order}, dict(reversed(confirm.items())), RULE)
        assert list(found) == list(order)
        assert found == {case: expected[case] for case in order}


@pytest.mark.parametrize("stage", ["screening", "confirming"])
def test_more_spread_never_turns_inconclusive_into_unchanged(stage: str) -> None:
    """In the pairs that a case is judged by, mean kept; what is flagged stays the same."""
    rng = np.random.default_rng(10)
    noise = rng.uniform(0.005, 0.06, (400, 1)) * normal(rng, 400, 5 if stage == "screening" else 12)
    mean, noise = rng.uniform(-0.04, 0.04, (400, 1)), noise - noise.mean(axis=1, keepdims=True)

    def verdicts(factor: float) -> list[Decision]:
        pairs = {str(i): each for i, each in enumerate(mean + factor * noise)}
        if stage == "screening":
            return list(decide(pairs, {case: np.zeros(12) for case in flagged(pairs, RULE)}, RULE).values())
        return list(decide(dict.fromkeys(pairs, np.full(5, 1.0)), pairs, RULE).values())

    steps = [verdicts(factor) for factor in (1.0, 1.1, 1.5, 3.0)]
    seen = set()
    for narrow, wide in pairwise(steps):
        for before, after in zip(narrow, wide, strict=True):
            if (before.p_value is None) == (stage == "screening"):
                seen.add((before.verdict, after.verdict))
    assert (Verdict.INCONCLUSIVE, Verdict.UNCHANGED) not in seen
    assert {(Verdict.UNCHANGED, Verdict.INCONCLUSIVE), (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)} <= seen


def test_flagging_is_the_t_test_of_each_direction() -> None:
    screen, _ = mixed()
    expected = []
    for case, pairs in screen.items():
        slower = stats.ttest_1samp(pairs, 0, alternative="greater").pvalue < 0.10
        faster = stats.ttest_1samp(pairs, 0, alternative="less").pvalue < 0.10
        ratio = math.exp(np.mean(pairs))
        if (slower or faster) and max(ratio, 1 / ratio) > 1.015:
            expected.append(case)
    assert 0 < len(expected) < len(screen)
    assert flagged(screen, RULE) == expected


def test_a_decision_is_made_of_textbook_tests() -> None:
    screen, confirm = mixed()
    found = decide(screen, confirm, RULE)
    raw = [stats.ttest_1samp(pairs, 0).pvalue for pairs in confirm.values()]
    assert [found[case].p_value for case in confirm] == pytest.approx(holm(np.array(raw)))
    bound = math.log(1.05)
    for case, each in found.items():
        pairs = confirm.get(case, screen[case])
        interval = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
        assert (each.ratio, each.low, each.high) == pytest.approx(
            (math.exp(np.mean(pairs)), math.exp(interval.low), math.exp(interval.high))
        )
        family = len(confirm) + (case not in confirm)
        assert each.minimum_detectable == pytest.approx(float(minimum_detectable(np.std(pairs, ddof=1), family, RULE)))
        within = (
            stats.ttest_1samp(pairs, bound, alternative="less").pvalue < 0.025
            and stats.ttest_1samp(pairs, -bound, alternative="greater").pvalue < 0.025
        )
        large = each.p_value is not None and each.p_value <= 0.05 and max(each.ratio, 1 / each.ratio) >= 1.03
        quiet = Verdict.UNCHANGED if within else Verdict.INCONCLUSIVE
        assert each.verdict is ((Verdict.REGRESSED if each.ratio > 1 else Verdict.IMPROVED) if large else quiet)


def test_an_unchanged_case_is_seen_in_its_interval() -> None:
    for seed in range(5):
        for each in decide(*mixed(seed), RULE).values():
            called = each.verdict in CALLED
            inside = 1 / (1 + RULE.equivalence) < each.low and each.high < 1 + RULE.equivalence
            assert (each.verdict is Verdict.UNCHANGED) == (inside and not called)
            assert not called or not each.low <= 1 <= each.high


def test_holm_by_hand() -> None:
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.02, np.nan])) == pytest.approx([0.04, 1.0])
    assert holm(np.array([0.4, 0.9, 0.5])) == pytest.approx([1.0, 1.0, 1.0])
    assert holm(np.array([])).size == 0


# Data that is not as it should be.


def test_a_significant_change_below_the_floor_is_not_called() -> None:
    pairs = 0.02 + 0.001 * np.array([-1.0, 1, 0, 1, -1])
    found = decide({"a": pairs}, {"a": np.resize(pairs, 12)}, RULE)["a"]
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.verdict is Verdict.UNCHANGED


def test_identical_numbers_are_exact() -> None:
    screen = {"none": np.zeros(5), "small": np.full(5, 0.01), "slow": np.full(5, 0.1), "fast": np.full(5, -0.1)}
    confirm = {"slow": np.full(12, 0.1), "fast": np.full(12, -0.1)}
    found = decide(screen, confirm, RULE)
    verdicts = [Verdict.UNCHANGED, Verdict.UNCHANGED, Verdict.REGRESSED, Verdict.IMPROVED]
    assert [each.verdict for each in found.values()] == verdicts
    assert all(each.low == pytest.approx(each.high) for each in found.values())
    assert [each.minimum_detectable for each in found.values()] == pytest.approx([RULE.floor] * 4)


@pytest.mark.parametrize("pairs", [0, 1, 2])
def test_too_few_pairs_are_inconclusive(pairs: int) -> None:
    found = decide({"a": np.full(pairs, 0.5)}, {}, RULE)["a"]
    assert (found.verdict, found.pairs, found.p_value) == (Verdict.INCONCLUSIVE, pairs, None)
    assert found.reason == f"expected at least 3 screening pairs, found {pairs}"
    assert np.isnan([found.low, found.high, found.minimum_detectable]).all()
    assert math.isnan(found.ratio) if pairs == 0 else found.ratio == pytest.approx(math.exp(0.5))


def test_a_flagged_case_that_was_not_confirmed_is_inconclusive_and_counts() -> None:
    slow = np.array([0.09, 0.1, 0.11, 0.1, 0.1])
    noisy = 0.06 + 0.05 * np.array([-1.0, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1])
    alone = decide({"a": slow}, {"a": noisy}, RULE)["a"]
    found = decide({"a": slow, "b": slow, "c": slow}, {"a": noisy, "b": noisy[:2]}, RULE)
    assert [found[case].reason for case in "bc"] == [f"expected at least 3 confirming pairs, found {n}" for n in (2, 0)]
    assert {found[case].verdict for case in "bc"} == {Verdict.INCONCLUSIVE}
    assert alone.p_value is not None
    assert found["a"].p_value == pytest.approx(3 * alone.p_value)
    assert found["a"].minimum_detectable > alone.minimum_detectable


def test_cases_may_differ_in_their_number_of_pairs() -> None:
    screen, confirm = mixed()
    quiet = [pairs for case, pairs in screen.items() if case not in confirm]
    short = {str(i): pairs[: 3 + i % 3] for i, pairs in enumerate(quiet)}
    short = {case: pairs for case, pairs in short.items() if not flagged({case: pairs}, RULE)}
    together = decide(short, {}, RULE)
    assert {each.pairs for each in together.values()} == {3, 4, 5}
    for case, each in together.items():
        alone = decide({case: short[case]}, {}, RULE)[case]
        assert asdict(alone) == pytest.approx(asdict(each), nan_ok=True)
        assert math.isnan(alone.minimum_detectable) == (each.pairs < RULE.screen_pairs)


def test_huge_ratios_are_decided() -> None:
    pairs = np.resize([39.0, 41, 40, 39, 41], RULE.confirm_pairs)
    found = decide(
        {"a": pairs, "b": -pairs, "c": np.array([-100.0, 100, 100, 100, -100])}, {"a": pairs, "b": -pairs}, RULE
    )
    assert [each.verdict for each in found.values()] == [Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE]
    assert np.isfinite([[each.low, each.high, each.minimum_detectable] for each in found.values()]).all()


def test_no_case_gives_no_decision() -> None:
    assert flagged({}, RULE) == []
    assert decide({}, {}, RULE) == {}


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf, 1e3])
def test_what_is_no_log_ratio_is_refused(strange: float) -> None:
    good = np.full(5, 0.1)
    bad = np.append(good, strange)
    with pytest.raises(ValueError, match=r"a: expected log.* found .* screening pairs; leave out"):
        flagged({"a": bad}, RULE)
    with pytest.raises(ValueError, match=r"a: expected log.* found .* confirming pairs; leave out"):
        decide({"a": good}, {"a": bad}, RULE)


def test_pairs_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a: expected one number for each .* found shape \(5, 2\)"):
        flagged({"a": np.zeros((5, 2))}, RULE)


def test_confirming_what_was_not_flagged_is_refused() -> None:
    with pytest.raises(ValueError, match=r"b: expected confirming pairs of flagged cases only, found 2 of others"):
        decide({"a": np.full(5, 0.1), "b": np.zeros(5)}, {"b": np.zeros(12), "c": np.zeros(12)}, RULE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("screen_pairs", 2),
        ("confirm_pairs", 0),
        ("screen_level", 0.5),
        ("family_level", 0.0),
        ("floor", -0.01),
        ("floor", 1.0),
        ("equivalence", 0.0),
        ("equivalence", math.nan),
    ],
)
def test_a_rule_outside_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected .*, found {value}"):
        replace(RULE, **{name: value})


# Bounds on how often the procedure errs.


def test_no_alarm_in_59_runs_shows_less_than_five_percent() -> None:
    assert clopper_pearson_upper(0, 59) < 0.05 < clopper_pearson_upper(0, 58)
    assert clopper_pearson_upper(0, 299) < 0.01
    assert clopper_pearson_upper(4, 4) == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (4, 108), (9, 10)])
def test_the_upper_bound_is_the_exact_binomial_one(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(0.90, "exact").high
    assert clopper_pearson_upper(k, n) == pytest.approx(expected)
    assert stats.binom.cdf(k, n, clopper_pearson_upper(k, n)) == pytest.approx(0.05)


@pytest.mark.parametrize(("k", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 0, 0.95), (1, 5, 1.0)])
def test_an_impossible_count_is_refused(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"expected .*, found"):
        clopper_pearson_upper(k, n, level)


def test_the_unit_of_a_clustered_interval_is_the_run() -> None:
    covered = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1]], bool)
    found = clustered_interval(covered)
    shares = [1.0, 0.5, 0.75, 0.75]
    half = float(stats.t.ppf(0.975, 3)) * float(np.std(shares, ddof=1)) / 2
    assert (found.share, found.low, found.high) == pytest.approx((0.75, 0.75 - half, 1.0))
    assert clustered_interval(np.repeat(covered, 50, axis=1)) == pytest.approx(found)


def test_two_runs_give_a_share_without_an_interval() -> None:
    found = clustered_interval(np.array([[True, False], [True, True]]))
    assert found.share == 0.75
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("shape", [(4,), (0, 3), (3, 0)])
def test_coverage_that_is_not_runs_by_cases_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected an array of runs by cases"):
        clustered_interval(np.zeros(shape, bool))
