"""Two live workers that take turns on the cases of a group."""

import math
import multiprocessing
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.workers.prober import threads
from attnbench.runner.workers.worker import Worker, WorkerEnded, started
from attnbench.suites import Case, Status

VISITS = 9
"""A case takes its turns in so many visits, so that one bad moment does not spoil all of them; at least one in each."""
_GRACE_S = 10.0
"""A worker that waits for another which is gone says so before this."""
ENVIRONMENT = {
    "OMP_PROC_BIND": "close",
    "OMP_PLACES": "cores",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
}
"""What holds both arms still; what the user has set stays.

Threads are bound, for on a shared machine cores differ by what their neighbours do, and arms on different cores differ
as long. glibc keeps the memory that it has: else it depends on the layout of the heap, that is on chance, whether it
gives megabytes back and takes them again with every call, and page faults can be half of a call's time.
"""


class Partner(Protocol):
    """A worker that takes turns with another, as its parent sees it; a test's stand-in is one too."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def tell(self, request: dict[str, Any]) -> None:
        """Send a request, and do not wait for the reply."""

    def reply(self, patience_s: float) -> Any:
        """The reply to it."""

    def close(self) -> None:
        """End it."""


Start = Callable[[int | None, tuple[Path, ...], Connection], Partner]
"""Starts a worker: within which budget of bytes, with which folders of variants, linked to which partner."""


def fresh(budget_bytes: int | None, folders: tuple[Path, ...], link: Connection) -> Partner:
    """A freshly executed interpreter that runs the code at hand."""
    return Worker("spawn", budget_bytes, folders, link, ENVIRONMENT)


@dataclass(frozen=True)
class Arm:
    """What is measured: the code at hand, or a version of it that is slower by a known share.

    `slowdown` is real work: where the other arm makes L calls, this one makes L + round(slowdown L) and divides by L.
    """

    name: str
    slowdown: float = 0.0
    start: Start = fresh
    digests: Mapping[str, str | None] = field(default_factory=dict)
    """Of what each case's probe proved, by key."""

    def calls(self, calls: int) -> int:
        """The calls that this arm makes for `calls`."""
        return calls + round(self.slowdown * calls)


@dataclass(frozen=True)
class Limits:
    """What workers are given: the length of a warm-up, and their limits."""

    value_ns: float
    patience_s: float
    budget_bytes: int | None
    """None for CUDA: a limit on the host's memory is none on the device's."""
    folders: tuple[Path, ...] = ()


class Ended(NamedTuple):
    """How a case ended in an arm that could not measure it."""

    arm: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Pair:
    """What one new pair of processes found, by case key."""

    ratios: Mapping[str, float]
    """log(time of B / time of A)."""
    ended: Mapping[str, Ended]
    """The cases that failed, or killed their process, in an arm."""


class ArmLost(Exception):
    """The worker of an arm died."""

    def __init__(self, arm: str, end: WorkerEnded) -> None:
        super().__init__(arm)
        self.arm = arm
        self.end = end


class LivePair:
    """Two live workers; chance decides which arm's is started first."""

    def __init__(self, arms: tuple[Arm, Arm], limits: Limits, rng: random.Random) -> None:
        self._arms = rng.sample(arms, len(arms))
        self._base = self._arms.index(arms[0])
        self._limits = limits
        self._workers: list[Partner] = []
        links = multiprocessing.Pipe()
        try:
            for arm, link in zip(self._arms, links, strict=True):
                # One after the other: what imports beside something else may keep the layout that it got there.
                self._workers.append(started(partial(arm.start, limits.budget_bytes, limits.folders, link)))
        except BaseException:  # Ctrl-C too: no process is left behind
            self.close()
            raise
        finally:
            for link in links:
                # Only the workers hold their ends: if one dies, the other sees it.
                link.close()

    def close(self) -> None:
        """End both processes."""
        for worker in self._workers:
            worker.close()

    def measure(self, cases: list[Case], plans: Mapping[str, Plan], rng: random.Random) -> Pair:
        """Each case of a group in turns. What ends in both arms is told of the base: it says nothing against the other.

        Raises:
            ArmLost: a worker died; what it was doing is lost, and so is the group.
        """
        ended: dict[int, Ended] = {}
        for side, arm in enumerate(self._arms):
            for index, (status, reason) in self._ask(side, ready_request(cases, self._limits)).items():
                if side == self._base or int(index) not in ended:
                    ended[int(index)] = Ended(arm.name, Status(status), reason)
        ratios: dict[int, list[float]] = {index: [] for index in range(len(cases)) if index not in ended}
        for visit in range(VISITS):
            last = visit == VISITS - 1
            order = list(ratios)
            rng.shuffle(order)
            for index in order:
                turns = self._visit(index, plans[cases[index].key], rng, last=last)
                if last and not isinstance(turns, Ended):
                    turns = self._settled(index, cases[index].key) or turns
                if isinstance(turns, Ended):
                    ended[index] = turns
                    del ratios[index]
                else:
                    ratios[index] += turns
        return Pair(
            {cases[index].key: statistics.median(told) for index, told in ratios.items()},
            {cases[index].key: end for index, end in ended.items()},
        )

    def _settled(self, index: int, key: str) -> Ended | None:
        """How a case ended whose last value, in one of the arms, did not give what was proved."""
        found: Ended | None = None
        for side in (1 - self._base, self._base):
            told = self._ask(side, {"do": "settle", "index": index, "digest": self._arms[side].digests.get(key)})
            if told is not None:
                found = Ended(self._arms[side].name, Status(told[0]), told[1])
        return found

    def _visit(self, index: int, plan: Plan, rng: random.Random, *, last: bool) -> list[float] | Ended:
        """log(B / A) of some turns, one value each in random order; how the case ended where it failed."""
        order = [side for _ in range(plan.values // VISITS) for side in rng.sample((0, 1), 2)]
        made = [arm.calls(plan.calls) for arm in self._arms]
        request = {"do": "turns", "index": index, "led": plan.led, "last": last, "order": order}
        for side, calls in enumerate(made):
            self._tell(side, {**request, "calls": calls, "side": side})
        told = self._replies()
        for side in (self._base, 1 - self._base):
            if "ended" in told[side]:
                status, reason = told[side]["ended"]
                return Ended(self._arms[side].name, Status(status), reason)
        a, b = ([value * made[side] for value in told[side]["values"]] for side in (self._base, 1 - self._base))
        return [math.log(slow / fast) for fast, slow in zip(a, b, strict=True)]

    def _replies(self) -> list[dict[str, Any]]:
        """What both sides reply; where the first hangs, it may be that it waits for the other."""
        try:
            return [self._reply(0), self._reply(1)]
        except ArmLost as lost:
            waited = lost.end.status is Status.TIMED_OUT and lost.arm == self._arms[0].name
            if waited and not self._answers(1):
                raise ArmLost(self._arms[1].name, lost.end) from None
            raise

    def _answers(self, side: int) -> bool:
        """Whether a worker replies now that the other is gone, as one does that only waited for it."""
        try:
            self._workers[side].reply(_GRACE_S)
        except WorkerEnded:
            return False
        return True

    def _ask(self, side: int, request: dict[str, Any]) -> Any:
        self._tell(side, request)
        return self._reply(side)

    def _tell(self, side: int, request: dict[str, Any]) -> None:
        try:
            self._workers[side].tell(request)
        except WorkerEnded as end:
            raise ArmLost(self._arms[side].name, end) from None

    def _reply(self, side: int) -> Any:
        try:
            return self._workers[side].reply(self._limits.patience_s)
        except WorkerEnded as end:
            raise ArmLost(self._arms[side].name, end) from None


def ready_request(cases: Sequence[Case], limits: Limits) -> dict[str, Any]:
    """Asks a worker to make the cases of a group ready; it answers how those ended that failed to be."""
    return {
        "do": "ready",
        "cases": [case.flat() for case in cases],
        "threads": threads(cases[0]),
        "value_ns": limits.value_ns,
    }
