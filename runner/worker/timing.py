"""Time, in a worker: cases of one group made ready in this process, and values taken from them."""

import gc
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from attnbench.runner import sampling
from attnbench.runner.sampling import Plan, WarmUp
from attnbench.runner.worker import calls, clocks, cuda_phases, leftovers, outcome, roof
from attnbench.runner.worker.launches import EventClock, Value
from attnbench.runner.worker.roof import Roofs
from attnbench.suites import Case, Sample, Status

Mark = Callable[[int], None]
"""`mark(index)` before each piece of work: the parent knows which case was in flight, and that work goes on."""


class Bench:
    """The cases of a group, built, warmed up and waiting; one that raises has ended, the others go on."""

    def __init__(self, cases: list[Case], value_ns: float, mark: Mark) -> None:
        self.cases = cases
        self.ended: dict[int, tuple[Status, str]] = {}
        self.warm_ups: dict[int, WarmUp] = {}
        self._mark = mark
        self._clock = clocks.of(cases[0].device)
        self._calls: dict[int, Callable[[], object]] = {}
        given = calls.inputs(cases[0].shape, cases[0].dtype, cases[0].device)
        for index, case in enumerate(cases):
            self._attempt(index, partial(self._ready, index, case, given, value_ns))

    def take(self, index: int, many: int, *, led: bool) -> float | None:
        """One value of `many` calls, in nanoseconds per call, `led` by one that is not timed.

        Nothing where the case has ended.
        """
        taken: list[float] = []
        if index not in self.ended:
            self._attempt(index, lambda: taken.append(self._value(index, many, led=led)))
        return taken[0] if taken else None

    def _value(self, index: int, many: int, *, led: bool) -> float:
        if led:
            self._calls[index]()
        return self._clock(self._calls[index], many)

    def value(self, index: int, many: int, clock: EventClock) -> Value | None:
        """One value of `many` launches by a clock of events; nothing where the case has ended."""
        taken: list[Value] = []
        if index not in self.ended:
            self._attempt(index, lambda: taken.append(clock.value(self._calls[index], many)))
        return taken[0] if taken else None

    def roofs(self) -> Roofs | None:
        """The roofs of the group's dtype, device and threads, here and now; each of their values is marked."""

        def clock(call: Callable[[], object], many: int) -> float:
            self._mark(0)
            return self._clock(call, many)

        return roof.measure(self.cases[0].dtype, self.cases[0].device, clock)

    def agreement(self, index: int, plan: Plan, threads: int, seed: str) -> list[list[float]]:
        """Pairs of values by this clock and by torch.utils.benchmark.Timer, in nanoseconds per call."""
        from torch.utils.benchmark import Timer

        rng = random.Random(seed)
        timer = Timer("call()", globals={"call": self._calls[index]}, num_threads=threads)
        clocks_ns = (
            lambda: self._value(index, plan.calls, led=plan.led),
            lambda: timer.timeit(plan.calls).median * 1e9,
        )
        pairs = []
        for _ in range(plan.values):
            self._mark(index)
            taken = {side: clocks_ns[side]() for side in rng.sample((0, 1), 2)}
            pairs.append([taken[0], taken[1]])
        return pairs

    def _ready(self, index: int, case: Case, given: calls.Inputs, value_ns: float) -> None:
        call = calls.ready(calls.build(case, case.shape), given, case.direction)
        clock = clocks.for_warm_up(case.device)
        if case.device == "cuda":
            clock(call, 1)  # libraries plan in the first call, which may take longer than all others
        self.warm_ups[index] = sampling.warm_up(call, clock, case.device, value_ns)
        self._calls[index] = call

    def _attempt(self, index: int, work: Callable[[], None]) -> None:
        """Work on a case; an error ends it.

        Raises:
            DeviceLost: the error took the CUDA context with it, so that no other case can be measured here.
        """
        self._mark(index)
        before = leftovers.snapshot()
        try:
            work()
            leftovers.refuse(before)
        except BaseException as error:  # whatever a kernel raises, it ends its own case alone, with a status
            status, reason = outcome.of_exception(error)
            if self.cases[index].device == "cuda" and not _device_answers():
                raise outcome.DeviceLost(reason) from None
            self.ended[index] = status, reason
            self._calls.pop(index, None)


def _device_answers() -> bool:
    """Whether the CUDA context of this process is still of use."""
    try:
        torch.cuda.synchronize()
    except Exception:  # torch has no one error for a context that is lost
        return False
    return True


def group(cases: list[tuple[Case, Plan]], replicate: int, seed: str, value_ns: float, mark: Mark) -> list[Sample]:
    """Samples of all cases of a group in one replicate, their values interleaved."""
    plans = [plan for _, plan in cases]
    gc.collect()
    gc.disable()
    try:
        bench = Bench([case for case, _ in cases], value_ns, mark)
        if bench.cases[0].device == "cuda":
            found = cuda_phases.take_all(bench, plans, seed)
        else:
            found = [{"values_ns": tuple(each)} for each in _values(bench, plans, seed)]
        beside = roof.fields(bench.roofs())
    finally:
        gc.enable()
    return [_sample(bench, index, plans[index], replicate, each | beside) for index, each in enumerate(found)]


def _values(bench: Bench, plans: list[Plan], seed: str) -> list[list[float]]:
    """The values of all cases, interleaved."""
    values: list[list[float]] = [[] for _ in plans]

    def take(index: int) -> None:
        value = bench.take(index, plans[index].calls, led=plans[index].led)
        if value is not None:
            values[index].append(round(value, 1))

    sampling.interleave(plans, random.Random(seed), take)
    return values


def _sample(bench: Bench, index: int, plan: Plan, replicate: int, found: dict[str, Any]) -> Sample:
    """A case's sample; the fields that were `found` stand in it only if the case passed."""
    key = bench.cases[index].key
    if index in bench.ended:
        status, reason = bench.ended[index]
        return Sample(key, status, reason, replicate=replicate)
    return Sample(
        key,
        Status.PASSED,
        "",
        replicate=replicate,
        calls=plan.calls,
        warmup_calls=bench.warm_ups[index].calls,
        steady=bench.warm_ups[index].steady,
        **found,
    )
