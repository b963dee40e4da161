"""Sampling rules, with a clock that does what it is told."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from attnbench.runner.worker.call import sampling
from attnbench.runner.worker.call.sampling import Plan, WarmUp

MS = 1e6


class FakeClock:
    """Says that each call takes the next of the given times, the last one for ever."""

    def __init__(self, *times_ns: float) -> None:
        self.times_ns = list(times_ns)
        self.calls = 0

    def __call__(self, call: Callable[[], object], calls: int) -> float:
        taken = [self.times_ns[min(self.calls + each, len(self.times_ns) - 1)] for each in range(calls)]
        self.calls += calls
        for _ in range(calls):
            call()
        return sum(taken) / calls


def nothing() -> None:
    """The call under test."""


@pytest.mark.parametrize(
    ("call_ms", "share_s", "expected"),
    [
        pytest.param(0.01, 12, Plan(1000, 10), id="short-calls-fill-a-value"),
        pytest.param(4, 12, Plan(2, 10), id="nearest-whole-number-of-calls"),
        pytest.param(400, 12, Plan(1, 10, led=False), id="a-long-call-is-a-value"),
        pytest.param(4000, 12, Plan(1, 3, led=False), id="as-many-as-the-case-can-afford"),
        pytest.param(40000, 12, Plan(1, 1, led=False), id="at-least-one"),
        pytest.param(5, 0.075, Plan(2, 5), id="the-call-before-a-value-costs-too"),
    ],
)
def test_plan(call_ms: float, share_s: float, expected: Plan) -> None:
    assert sampling.plan(call_ms * MS, values=10, value_ns=10 * MS, share_ns=share_s * 1e9) == expected


def test_on_cuda_every_value_is_taken_twice_with_a_call_before() -> None:
    assert sampling.plan(1000 * MS, 10, 10 * MS, 12e9, "cuda") == Plan(1, 3, led=False), (
        "of two calls each, cold and hot"
    )
    assert sampling.plan(0.01 * MS, 10, 10 * MS, 12e9, "cuda") == Plan(1000, 10)


def test_estimate_is_the_median_over_30_ms() -> None:
    clock = FakeClock(50 * MS, 1 * MS, 2 * MS)
    assert sampling.estimate(nothing, clock, first_call_ns=100) == 2 * MS
    assert clock.calls == 3

    clock = FakeClock(1 * MS)
    assert sampling.estimate(nothing, clock, first_call_ns=100) == 1 * MS
    assert clock.calls == 30


def test_estimate_of_a_very_short_call_ends_after_a_thousand() -> None:
    clock = FakeClock(0.002 * MS)
    assert sampling.estimate(nothing, clock, first_call_ns=100) == 0.002 * MS
    assert clock.calls == 1000


@pytest.mark.parametrize(
    ("call_ms", "plan", "expected_ms"),
    [
        pytest.param(1, Plan(5, 3), 200 + 2 * 3 * 7, id="two-looks-at-the-host"),
        pytest.param(50, Plan(1, 3, led=False), 25 * 50 + 2 * 3 * 2 * 50, id="one-where-a-value-is-one-call"),
    ],
)
def test_the_time_of_a_case_on_cuda_is_foreseen(call_ms: float, plan: Plan, expected_ms: float) -> None:
    assert sampling.timing_ns(plan, call_ms * MS, 5 * MS, "cuda") / MS == pytest.approx(expected_ms)


def test_estimate_does_not_repeat_a_long_call() -> None:
    clock = FakeClock(5e9)
    assert sampling.estimate(nothing, clock, first_call_ns=6e9) == 6e9
    assert clock.calls == 0


@pytest.mark.parametrize(
    ("device", "call_ms", "calls"),
    [
        pytest.param("cpu", 0.125, 80, id="as-long-as-a-value"),
        pytest.param("cpu", 8, 10, id="two-windows"),
        pytest.param("cpu", 10, 10, id="the-longest-with-windows"),
        pytest.param("cpu", 11, 3, id="too-long-for-windows"),
        pytest.param("cpu", 600, 2, id="at-most-a-second"),
        pytest.param("cpu", 1001, 1, id="a-long-call-once"),
        pytest.param("cuda", 1, 200, id="cuda-200-ms"),
        pytest.param("cuda", 50, 25, id="cuda-25-launches"),
        pytest.param("cuda", 1001, 1, id="cuda-long-call-once"),
    ],
)
def test_warm_up(device: str, call_ms: float, calls: int) -> None:
    clock = FakeClock(call_ms * MS)
    assert sampling.warm_up(nothing, clock, device, value_ns=10 * MS) == WarmUp(calls, steady=True)
    assert clock.calls == calls


def test_warm_up_goes_on_until_two_windows_agree() -> None:
    falling = [6 * MS * 0.9**call for call in range(13)]
    clock = FakeClock(*falling, 1.5 * MS)
    warm = sampling.warm_up(nothing, clock, "cpu", value_ns=10 * MS)
    assert warm == WarmUp(len(falling) + 8, steady=True), "the first window has three calls of the settled time"
    assert clock.calls == warm.calls


@pytest.mark.parametrize(("after_ms", "calls"), [(4.9, 10), (4.89, 13), (5.1, 10), (5.11, 13)])
def test_windows_agree_within_two_percent(after_ms: float, calls: int) -> None:
    clock = FakeClock(*[5 * MS] * 5, after_ms * MS)
    assert sampling.warm_up(nothing, clock, "cpu", value_ns=10 * MS) == WarmUp(calls, steady=True)


def test_a_single_slow_call_does_not_unsettle() -> None:
    clock = FakeClock(*[5 * MS] * 7, 45 * MS, 5 * MS)
    assert sampling.warm_up(nothing, clock, "cpu", value_ns=10 * MS) == WarmUp(10, steady=True)


def test_warm_up_ends_unsteady_after_a_second() -> None:
    clock = FakeClock(*(10 * MS * 1.01**call for call in range(400)))
    warm = sampling.warm_up(nothing, clock, "cpu", value_ns=10 * MS)
    assert not warm.steady
    assert sum(clock.times_ns[: warm.calls - 1]) < 1000 * MS <= sum(clock.times_ns[: warm.calls])


def test_too_few_calls_within_the_second_to_compare_are_not_steady() -> None:
    clock = FakeClock(930 * MS, 9 * MS)
    assert sampling.warm_up(nothing, clock, "cpu", value_ns=10 * MS) == WarmUp(9, steady=False)


def test_cuda_is_judged_by_its_last_launches_and_not_kept_waiting() -> None:
    clock = FakeClock(*(8 * MS * 1.05**call for call in range(60)))
    assert sampling.warm_up(nothing, clock, "cuda", value_ns=10 * MS) == WarmUp(25, steady=False)


@pytest.mark.parametrize(
    ("call_ms", "plan", "expected_ms"),
    [
        pytest.param(0.1, Plan(100, 9), 10 + 9 * 10.1, id="a-call-leads-each-value"),
        pytest.param(5, Plan(1, 9), 50 + 9 * 10, id="also-where-a-value-is-one-call"),
        pytest.param(150, Plan(1, 9, led=False), 450 + 9 * 150, id="but-not-where-calls-are-long"),
        pytest.param(400, Plan(1, 2, led=False), 1000 + 800, id="a-second-at-most"),
        pytest.param(7e3, Plan(1, 1, led=False), 14e3, id="or-one-call"),
    ],
)
def test_the_time_of_a_case_is_foreseen(call_ms: float, plan: Plan, expected_ms: float) -> None:
    found_ms = sampling.timing_ns(plan, call_ms * MS, plan.calls * call_ms * MS) / MS
    assert found_ms == pytest.approx(expected_ms)


def taking(taken: list[int], lasts: list[int] | None = None) -> Callable[[int, bool], None]:
    """Notes whose values are taken, and whose last."""

    def take(index: int, last: bool) -> None:
        taken.append(index)
        if last and lasts is not None:
            lasts.append(index)

    return take


def test_interleave_takes_a_value_of_each_case_a_round() -> None:
    taken: list[int] = []
    plans = [Plan(1, 4), Plan(1, 4), Plan(1, 4)]
    sampling.interleave(plans, random.Random("seed"), taking(taken))
    rounds = [taken[start : start + 3] for start in range(0, 12, 3)]
    assert all(sorted(each) == [0, 1, 2] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1, "the order is drawn anew each round"


def test_interleave_lets_cases_with_fewer_values_leave() -> None:
    taken: list[int] = []
    lasts: list[int] = []
    sampling.interleave([Plan(1, 1), Plan(1, 5)], random.Random(0), taking(taken, lasts))
    assert lasts == [0, 1], "each is told which value is its last"
    assert Counter(taken) == {0: 1, 1: 5}
    assert set(taken[2:]) == {1}


def test_interleave_is_the_same_for_the_same_seed() -> None:
    runs = []
    for _ in range(2):
        taken: list[int] = []
        sampling.interleave([Plan(1, 9)] * 5, random.Random("3:1:abc"), taking(taken))
        runs.append(taken)
    assert runs[0] == runs[1]
