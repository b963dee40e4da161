"""Timing of two arms against each other, in pairs of fresh processes that take turns.

One pair gives each case one number: the median over its turns of log(time of B / time of A). Turns take about one
millisecond and follow each other directly, because the workers hand over to each other. So drift affects both arms
equally. Each pair is two new processes, so the spread includes differences between processes.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from attnbench.runner.ab.live_pair import VISITS, Arm, ArmLost, Ended, Limits, LivePair, Pair
from attnbench.runner.machine import memory
from attnbench.runner.worker.call import sampling
from attnbench.runner.worker.call.sampling import Plan
from attnbench.suites import Case, Status, grouped
from attnbench.suites.schema.limits import Budget

TURN_NS = 1_000_000
"""About how long a turn takes. Disturbances on a shared machine last for milliseconds, so in the same total time many
short turns have a third of the spread of a few turns of ten milliseconds."""
PAIR_NS = 150_000_000
"""About how long the values of one arm take in a pair, for each case; less if `MOST_TURNS` is reached before."""
MOST_TURNS = 63
ARMS = 2
"""Number of live workers that share the memory."""

Say = Callable[[str], None]
"""Prints a progress message."""
Flag = Callable[[Mapping[str, list[float]]], list[str]]
"""Selects the cases to confirm from the log ratios of the screening pairs."""


def share_bytes(budget: Budget) -> int:
    """Return the memory of each of the two live workers. Both run at the same time and keep their memory."""
    return budget.bytes_of(memory.available_bytes() // ARMS)


@dataclass(frozen=True)
class Stages:
    """Numbers of pairs of processes: to screen every case, and to confirm flagged cases."""

    screen: int
    confirm: int


def plan(call_ns: float, slowdown: float = 0.0) -> Plan:
    """Return the plan of a case in a pair: `values` turns of `calls` calls, given the approximate time of a call.

    With a slow-down of x, the number of calls is a multiple of 1 / x, so that the additional calls are a whole number.
    """
    step = 1 / slowdown if slowdown else 1.0
    calls = round(step * max(1, round(TURN_NS / (step * call_ns))))
    turns = min(PAIR_NS / (calls * call_ns), MOST_TURNS)
    return Plan(calls, VISITS * max(1, round(turns / VISITS)), sampling.led(call_ns))


def measure_pair(
    arms: tuple[Arm, Arm], cases: Sequence[Case], plans: Mapping[str, Plan], limits: Limits, seed: str
) -> Pair:
    """Measure cases in one new pair of processes. If a case kills a process, continue with the others in a new pair.

    All cases of a group are held in memory at once. A case without enough memory is measured afterwards, alone.
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
                    blamed = left.pop(lost.end.index)
                    ended[blamed.key] = Ended(lost.arm, lost.end.status, lost.end.reason)
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
