"""Sampling within one process: warm-up, how many calls make a value, and the interleaving of cases.

Nothing here knows time or torch: clocks are passed in, so that every rule is tested with a fake one.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.runner.worker.clocks import Clock

LONG_CALL_NS = 1_000_000_000
"""A call longer than this warms up once, and one call makes a value."""
SLOW_CALL_NS = 10_000_000
"""A case whose every call is longer than this warms up three times: its windows would cost more than its values."""
WARMUP_CALLS = 3
MOST_WARMUP_NS = 1_000_000_000
WINDOW = 5
"""Calls whose median is compared with that of as many calls before."""
STEADY = 0.02
"""The largest difference of two windows' medians that counts as none."""
CUDA_WARMUP_CALLS = 25
CUDA_WARMUP_NS = 200_000_000
ESTIMATE_NS = 30_000_000
_TAKEN = {"cpu": 1, "cuda": 2}
"""How often every value is taken: on CUDA with a cold cache, and again with a hot one."""


@dataclass(frozen=True)
class WarmUp:
    """How a case was warmed up."""

    calls: int
    steady: bool
    """Whether its last two windows agreed; true of a case that is too long to be judged."""
    slow: bool
    """Whether every call took longer than `SLOW_CALL_NS`."""


@dataclass(frozen=True)
class Plan:
    """How a case is timed in every replicate: `values` values of `calls` calls each. Frozen after the probe."""

    calls: int
    values: int


def plan(call_ns: float, values: int, value_ns: float, share_ns: float, device: str = "cpu") -> Plan:
    """At least one and at most `values` values of about `value_ns` or one call, as many as fit `share_ns`."""
    calls = max(1, round(value_ns / call_ns))
    affordable = int(share_ns / (_TAKEN[device] * (calls + _leads(call_ns, device)) * call_ns))
    return Plan(calls, max(1, min(values, affordable)))


def _leads(call_ns: float, device: str) -> int:
    """Calls before each value that are not timed."""
    return 0 if device == "cpu" and call_ns > SLOW_CALL_NS else 1


def estimate(call: Callable[[], object], clock: Clock, first_call_ns: float) -> float:
    """About how long a call takes, for planning: the first call if that was long, else a median over 30 ms."""
    if first_call_ns > LONG_CALL_NS:
        return first_call_ns
    times: list[float] = []
    while len(times) < WARMUP_CALLS or sum(times) < ESTIMATE_NS:
        times.append(clock(call, 1))
    return sorted(times)[len(times) // 2]


def warm_up(call: Callable[[], object], clock: Clock, device: str, value_ns: float) -> WarmUp:
    """Call until the case has settled, and say how often and whether it had.

    CPU: at least 3 calls and as long as one value, then until two successive windows of 5 calls agree in median within
    2 %, at most a second in all; 3 calls are enough where each takes more than 10 ms. CUDA: at least 25 launches and
    200 ms, whether they agree or not. A call longer than a second warms up once.
    """
    times_ns: list[float] = []
    spent_ns, least_ns = 0.0, math.inf
    while True:
        took_ns = clock(call, 1)
        times_ns.append(took_ns)
        spent_ns, least_ns = spent_ns + took_ns, min(least_ns, took_ns)
        slow = least_ns > SLOW_CALL_NS
        if device == "cuda":
            enough = took_ns > LONG_CALL_NS or (len(times_ns) >= CUDA_WARMUP_CALLS and spent_ns >= CUDA_WARMUP_NS)
        else:
            settled = slow or (spent_ns >= value_ns and _agree(times_ns))
            enough = spent_ns >= MOST_WARMUP_NS or (len(times_ns) >= WARMUP_CALLS and settled)
        if enough:
            return WarmUp(len(times_ns), slow or _agree(times_ns), slow)


def timing_ns(plan: Plan, call_ns: float, value_ns: float) -> float:
    """About how long a steady case takes in a process on the CPU, for planning: warm-up, values and their leads."""
    return _warm_up_ns(call_ns, value_ns) + plan.values * (plan.calls + _leads(call_ns, "cpu")) * call_ns


def _warm_up_ns(call_ns: float, value_ns: float) -> float:
    calls = WARMUP_CALLS if call_ns > SLOW_CALL_NS else 2 * WINDOW
    return max(call_ns, min(max(calls * call_ns, value_ns), MOST_WARMUP_NS))


def _agree(times_ns: Sequence[float]) -> bool:
    """Whether the last two windows are there, and their medians agree."""
    if len(times_ns) < 2 * WINDOW:
        return False
    before, after = (sorted(each)[WINDOW // 2] for each in (times_ns[-2 * WINDOW : -WINDOW], times_ns[-WINDOW:]))
    return abs(after - before) <= STEADY * before


def interleave(plans: Sequence[Plan], rng: random.Random, take: Callable[[int], None]) -> None:
    """Take every case's values in rounds: one value a case and round, in a new random order each round."""
    for turn in range(max((each.values for each in plans), default=0)):
        order = [index for index, each in enumerate(plans) if turn < each.values]
        rng.shuffle(order)
        for index in order:
            take(index)
