"""How much faster `strided` and `fixed` train in parts than dense causal attention, and what they take.

Rounds of one call of each pattern and one of dense attention, in random order in one process; printed are the median
of the rounds' ratios and their range.

    python tests/benchmarks/parts.py
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from settings import pattern_of

from attnbench.runner.worker.call import calls
from attnbench.variants import Setting, Shape, kernels
from attnbench.variants.kernels import Program

SHAPE = Shape(1, 8, 8, 8192, 64)
SETTING = Setting("cpu", "float32", "training", SHAPE, "auto")
ROUNDS = 9
PATTERNS: list[tuple[str, dict[str, Any]]] = [
    ("strided", {"stride": 128}),
    ("strided", {"stride": 90}),
    ("strided", {"stride": 128, "causal": False}),
    ("fixed", {"block": 128, "summary": 8}),
    ("fixed", {"block": 128, "summary": 16}),
    ("fixed", {"block": 128, "summary": 32}),
    ("fixed", {"block": 128, "summary": 8, "causal": False}),
]


def main() -> None:
    """A line for each pattern."""
    given = calls.inputs(SHAPE, "float32", "cpu")
    built = [_build(*pattern, "blockwise") for pattern in PATTERNS]
    dense = _build("full", {"causal": True}, "sdpa")
    arms: list[Callable[[], object]] = [calls.call(kernel, given, "training").run for kernel in (dense, *built)]
    rounds = [_round(arms) for _ in range(ROUNDS + 1)][1:]  # the first is the warm-up
    dense_ms = statistics.median(each[0] for each in rounds)
    print(f"training at N={SHAPE.seq_len}: dense causal sdpa {dense_ms:.0f} ms")
    for place, ((name, parameters), kernel) in enumerate(zip(PATTERNS, built, strict=True), start=1):
        ratios = sorted(each[0] / each[place] for each in rounds)
        took_ms = statistics.median(each[place] for each in rounds)
        pairs = pattern_of(name, parameters).spans(SHAPE.seq_len).pairs() * SHAPE.batch * SHAPE.heads
        waste = (kernel.computed_pairs or 0) / pairs
        told = ", ".join(f"{key}={value}" for key, value in parameters.items())
        print(
            f"{name}({told}): {took_ms:.0f} ms, {statistics.median(ratios):.1f} times as fast "
            f"({ratios[0]:.1f} to {ratios[-1]:.1f}), waste {waste:.2f}"
        )


def _build(name: str, parameters: dict[str, Any], implementation: str) -> Program:
    return kernels.load(implementation).build(pattern_of(name, parameters), SETTING)


def _round(arms: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of one call of each."""
    took_ms = [0.0] * len(arms)
    for place in random.sample(range(len(arms)), len(arms)):
        begun = time.perf_counter()
        arms[place]()
        took_ms[place] = (time.perf_counter() - begun) * 1e3
    return took_ms


if __name__ == "__main__":
    main()
