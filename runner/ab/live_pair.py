"""Two live workers that take turns on the cases of a group."""

import math
import multiprocessing
import os
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
from attnbench.suites.origin import DEFAULT, Origin

VISITS = 9
"""The turns of a case are spread over this many visits, so that one disturbance does not affect all of them."""
_GRACE_S = 10.0
"""Time within which a worker reports that its partner is gone."""
ENVIRONMENT = {
    "OMP_PROC_BIND": "close",
    "OMP_PLACES": "cores",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
}
"""Variables that reduce the difference between arms; the user's own settings take precedence.

Threads are bound to cores: on a shared machine cores differ in load, so arms on different cores would differ too.
glibc keeps its memory: otherwise the layout of the heap, that is chance, decides whether it returns megabytes to the
system with every call, and page faults can take half of a call's time.
"""


def environment() -> dict[str, str]:
    """Return the values of the variables in `ENVIRONMENT` for this run."""
    return {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}


class Partner(Protocol):
    """The interface of a worker that takes turns with another. Tests have a substitute."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def tell(self, request: dict[str, Any]) -> None:
        """Send a request without waiting for the reply."""

    def reply(self, patience_s: float) -> Any:
        """Return the reply to the request."""

    def close(self) -> None:
        """Stop it."""


Start = Callable[[int | None, tuple[Path, ...], Connection], Partner]
"""Starts a worker, given the memory budget in bytes, folders of variants, and the link to its partner."""


def fresh(budget_bytes: int | None, folders: tuple[Path, ...], link: Connection) -> Partner:
    """Start a fresh interpreter with the installed code."""
    return Worker("spawn", budget_bytes, folders, link, environment())


@dataclass(frozen=True)
class Arm:
    """One of the two things that are compared: some code, possibly with a known slow-down.

    The slow-down is real work: instead of L calls this arm makes L + round(slowdown L), and divides by L.
    """

    name: str
    slowdown: float = 0.0
    start: Start = fresh
    digests: Mapping[str, str | None] = field(default_factory=dict)
    """Digests of the checked outputs, by case key."""
    threads: int | None = None
    """The number of threads of cases with `threads: auto`; None for that of the machine."""

    def calls(self, calls: int) -> int:
        """Return the number of calls that this arm makes instead of `calls`."""
        return calls + round(self.slowdown * calls)


@dataclass(frozen=True)
class Limits:
    """What all workers share: the shortest warm-up, limits of time and memory, variants, and the origin of inputs."""

    value_ns: float
    patience_s: float
    budget_bytes: int | None
    """None on CUDA, where it would limit host memory only."""
    folders: tuple[Path, ...] = ()
    origin: Origin = DEFAULT


class Ended(NamedTuple):
    """The arm that could not measure a case, with status and reason."""

    arm: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Pair:
    """Results of one pair of processes, by case key."""

    ratios: Mapping[str, float]
    """log(time of B / time of A)."""
    ended: Mapping[str, Ended]
    """Cases that failed in an arm, or killed its process."""


class ArmLost(Exception):
    """The worker of an arm died."""

    def __init__(self, arm: str, end: WorkerEnded) -> None:
        super().__init__(arm)
        self.arm = arm
        self.end = end


class LivePair:
    """Two live workers. The arm that starts first is chosen at random."""

    def __init__(self, arms: tuple[Arm, Arm], limits: Limits, rng: random.Random) -> None:
        self._arms = rng.sample(arms, len(arms))
        self._base = self._arms.index(arms[0])
        self._limits = limits
        self._workers: list[Partner] = []
        links = multiprocessing.Pipe()
        try:
            for arm, link in zip(self._arms, links, strict=True):
                # One after the other: simultaneous imports could give the arms different memory layouts.
                self._workers.append(started(partial(arm.start, limits.budget_bytes, limits.folders, link)))
        except BaseException:  # also after Ctrl-C, leave no process behind
            self.close()
            raise
        finally:
            for link in links:
                # Close the parent's copies, so that a worker notices if its partner dies.
                link.close()

    def close(self) -> None:
        """Stop both processes."""
        for worker in self._workers:
            worker.close()

    def measure(self, cases: list[Case], plans: Mapping[str, Plan], rng: random.Random) -> Pair:
        """Measure each case of a group in turns. A failure in both arms is reported for the base.

        Raises:
            ArmLost: a worker died. The results of the group are lost.
        """
        ended: dict[int, Ended] = {}
        for side, arm in enumerate(self._arms):
            for index, (status, reason) in self._ask(side, ready_request(cases, self._limits, arm.threads)).items():
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
            {cases[index].key: statistics.median(values) for index, values in ratios.items()},
            {cases[index].key: end for index, end in ended.items()},
        )

    def _settled(self, index: int, key: str) -> Ended | None:
        """Return the failure of a case whose last value differs from the checked result in an arm, or None."""
        found: Ended | None = None
        for side in (1 - self._base, self._base):
            failed = self._ask(side, {"do": "settle", "index": index, "digest": self._arms[side].digests.get(key)})
            if failed is not None:
                found = Ended(self._arms[side].name, Status(failed[0]), failed[1])
        return found

    def _visit(self, index: int, plan: Plan, rng: random.Random, *, last: bool) -> list[float] | Ended:
        """Return log(B / A) of some turns, or the failure of the case."""
        # Each turn has one value of each arm. Their order is random, so that neither arm always comes first.
        order = [side for _ in range(plan.values // VISITS) for side in rng.sample((0, 1), 2)]
        made = [arm.calls(plan.calls) for arm in self._arms]
        request = {"do": "turns", "index": index, "led": plan.led, "last": last, "order": order}
        for side, calls in enumerate(made):
            self._tell(side, {**request, "calls": calls, "side": side})
        replies = self._replies()
        for side in (self._base, 1 - self._base):
            if "ended" in replies[side]:
                status, reason = replies[side]["ended"]
                return Ended(self._arms[side].name, Status(status), reason)
        a, b = ([value * made[side] for value in replies[side]["values"]] for side in (self._base, 1 - self._base))
        return [math.log(slow / fast) for fast, slow in zip(a, b, strict=True)]

    def _replies(self) -> list[dict[str, Any]]:
        """Return the replies of both sides. If the first timed out while it waited for the second, blame the second."""
        try:
            return [self._reply(0), self._reply(1)]
        except ArmLost as lost:
            waited = lost.end.status is Status.TIMED_OUT and lost.arm == self._arms[0].name
            if waited and not self._answers(1):
                raise ArmLost(self._arms[1].name, lost.end) from None
            raise

    def _answers(self, side: int) -> bool:
        """Check whether a worker still replies. One that only waited for its dead partner does."""
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


def ready_request(cases: Sequence[Case], limits: Limits, auto: int | None = None) -> dict[str, Any]:
    """Return the request to prepare the cases of a group. The reply has the failures.

    `auto` is the number of threads of cases with `threads: auto`; None for that of the machine.
    """
    return {
        "do": "ready",
        "cases": [case.request() for case in cases],
        "threads": threads(cases[0], auto),
        "value_ns": limits.value_ns,
        "origin": vars(limits.origin),
    }
