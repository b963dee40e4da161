"""Two arms taking turns, with workers that answer what they are told."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnbench.runner import arms
from attnbench.runner.arms import Arm, Setting
from attnbench.runner.sampling import Plan
from attnbench.runner.workers import WorkerEnded
from attnbench.suites import Case, Status
from attnbench.suites.load import parse

SUITE = """
name: two
question: Which arm is faster?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
"""
A, B = Arm("A"), Arm("B")
Takes = Callable[[int, Case, int], float | None]


class Bench:
    """Starts workers whose values are `takes(side, case, calls)`, and writes down the order of things."""

    def __init__(self, takes: Takes) -> None:
        self.takes = takes
        self.started = 0
        self.alive = 0
        self.log: list[tuple[int, str, str, int]] = []

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> "Taker":
        assert kind == "spawn", "an arm is a fresh interpreter"
        assert budget_bytes == 2**30
        assert folders == ()
        self.started += 1
        self.alive += 1
        return Taker(self, (self.started - 1) % 2)


class Taker:
    """A worker of a `Bench`."""

    def __init__(self, bench: Bench, side: int) -> None:
        self.bench = bench
        self.side = side
        self.cases: list[Case] = []

    def wait(self) -> None:
        """Ready at once."""

    def close(self) -> None:
        self.bench.alive -= 1

    def ask(self, request: dict[str, Any], patience_s: float) -> Any:
        assert patience_s == 60
        if request["do"] == "ready":
            self.cases = [Case.from_json(case) for case in request["cases"]]
            return []
        case = self.cases[request["index"]]
        self.bench.log.append((self.side, request["do"], case.key, request["calls"]))
        return self.bench.takes(self.side, case, request["calls"])


def measure(bench: Bench, both: tuple[Arm, Arm] = (A, B), seed: str = "0", turns: int = 9) -> dict[str, float]:
    cases = parse(SUITE, "two.yaml").cases()
    plans = {case.key: Plan(100, turns) for case in cases}
    setting = Setting(turns, 1e7, 60, 2**30, (), bench.start)
    return arms.measure_pair(both, cases, plans, setting, seed)


def cases_of(variant: str) -> set[str]:
    return {case.key for case in parse(SUITE, "two.yaml").cases() if case.variant == variant}


def test_a_pair_gives_the_log_ratio_of_every_case() -> None:
    bench = Bench(lambda side, case, calls: (5e5, 6e5)[side])
    found = measure(bench)
    assert set(found) == cases_of("full") | cases_of("local_window")
    assert all(value == pytest.approx(math.log(1.2)) for value in found.values())
    assert bench.started == 2
    assert bench.alive == 0


def test_the_ratio_is_the_median_over_turns() -> None:
    values = iter(range(10**6))

    def takes(side: int, case: Case, calls: int) -> float:
        return 1e6 if side == 0 or next(values) % 4 else 9e6

    assert set(measure(Bench(takes)).values()) == {0.0}


def test_arms_alternate_and_their_order_is_drawn() -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    measure(bench)
    turns = [bench.log[at : at + 2] for at in range(0, len(bench.log), 2)]
    assert all({first[0], second[0]} == {0, 1} and first[2] == second[2] for first, second in turns)
    firsts = [first[0] for first, _ in turns]
    assert 0 < sum(firsts) < len(firsts), "neither arm always goes first"
    assert len(turns) == 4 * 9


def test_a_slow_down_is_real_work_divided_by_the_plan() -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    found = measure(bench, (A, Arm("B", 0.05)))
    assert {(side, calls) for side, _, _, calls in bench.log} == {(0, 100), (1, 105)}
    assert all(value == pytest.approx(math.log(1.05)) for value in found.values())


def test_a_case_that_fails_in_one_arm_is_left_out() -> None:
    bad = cases_of("full")
    bench = Bench(lambda side, case, calls: None if side == 1 and case.key in bad else 1e6)
    assert set(measure(bench)) == cases_of("local_window")


def test_a_case_that_kills_an_arm_is_left_out_and_the_others_go_on() -> None:
    bad = min(cases_of("full"))

    def takes(side: int, case: Case, calls: int) -> float:
        if case.key == bad:
            index = next(i for i, each in enumerate(grouped_with(bad)) if each.key == bad)
            raise WorkerEnded(Status.CRASHED, "gone", index)
        return 1e6

    bench = Bench(takes)
    assert set(measure(bench)) == (cases_of("full") | cases_of("local_window")) - {bad}
    assert bench.started == 4
    assert bench.alive == 0


def grouped_with(key: str) -> list[Case]:
    from attnbench.suites import grouped

    return next(group for group in grouped(parse(SUITE, "two.yaml").cases()) if key in {case.key for case in group})


def test_workers_end_when_the_run_is_interrupted() -> None:
    def takes(side: int, case: Case, calls: int) -> float:
        raise KeyboardInterrupt

    bench = Bench(takes)
    with pytest.raises(KeyboardInterrupt):
        measure(bench)
    assert bench.alive == 0
