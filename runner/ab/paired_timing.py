"""Times two arms against each other in pairs of fresh processes that take turns.

One pair gives each case one number: the median over its turns of log(time of B / time of A). Turns are about one
millisecond long and follow each other at once, handed over between the workers themselves, so that whatever drifts
hits both arms alike; a pair is two new processes, so that what differs between processes is part of the spread.
"""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from attnbench.runner.ab.live_pair import ENVIRONMENT, VISITS, Arm, ArmLost, Ended, Limits, LivePair, Pair
from attnbench.runner.machine import memory
from attnbench.runner.worker.call import sampling
from attnbench.runner.worker.call.sampling import Plan
from attnbench.suites import Case, Status, grouped
from attnbench.suites.schema.limits import Budget

TURN_NS = 1_000_000
"""About how long a value is in a turn. What disturbs a shared machine lasts for milliseconds: in the same time, many
short turns come out three times closer to each other than a few of ten milliseconds."""
PAIR_NS = 150_000_000
"""About how long the values of one arm take in a pair, for each case; less where `MOST_TURNS` are done before."""
MOST_TURNS = 63
ARMS = 2
"""Live workers that share the memory."""

Say = Callable[[str], None]
"""Tells the user what goes on."""
Flag = Callable[[Mapping[str, list[float]]], list[str]]
"""Which cases are to be confirmed, from the log ratios of the screening pairs."""


def environment() -> dict[str, str]:
    """What holds both arms still, as it is here."""
    return {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}


def share_bytes(budget: Budget) -> int:
    """What each of two live workers may allocate: both are there at once, and keep what they had."""
    return budget.bytes_of(memory.available_bytes() // ARMS)


@dataclass(frozen=True)
class Stages:
    """How many pairs of processes screen every case and confirm a flagged one."""

    screen: int
    confirm: int


def plan(call_ns: float, slowdown: float = 0.0) -> Plan:
    """How a case is measured in a pair: `values` turns of `calls` calls, from about how long a call takes.

    Where an arm is slower by x, calls come in multiples of 1 / x: x of them is then a whole number of calls.
    """
    step = 1 / slowdown if slowdown else 1.0
    calls = round(step * max(1, round(TURN_NS / (step * call_ns))))
    turns = min(PAIR_NS / (calls * call_ns), MOST_TURNS)
    return Plan(calls, VISITS * max(1, round(turns / VISITS)), sampling.led(call_ns))


def measure_pair(
    arms: tuple[Arm, Arm], cases: Sequence[Case], plans: Mapping[str, Plan], limits: Limits, seed: str
) -> Pair:
    """Measure cases in one new pair of processes. After a case that kills one, the others go on in new processes.

    What finds no room beside the others of its group, which are all held ready at once, is measured after them, alone.
    """
    rng = random.Random(seed)
    order = grouped(cases)
    rng.shuffle(order)
    ratios: dict[str, float] = {}
    ended: dict[str, Ended] = {}
    live: LivePair | None = None
    try:
        while order:
            left = order.pop(0)
            while left:
                live = live or LivePair(arms, limits, rng)
                try:
                    found = live.measure(left, plans, rng)
                except ArmLost as lost:
                    live.close()
                    live = None
                    struck = left.pop(lost.end.index)
                    ended[struck.key] = Ended(lost.arm, lost.end.status, lost.end.reason)
                else:
                    lacking = {key for key, end in found.ended.items() if end.status is Status.OUT_OF_MEMORY}
                    crowded = lacking if len(left) > 1 else set()
                    ratios |= found.ratios
                    ended |= {key: end for key, end in found.ended.items() if key not in crowded}
                    order[:0] = [[case] for case in left if case.key in crowded]
                    break
    finally:
        if live is not None:
            live.close()
    return Pair(ratios, ended)
