"""Two arms measured against each other: two live workers that take turns, in pairs of fresh processes.

One pair gives each case one number: the median over its turns of log(time of B / time of A). Turns are about ten
milliseconds long and follow each other at once, so that whatever drifts hits both arms alike; a pair is two new
processes, so that what differs between processes is part of the spread.
"""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.runner.prober import threads
from attnbench.runner.sampling import Plan
from attnbench.runner.workers import Asked, StartWorker, Worker, WorkerEnded
from attnbench.suites import Case, grouped


@dataclass(frozen=True)
class Arm:
    """What is measured: the code at hand, or a version of it that is slower by a known share.

    `slowdown` is real work: where the other arm makes L calls, this one makes L + round(slowdown L) and divides by L.
    """

    name: str
    slowdown: float = 0.0

    def calls(self, calls: int) -> int:
        """The calls that this arm makes for `calls`."""
        return calls + round(self.slowdown * calls)


@dataclass(frozen=True)
class Setting:
    """How pairs are measured: turns of a case in a pair, the length of a turn, and the limits of a worker."""

    turns: int
    value_ns: float
    patience_s: float
    budget_bytes: int | None
    """None for CUDA: a limit on the host's memory is none on the device's."""
    folders: tuple[Path, ...] = ()
    start_worker: StartWorker = Worker


def measure_pair(
    arms: tuple[Arm, Arm], cases: Sequence[Case], plans: Mapping[str, Plan], setting: Setting, seed: str
) -> dict[str, float]:
    """log(time of B / time of A) of every case in one new pair of processes, by case key.

    A case that fails, or kills its process, in either arm is left out; the others go on in new processes.
    """
    rng = random.Random(seed)
    order = grouped(cases)
    rng.shuffle(order)
    found: dict[str, float] = {}
    pair: _Pair | None = None
    try:
        for group in order:
            left = list(group)
            while left:
                pair = pair or _Pair(arms, setting)
                try:
                    found |= pair.measure(left, plans, rng)
                    break
                except WorkerEnded as end:
                    pair.close()
                    pair = None
                    del left[end.index]
    finally:
        if pair is not None:
            pair.close()
    return found


class _Pair:
    """Two live workers."""

    def __init__(self, arms: tuple[Arm, Arm], setting: Setting) -> None:
        self._arms = arms
        self._setting = setting
        self._workers: list[Asked] = []
        try:
            for _ in arms:
                # One after the other: arms that started together differed by 5 % for their whole lives, not by 1 %.
                worker = setting.start_worker("spawn", setting.budget_bytes, setting.folders)
                self._workers.append(worker)
                worker.wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End both processes."""
        for worker in self._workers:
            worker.close()

    def measure(self, cases: list[Case], plans: Mapping[str, Plan], rng: random.Random) -> dict[str, float]:
        """The log ratio of each case of a group that both arms can do."""
        unfit = {index for worker in self._workers for index in self._ask(worker, ready_request(cases, self._setting))}
        ratios: dict[int, list[float]] = {index: [] for index in range(len(cases)) if index not in unfit}
        for _ in range(self._setting.turns):
            order = list(ratios)
            rng.shuffle(order)
            for index in order:
                turn = self._turn(index, plans[cases[index].key].calls, rng)
                if turn is None:
                    del ratios[index]
                else:
                    ratios[index].append(turn)
        return {cases[index].key: statistics.median(told) for index, told in ratios.items()}

    def _turn(self, index: int, calls: int, rng: random.Random) -> float | None:
        """log(B / A) of one value each, in random order; nothing where the case failed."""
        times: dict[int, float | None] = {}
        for side in rng.sample((0, 1), 2):
            made = self._arms[side].calls(calls)
            value = self._ask(self._workers[side], {"do": "take", "index": index, "calls": made})
            times[side] = None if value is None else value * made / calls
        a, b = times[0], times[1]
        return None if a is None or b is None else math.log(b / a)

    def _ask(self, worker: Asked, request: dict[str, Any]) -> Any:
        return worker.ask(request, self._setting.patience_s)


def ready_request(cases: Sequence[Case], setting: Setting) -> dict[str, Any]:
    """Asks a worker to make the cases of a group ready; it answers which of them failed to be."""
    return {
        "do": "ready",
        "cases": [case.to_json() for case in cases],
        "threads": threads(cases[0]),
        "value_ns": setting.value_ns,
    }
