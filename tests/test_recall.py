"""Who remembers earlier calls is found, and who does not is not, whatever else the machine does."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from settings import case_of
from stages import unheard
from torch import Tensor

from attnbench.runner.worker.call import programs
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import recall
from attnbench.suites import Case, Status
from attnbench.variants import Shape
from attnbench.variants.kernels import Program

BUDGET = 2**32


def pairs(seed: int, ratio: float, call_ns: float = 50_000.0) -> Callable[[int], tuple[float, float]]:
    """Times on a busy machine: some calls are interrupted. New content takes `ratio` times as long."""
    drawn = random.Random(seed)

    def timed(least: float) -> float:
        delay = drawn.expovariate(1 / call_ns) if drawn.random() < 0.25 else 0.0
        return least * drawn.uniform(1.0, 1.05) + delay

    return lambda _: (timed(ratio * call_ns), timed(call_ns))


def test_noise_is_no_memory() -> None:
    reported = [recall.remembers(pairs(seed, 1.0), (6e4, 5e4)) for seed in range(300)]
    assert not any(reported)


def test_a_call_that_is_slower_when_it_is_first_is_no_memory() -> None:
    """What runs before a pair slows the call after it, and each is first in turn."""

    def pair(number: int) -> tuple[float, float]:
        times = (70_000.0, 50_000.0)
        return times if number % 2 == 0 else times[::-1]

    assert recall.remembers(pair, (7e4, 5e4)) is None


@pytest.mark.parametrize("ratio", [2.0, 20.0])
def test_memory_is_found_beside_noise(ratio: float) -> None:
    found = [recall.remembers(pairs(seed, ratio), (6e4, 5e4)) for seed in range(100)]
    assert sum(each is not None for each in found) >= 95


def test_a_layer_that_remembers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    build, made = programs.build, case_of("full", {}, "eager", Shape(2, 4, 4, 256, 16)).changed(level="layer")

    def remembering(case: Case, content: int = 0) -> Program:
        program = build(case, content)
        kept: dict[tuple[int, int], Tensor] = {}

        def call(x: Tensor) -> Tensor:
            known = (x.data_ptr(), x._version)
            if known not in kept:
                kept.clear()
                kept[known] = program.call(x)
            return kept[known].clone()

        return replace(program, call=call)

    assert probe(made, BUDGET, unheard).status is Status.PASSED
    monkeypatch.setattr(programs, "build", remembering)
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.WRONG
    assert "remembers" in found.reason
