"""The remaining time that a run tells."""

import pytest

from attnbench.runner.plan.remaining_time import COMPILED_S, READY_S, START_S, RemainingTime, probe_s
from attnbench.runner.worker.call.energy import IDLE_S, STRETCH_S
from attnbench.runner.worker.call.sampling import Plan
from attnbench.suites import Case
from attnbench.suites.schema.load import parse

SUITE = """
name: growing
question: How long will it take?
shape: {seq_len: [128, 256, 512, 1024]}
variants: [full, {local_window: {window: 3}}]
"""
PLAN = Plan(calls=1, values=4, led=False)


def cases() -> list[Case]:
    return parse(SUITE, "growing.yaml").cases()


def of(variant: str) -> list[Case]:
    return [case for case in cases() if case.mechanism.name == variant]


def test_energy_has_half_of_the_time_that_is_left_over() -> None:
    remaining = RemainingTime(of("full")[:1], 3)
    remaining.probed(of("full")[0], 1.0, PLAN, 1e9)
    timing_s = 3 * (START_S + READY_S + 5)
    energy_s = 3 * (IDLE_S + STRETCH_S["cpu"] + 1)
    assert remaining.allows_energy(timing_s + 2 * energy_s + 0.01)
    assert not remaining.allows_energy(timing_s + 2 * energy_s - 0.01)


def test_nothing_is_told_before_the_first_case() -> None:
    assert RemainingTime(cases(), 5).left_s() is None


def test_a_quadratic_family_is_expected_to_stay_quadratic() -> None:
    remaining = RemainingTime(of("full"), 1)
    short, next_one, *_ = of("full")
    remaining.probed(short, 1.0, None, None)
    assert remaining.left_s() == pytest.approx(2 + 4 + 8 + START_S), "linear, as long as there is one length"
    remaining.probed(next_one, 4.0, None, None)
    assert remaining.left_s() == pytest.approx(16 + 64 + START_S)


def test_growth_is_never_steeper_than_quadratic_nor_negative() -> None:
    for took, expected in ((100.0, 400 + 1600), (0.5, 0.5 + 0.5)):
        remaining = RemainingTime(of("full"), 1)
        for case, took_s in zip(of("full"), (1.0, took), strict=False):
            remaining.probed(case, took_s, None, None)
        assert remaining.left_s() == pytest.approx(expected + START_S)


def test_an_unknown_family_costs_the_mean() -> None:
    remaining = RemainingTime([*of("full")[:1], *of("local_window")[:1]], 1)
    remaining.probed(of("full")[0], 3.0, None, None)
    assert remaining.left_s() == pytest.approx(3.0 + START_S)


def test_timing_follows_the_plans_until_a_replicate_is_over() -> None:
    remaining = RemainingTime(of("full")[:1], 5)
    remaining.probed(of("full")[0], 1.0, PLAN, 1e9)
    assert remaining.left_s() == pytest.approx(5 * (START_S + READY_S + 5)), "four values and one call to warm up"
    remaining.replicated(10.0)
    assert remaining.left_s() == pytest.approx(40)
    assert remaining.left_s(share=0.5) == pytest.approx(35)


def test_a_run_that_goes_on_is_told_how_many_replicates_are_left() -> None:
    remaining = RemainingTime(of("full")[:1], 20)
    remaining.probed(of("full")[0], probe_s(1e9), PLAN, 1e9)
    remaining.to_time(2)
    assert remaining.left_s() == pytest.approx(2 * (START_S + READY_S + 5)), "what is probed is done with"
    remaining.to_time(0)
    assert remaining.left_s() == 0


def test_every_process_compiles_again() -> None:
    remaining = RemainingTime(of("full")[:1], 5)
    remaining.probed(of("full")[0], 20.0, PLAN, 1e9, compiled=True)
    assert remaining.left_s() == pytest.approx(5 * (START_S + READY_S + COMPILED_S + 5))
