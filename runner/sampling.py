"""Sampling within one process: warm-up, how many calls make a value, and the interleaving of cases.

Nothing here knows time or torch: clocks are passed in, so that every rule is tested with a fake one.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.runner.clocks import Clock

LONG_CALL_NS = 1_000_000_000
"""A call longer than this warms up once, and one call makes a value."""
WARMUP_CALLS = 3
CUDA_WARMUP_CALLS = 25
CUDA_WARMUP_NS = 200_000_000
ESTIMATE_NS = 30_000_000


@dataclass(frozen=True)
class Plan:
    """How a case is timed in every replicate: `values` values of `calls` calls each. Frozen after the probe."""

    calls: int
    values: int


def plan(call_ns: float, values: int, value_ns: float, share_ns: float) -> Plan:
    """At least one and at most `values` values of about `value_ns` or one call, as many as fit `share_ns`."""
    calls = max(1, round(value_ns / call_ns))
    affordable = int(share_ns / (calls * call_ns))
    return Plan(calls, max(1, min(values, affordable)))


def estimate(call: Callable[[], object], clock: Clock, first_call_ns: float) -> float:
    """About how long a call takes, for planning: the first call if that was long, else a median over 30 ms."""
    if first_call_ns > LONG_CALL_NS:
        return first_call_ns
    times: list[float] = []
    while len(times) < WARMUP_CALLS or sum(times) < ESTIMATE_NS:
        times.append(clock(call, 1))
    return sorted(times)[len(times) // 2]


def warm_up(call: Callable[[], object], clock: Clock, device: str, value_ns: float) -> int:
    """Call until the case has settled, and say how often.

    CPU: at least 3 calls and as long as one value. CUDA: at least 25 launches and 200 ms. A call longer than a
    second warms up once.
    """
    at_least = CUDA_WARMUP_CALLS if device == "cuda" else WARMUP_CALLS
    enough_ns = CUDA_WARMUP_NS if device == "cuda" else value_ns
    calls, spent_ns = 0, 0.0
    while calls < at_least or spent_ns < enough_ns:
        took_ns = clock(call, 1)
        calls, spent_ns = calls + 1, spent_ns + took_ns
        if took_ns > LONG_CALL_NS:
            break
    return calls


def interleave(plans: Sequence[Plan], rng: random.Random, take: Callable[[int], None]) -> None:
    """Take every case's values in rounds: one value a case and round, in a new random order each round."""
    for turn in range(max((each.values for each in plans), default=0)):
        order = [index for index, each in enumerate(plans) if turn < each.values]
        rng.shuffle(order)
        for index in order:
            take(index)
