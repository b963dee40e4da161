"""Sampling within one process: warm-up, the number of calls in a value, and the order of cases.

This module uses neither time nor torch. Clocks are passed in, so that every rule can be tested with a fake clock.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.runner.worker.call.clocks import Clock

LONG_CALL_NS = 1_000_000_000
"""A longer call warms up once, and one call makes a value."""
SLOW_CALL_NS = 10_000_000
"""A case with only longer calls warms up three times, because windows would cost more than its values."""
WARMUP_CALLS = 3
MOST_WARMUP_NS = 1_000_000_000
WINDOW = 5
"""Number of calls whose median is compared with the median of as many calls before."""
STEADY = 0.02
"""The largest relative difference between the medians of two windows that counts as steady."""
CUDA_WARMUP_CALLS = 25
CUDA_WARMUP_NS = 200_000_000
ESTIMATE_NS = 30_000_000
ESTIMATE_CALLS = 1000
"""Maximum number of calls of an estimate. On CUDA, a short call takes the host much longer than the device."""
_TAKEN = {"cpu": 1, "cuda": 2}
"""How often every value is taken. On CUDA, it is taken with a cold cache and again with a hot one."""


@dataclass(frozen=True)
class WarmUp:
    """Warm-up of a case: how long it was, and whether times were steady at its end."""

    calls: int
    steady: bool
    """Whether its last two windows agreed. True if calls are too long for windows."""


@dataclass(frozen=True)
class Plan:
    """Plan of how a case is timed in every replicate: `values` values of `calls` calls each. Fixed after the probe."""

    calls: int
    values: int
    led: bool = True
    """Whether an untimed call goes before each value. Ignored on CUDA, where the clock makes its own.

    This call fills the caches and wakes the threads, so that a value does not depend on the case before it. It is part
    of the plan because all processes that are compared must do the same.
    """


def led(call_ns: float) -> bool:
    """Decide whether an untimed call goes before each value. A long call fills the caches itself."""
    return call_ns <= SLOW_CALL_NS


def plan(call_ns: float, values: int, value_ns: float, share_ns: float, device: str = "cpu") -> Plan:
    """Plan up to `values` values, as many as fit into `share_ns` but at least one.

    A value is one call or about `value_ns` of calls.
    """
    calls = max(1, round(value_ns / call_ns))
    # The untimed call before each value is part of its cost.
    made = calls + (device == "cuda" or led(call_ns))
    affordable = int(share_ns / (_TAKEN[device] * made * call_ns))
    return Plan(calls, max(1, min(values, affordable)), led(call_ns))


def estimate(call: Callable[[], object], clock: Clock, first_call_ns: float) -> float:
    """Estimate the time of a call, for planning only.

    This is the first call's time if it was longer than a second, else the median over 30 ms or 1,000 calls.
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
    """Call until times are steady. Return the number of calls and whether they were steady.

    On the CPU, warm-up takes at least 3 calls and the time of one value. It ends when the medians of two successive
    windows of 5 calls agree within 2 %, or after a second. If every call takes more than 10 ms, 3 calls are enough. On
    CUDA, it takes at least 25 launches and 200 ms, steady or not. A call longer than a second warms up once.
    """
    times_ns: list[float] = []
    spent_ns, least_ns = 0.0, math.inf
    while True:
        took_ns = clock(call, 1)
        times_ns.append(took_ns)
        spent_ns, least_ns = spent_ns + took_ns, min(least_ns, took_ns)
        # The least time decides, because the first call may be slow for other reasons.
        slow = least_ns > SLOW_CALL_NS
        if device == "cuda":
            enough = took_ns > LONG_CALL_NS or (len(times_ns) >= CUDA_WARMUP_CALLS and spent_ns >= CUDA_WARMUP_NS)
        else:
            settled = slow or (spent_ns >= value_ns and _agree(times_ns))
            enough = spent_ns >= MOST_WARMUP_NS or (len(times_ns) >= WARMUP_CALLS and settled)
        if enough:
            return WarmUp(len(times_ns), slow or _agree(times_ns))


def timing_ns(plan: Plan, call_ns: float, value_ns: float, device: str = "cpu") -> float:
    """Estimate the time of a steady case in a process, for planning: warm-up, values and untimed calls.

    On CUDA, this is device time only; the host may take longer.
    """
    leads = plan.led if device == "cpu" else min(plan.calls, 2)
    return _warm_up_ns(call_ns, value_ns, device) + _TAKEN[device] * plan.values * (plan.calls + leads) * call_ns


def _warm_up_ns(call_ns: float, value_ns: float, device: str) -> float:
    if device == "cuda":
        return call_ns if call_ns > LONG_CALL_NS else max(CUDA_WARMUP_CALLS * call_ns, CUDA_WARMUP_NS)
    # Two windows is the shortest warm-up that can be steady.
    calls = WARMUP_CALLS if call_ns > SLOW_CALL_NS else 2 * WINDOW
    return max(call_ns, min(max(calls * call_ns, value_ns), MOST_WARMUP_NS))


def _agree(times_ns: Sequence[float]) -> bool:
    """Check whether there are two windows whose medians agree."""
    if len(times_ns) < 2 * WINDOW:
        return False
    before, after = (sorted(each)[WINDOW // 2] for each in (times_ns[-2 * WINDOW : -WINDOW], times_ns[-WINDOW:]))
    return abs(after - before) <= STEADY * before


def interleave(plans: Sequence[Plan], rng: random.Random, take: Callable[[int, bool], None]) -> None:
    """Take values in rounds, one of each case in a new random order, so that drift affects all cases alike.

    Each value is taken by `take(index, last)`, where `last` says whether it is the case's last.
    """
    for turn in range(max((each.values for each in plans), default=0)):
        order = [index for index, each in enumerate(plans) if turn < each.values]
        rng.shuffle(order)
        for index in order:
            take(index, turn == plans[index].values - 1)
