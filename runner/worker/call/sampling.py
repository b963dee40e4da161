"""Sampling within one process: warm-up, how many calls make a value, and the interleaving of cases.

Nothing here knows time or torch: clocks are passed in, so that every rule is tested with a fake one.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.runner.worker.call.clocks import Clock

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
ESTIMATE_CALLS = 1000
"""On CUDA a call takes the host much longer than the device, where it is short."""
_TAKEN = {"cpu": 1, "cuda": 2}
"""How often every value is taken: on CUDA with a cold cache, and again with a hot one."""


@dataclass(frozen=True)
class WarmUp:
    """How a case was warmed up."""

    calls: int
    steady: bool
    """Whether its last two windows agreed; true of a case that is too long to be judged."""


@dataclass(frozen=True)
class Plan:
    """How a case is timed in every replicate: `values` values of `calls` calls each. Frozen after the probe."""

    calls: int
    values: int
    led: bool = True
    """Whether a call that is not timed goes before each value; on CUDA the clock makes its own, whatever this says.

    It brings back the caches and the threads, so that a value does not depend on its neighbour. Part of the plan, for
    processes that are compared must not decide it each for itself.
    """


def led(call_ns: float) -> bool:
    """Whether a call that is not timed goes before each value: what takes long brings back the caches itself."""
    return call_ns <= SLOW_CALL_NS


def plan(call_ns: float, values: int, value_ns: float, share_ns: float, device: str = "cpu") -> Plan:
    """At least one and at most `values` values of about `value_ns` or one call, as many as fit `share_ns`."""
    calls = max(1, round(value_ns / call_ns))
    made = calls + (device == "cuda" or led(call_ns))
    affordable = int(share_ns / (_TAKEN[device] * made * call_ns))
    return Plan(calls, max(1, min(values, affordable)), led(call_ns))


def estimate(call: Callable[[], object], clock: Clock, first_call_ns: float) -> float:
    """About how long a call takes, for planning: the first call if that was long, else a median over 30 ms.

    Of at most 1,000 calls.
    """
    if first_call_ns > LONG_CALL_NS:
        return first_call_ns
    times: list[float] = []
    spent_ns = 0.0
    while len(times) < WARMUP_CALLS or (spent_ns < ESTIMATE_NS and len(times) < ESTIMATE_CALLS):
        times.append(clock(call, 1))
        spent_ns += times[-1]
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
            return WarmUp(len(times_ns), slow or _agree(times_ns))


def timing_ns(plan: Plan, call_ns: float, value_ns: float, device: str = "cpu") -> float:
    """About how long a steady case takes in a process, for planning: warm-up, values and their leads.

    On CUDA without what the host takes, which may be more.
    """
    leads = plan.led if device == "cpu" else min(plan.calls, 2)
    return _warm_up_ns(call_ns, value_ns, device) + _TAKEN[device] * plan.values * (plan.calls + leads) * call_ns


def _warm_up_ns(call_ns: float, value_ns: float, device: str) -> float:
    if device == "cuda":
        return call_ns if call_ns > LONG_CALL_NS else max(CUDA_WARMUP_CALLS * call_ns, CUDA_WARMUP_NS)
    calls = WARMUP_CALLS if call_ns > SLOW_CALL_NS else 2 * WINDOW
    return max(call_ns, min(max(calls * call_ns, value_ns), MOST_WARMUP_NS))


def _agree(times_ns: Sequence[float]) -> bool:
    """Whether the last two windows are there, and their medians agree."""
    if len(times_ns) < 2 * WINDOW:
        return False
    before, after = (sorted(each)[WINDOW // 2] for each in (times_ns[-2 * WINDOW : -WINDOW], times_ns[-WINDOW:]))
    return abs(after - before) <= STEADY * before


def interleave(plans: Sequence[Plan], rng: random.Random, take: Callable[[int, bool], None]) -> None:
    """Take every case's values in rounds: one value a case and round, in a new random order each round.

    `take(index, last)` is told which value is a case's last.
    """
    for turn in range(max((each.values for each in plans), default=0)):
        order = [index for index, each in enumerate(plans) if turn < each.values]
        rng.shuffle(order)
        for index in order:
            take(index, turn == plans[index].values - 1)
