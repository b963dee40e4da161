"""Time, in a worker: cases of one group made ready in this process, and values taken from them."""

import gc
import random
from collections.abc import Callable

from attnbench.runner import calls, clocks, outcome, sampling
from attnbench.runner.sampling import Plan, WarmUp
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
            self._attempt(index, lambda case=case, index=index: self._ready(index, case, given, value_ns))  # type: ignore[misc]

    def take(self, index: int, many: int) -> float | None:
        """One value of `many` calls, in nanoseconds per call; nothing where the case has ended."""
        taken: list[float] = []
        if index not in self.ended:
            self._attempt(index, lambda: taken.append(self._clock(self._calls[index], many)))
        return taken[0] if taken else None

    def timer(self, index: int, calls: int, threads: int) -> float:
        """One value of `calls` calls by torch.utils.benchmark.Timer, in nanoseconds per call."""
        from torch.utils.benchmark import Timer

        timer = Timer("call()", globals={"call": self._calls[index]}, num_threads=threads)
        return float(timer.timeit(calls).median) * 1e9

    def _ready(self, index: int, case: Case, given: calls.Inputs, value_ns: float) -> None:
        call = calls.call(calls.build(case, case.shape), given, case.direction)
        self.warm_ups[index] = sampling.warm_up(call, self._clock, case.device, value_ns)
        self._calls[index] = call

    def _attempt(self, index: int, work: Callable[[], None]) -> None:
        self._mark(index)
        try:
            work()
        except Exception as error:
            self.ended[index] = outcome.of_exception(error)
            self._calls.pop(index, None)


def group(cases: list[tuple[Case, Plan]], replicate: int, seed: str, value_ns: float, mark: Mark) -> list[Sample]:
    """Samples of all cases of a group in one replicate, their values interleaved."""
    values: list[list[float]] = [[] for _ in cases]
    gc.collect()
    gc.disable()
    try:
        bench = Bench([case for case, _ in cases], value_ns, mark)

        def take(index: int) -> None:
            value = bench.take(index, cases[index][1].calls)
            if value is not None:
                values[index].append(round(value, 1))

        sampling.interleave([plan for _, plan in cases], random.Random(seed), take)
    finally:
        gc.enable()
    return [_sample(bench, index, plan, replicate, values[index]) for index, (_, plan) in enumerate(cases)]


def _sample(bench: Bench, index: int, plan: Plan, replicate: int, values_ns: list[float]) -> Sample:
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
        values_ns=tuple(values_ns),
        warmup_calls=bench.warm_ups[index].calls,
        steady=bench.warm_ups[index].steady,
    )
