"""Two arms taking turns, with workers that answer what they are told."""

import json
import math
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from attnbench.runner.ab import live_pair, paired_timing
from attnbench.runner.ab.live_pair import Arm, Ended, Limits
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.workers.worker import Worker, WorkerEnded
from attnbench.suites import Case, Status
from attnbench.suites.schema.load import parse

SUITE = """
name: two
question: Which arm is faster?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
"""
Takes = Callable[[int, Case, int], float | None]


class Bench:
    """Starts workers whose values are `takes(side, case, calls)`, and writes down the order of things."""

    def __init__(self, takes: Takes) -> None:
        self.takes = takes
        self.started: list[int] = []
        self.alive = 0
        self.visits: list[tuple[int, str, int, list[int]]] = []
        self.led: list[bool] = []
        """Whether turns were to be led by a call, in the order asked for."""
        self.last: list[bool] = []
        """Whether a visit was told that it is the case's last."""
        self.settled: list[tuple[int, str, str | None]] = []
        """Which side was asked for the result of a case's last value, with the digest of its probe."""
        self.wears: int | None = None
        """The side whose last results are wrong."""
        self.hangs: int | None = None
        """The side that never replies to turns; the other waits for it until it is gone."""
        self.lacks_room: Callable[[Case, int], bool] = lambda case, many: False
        """Whether either side finds no room for a case that is made ready with so many."""

    def arms(self, slowdown: float) -> tuple[Arm, Arm]:
        digests = {key: "of " + key for key in cases_of("full")}
        return Arm("A", start=partial(self.start, 0)), Arm("B", slowdown, partial(self.start, 1), digests)

    def start(self, side: int, budget_bytes: int | None, folders: tuple[Path, ...], link: Connection) -> "Taker":
        assert not link.closed
        assert budget_bytes == 2**30
        assert folders == ()
        self.started.append(side)
        self.alive += 1
        return Taker(self, side)


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

    def tell(self, request: dict[str, Any]) -> None:
        self.request = json.loads(json.dumps(request))

    def reply(self, patience_s: float) -> Any:
        request = self.request
        if request["do"] == "turns" and self.bench.hangs is not None:
            return self.hang(patience_s)
        assert patience_s == 60
        if request["do"] == "ready":
            self.cases = [Case.from_json(case) for case in request["cases"]]
            lacking = [i for i, case in enumerate(self.cases) if self.bench.lacks_room(case, len(self.cases))]
            return {str(i): ["out_of_memory", "no room"] for i in lacking}
        if request["do"] == "settle":
            self.bench.settled.append((self.side, self.cases[request["index"]].key, request["digest"]))
            return ["wrong", "it has worn"] if self.bench.wears == self.side else None
        assert request["do"] == "turns"
        case, calls = self.cases[request["index"]], request["calls"]
        self.bench.visits.append((self.side, case.key, calls, request["order"]))
        self.bench.led.append(request["led"])
        self.bench.last.append(request["last"])
        slots = request["order"].count(request["side"])
        values = [self.bench.takes(self.side, case, calls) for _ in range(slots)]
        return {"ended": ["failed", "cannot"]} if None in values else {"values": values}

    def hang(self, patience_s: float) -> Any:
        """Both are killed when they took too long, the one that only waits among them."""
        if self.side != self.bench.hangs and patience_s != 60:
            return {"values": []}
        raise WorkerEnded(Status.TIMED_OUT, "no result", self.request["index"])


def measure(
    bench: Bench, slowdown: float = 0.0, seed: str = "0", turns: int = 9, *, led: bool = True
) -> live_pair.Pair:
    cases = parse(SUITE, "two.yaml").cases()
    plans = {case.key: Plan(100, turns, led) for case in cases}
    limits = Limits(1e7, 60, 2**30)
    return paired_timing.measure_pair(bench.arms(slowdown), cases, plans, limits, seed)


def cases_of(variant: str) -> set[str]:
    return {case.key for case in parse(SUITE, "two.yaml").cases() if case.mechanism.name == variant}


def test_a_pair_gives_the_log_ratio_of_every_case() -> None:
    bench = Bench(lambda side, case, calls: (5e5, 6e5)[side])
    found = measure(bench)
    assert set(found.ratios) == cases_of("full") | cases_of("local_window")
    assert all(value == pytest.approx(math.log(1.2)) for value in found.ratios.values())
    assert sorted(bench.started) == [0, 1]
    assert bench.alive == 0


def test_the_last_value_of_each_case_is_held_to_what_its_own_arm_proved() -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    found = measure(bench)
    assert len(found.ratios) == 4
    assert bench.last.count(True) == 8
    assert len(bench.settled) == 8
    assert {told for told in bench.settled if told[2]} == {(1, key, f"of {key}") for key in cases_of("full")}


@pytest.mark.parametrize("side", [0, 1])
def test_a_case_that_goes_wrong_in_an_arm_has_no_ratio(side: int) -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    bench.wears = side
    found = measure(bench)
    assert found.ratios == {}
    assert {(end.arm, end.status) for end in found.ended.values()} == {("AB"[side], Status.WRONG)}


@pytest.mark.parametrize("led", [True, False])
def test_both_arms_are_told_alike_whether_a_call_leads_their_values(led: bool) -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    measure(bench, led=led)
    assert set(bench.led) == {led}


def test_the_ratio_is_the_median_over_turns() -> None:
    values = iter(range(10**6))

    def takes(side: int, case: Case, calls: int) -> float:
        return 1e6 if side == 0 or next(values) % 4 else 9e6

    assert set(measure(Bench(takes)).ratios.values()) == {0.0}


def test_arms_alternate_and_their_order_is_drawn() -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    measure(bench, turns=90)
    visits = list(zip(bench.visits[::2], bench.visits[1::2], strict=True))
    assert len(visits) == 4 * live_pair.VISITS
    for first, second in visits:
        assert {first[0], second[0]} == {0, 1}
        assert first[1:] == second[1:], "both are told the same case and the same order"
        assert all(sorted(first[3][at : at + 2]) == [0, 1] for at in range(0, 20, 2))
    firsts = [first[3][at] for first, _ in visits for at in range(0, 20, 2)]
    assert len(firsts) == 4 * 90
    assert 0.4 < sum(firsts) / len(firsts) < 0.6, "neither arm always goes first"


def test_which_arm_starts_first_is_drawn() -> None:
    bench = Bench(lambda side, case, calls: (1e6, 2e6)[side])
    found = [measure(bench, seed=str(seed)) for seed in range(20)]
    firsts = bench.started[::2]
    assert 0 < sum(firsts) < len(firsts)
    assert all(value == pytest.approx(math.log(2)) for each in found for value in each.ratios.values())


@pytest.mark.parametrize("hanging", [0, 1])
def test_the_arm_that_hangs_is_blamed_not_the_one_that_waits_for_it(hanging: int) -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    bench.hangs = hanging
    found = [measure(bench, seed=str(seed)) for seed in range(8)]
    ended = [end for each in found for end in each.ended.values()]
    assert len(ended) == 8 * 4
    assert {(end.arm, end.status) for end in ended} == {("AB"[hanging], Status.TIMED_OUT)}
    assert bench.alive == 0


def test_a_slow_down_is_real_work_divided_by_the_plan() -> None:
    bench = Bench(lambda side, case, calls: 1e6)
    found = measure(bench, slowdown=0.05)
    assert {(side, calls) for side, _, calls, _ in bench.visits} == {(0, 100), (1, 105)}
    assert all(value == pytest.approx(math.log(1.05)) for value in found.ratios.values())


def test_a_case_that_fails_in_one_arm_is_left_out() -> None:
    bad = cases_of("full")
    bench = Bench(lambda side, case, calls: None if side == 1 and case.key in bad else 1e6)
    found = measure(bench)
    assert set(found.ratios) == cases_of("local_window")
    assert found.ended == dict.fromkeys(bad, Ended("B", Status.FAILED, "cannot"))


def test_a_case_that_fails_in_both_arms_is_told_of_the_base() -> None:
    bench = Bench(lambda side, case, calls: None)
    found = [measure(bench, seed=str(seed)) for seed in range(8)]
    assert {end.arm for each in found for end in each.ended.values()} == {"A"}


@pytest.mark.parametrize("variants", [("full",), ("full", "local_window")], ids=["one", "all"])
def test_a_case_without_room_beside_the_others_is_measured_after_them(variants: tuple[str, ...]) -> None:
    bench = Bench(lambda side, case, calls: (5e5, 6e5)[side])
    bench.lacks_room = lambda case, many: case.mechanism.name in variants and many > 1
    found = measure(bench)
    assert set(found.ratios) == cases_of("full") | cases_of("local_window")
    assert found.ended == {}
    assert len(bench.started) == 2, "in the same pair"


def test_a_case_without_room_for_itself_is_told_of_the_base() -> None:
    bad = cases_of("full")
    bench = Bench(lambda side, case, calls: 1e6)
    bench.lacks_room = lambda case, many: case.key in bad
    for seed in range(8):
        found = measure(bench, seed=str(seed))
        assert set(found.ratios) == cases_of("local_window")
        assert found.ended == dict.fromkeys(bad, Ended("A", Status.OUT_OF_MEMORY, "no room"))


def test_a_case_that_kills_an_arm_is_left_out_and_the_others_go_on() -> None:
    bad = min(cases_of("full"))

    def takes(side: int, case: Case, calls: int) -> float:
        if case.key == bad:
            index = next(i for i, each in enumerate(grouped_with(bad)) if each.key == bad)
            raise WorkerEnded(Status.CRASHED, "gone", index)
        return 1e6

    bench = Bench(takes)
    found = measure(bench)
    assert set(found.ratios) == (cases_of("full") | cases_of("local_window")) - {bad}
    assert found.ended.keys() == {bad}
    assert found.ended[bad][1:] == (Status.CRASHED, "gone")
    assert len(bench.started) == 4
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


@pytest.mark.parametrize(
    ("call_us", "slowdown", "expected"),
    [
        pytest.param(10, 0.0, Plan(100, 63), id="a-turn-is-a-millisecond"),
        pytest.param(3000, 0.0, Plan(1, 54), id="or-one-call"),
        pytest.param(500_000, 0.0, Plan(1, 9, led=False), id="once-a-visit-at-least"),
        pytest.param(10, 0.05, Plan(100, 63), id="a-twentieth-of-a-hundred-is-whole"),
        pytest.param(30, 0.10, Plan(30, 63), id="calls-are-rounded-to-tens"),
        pytest.param(400, 0.05, Plan(20, 18), id="turns-get-longer-where-they-must"),
        pytest.param(10, 0.03, Plan(100, 63), id="thirds"),
    ],
)
def test_plan(call_us: float, slowdown: float, expected: Plan) -> None:
    found = paired_timing.plan(call_us * 1e3, slowdown)
    assert found == expected
    extra = Arm("B", slowdown).calls(found.calls) - found.calls
    assert extra == pytest.approx(slowdown * found.calls, rel=0.02)


REAL = Limits(1e6, 60, 2**30)


def real_cases() -> list[Case]:
    return parse(SUITE.replace("[16, 32]", "64"), "real.yaml").cases()


def test_real_workers_take_turns() -> None:
    cases = real_cases()
    found = paired_timing.measure_pair(
        (Arm("A"), Arm("B")), cases, {case.key: paired_timing.plan(1e5) for case in cases}, REAL, "0"
    )
    assert set(found.ratios) == {case.key for case in cases}
    assert all(abs(value) < math.log(100) for value in found.ratios.values())


def test_arms_are_held_still_and_nobody_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def start(*given: object) -> Any:
        seen.append({name: os.environ.get(name) for name in live_pair.ENVIRONMENT})

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", start)
    monkeypatch.setenv("OMP_PLACES", "threads")
    live_pair.fresh(None, (), multiprocessing.Pipe()[0])
    Worker("spawn")
    assert seen[0] == live_pair.ENVIRONMENT | {"OMP_PLACES": "threads"}, "what the user has set stays"
    assert seen[1] == dict.fromkeys(live_pair.ENVIRONMENT) | {"OMP_PLACES": "threads"}


def test_a_real_worker_does_not_wait_for_a_dead_one() -> None:
    ours, theirs = multiprocessing.Pipe()
    with Worker("spawn", link=ours) as left:
        with Worker("spawn", link=theirs) as right:
            ours.close()
            theirs.close()
            assert left.ask(live_pair.ready_request(real_cases(), REAL), 60) == {}
            right.wait()
        turns = {"do": "turns", "index": 0, "calls": 1, "led": True, "last": False, "side": 0, "order": [1, 0]}
        assert left.ask(turns, 60) == {"values": []}
