"""Time, in a worker: one group of cases in one replicate, their values interleaved."""

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from attnbench.runner import calls, clocks, outcome, sampling
from attnbench.runner.clocks import Clock
from attnbench.runner.sampling import Plan
from attnbench.suites import Case, Sample, Status


@dataclass
class _Arm:
    """One case under way."""

    case: Case
    plan: Plan
    call: Callable[[], object]
    warmup_calls: int
    values_ns: list[float] = field(default_factory=list)


def group(
    cases: list[tuple[Case, Plan]], replicate: int, seed: str, value_ns: float, mark: Callable[[int], None]
) -> list[Sample]:
    """Samples of all cases of a group, taken in turns; a case that raises gets its status, the others go on.

    `mark(index)` is called before each piece of work, so that the parent knows which case was in flight.
    """
    first = cases[0][0]
    clock = clocks.of(first.device)
    given = calls.inputs(first.shape, first.dtype, first.device)
    ended: dict[int, Sample] = {}
    arms: dict[int, _Arm] = {}

    def attempt(index: int, work: Callable[[], None]) -> None:
        mark(index)
        try:
            work()
        except Exception as error:
            status, reason = outcome.of_exception(error)
            ended[index] = Sample(cases[index][0].key, status, reason, replicate=replicate)
            arms.pop(index, None)

    def ready(index: int) -> None:
        case, plan = cases[index]
        call = calls.call(calls.build(case, case.shape), given, case.direction)
        arms[index] = _Arm(case, plan, call, sampling.warm_up(call, clock, case.device, value_ns))

    def take(index: int) -> None:
        if index in arms:
            attempt(index, lambda: _take(arms[index], clock))

    gc.collect()
    gc.disable()
    try:
        for index in range(len(cases)):
            attempt(index, lambda index=index: ready(index))  # type: ignore[misc]
        sampling.interleave([plan for _, plan in cases], random.Random(seed), take)
    finally:
        gc.enable()
    return [ended[index] if index in ended else _sample(arms[index], replicate) for index in range(len(cases))]


def _take(arm: _Arm, clock: Clock) -> None:
    arm.values_ns.append(clock(arm.call, arm.plan.calls))


def _sample(arm: _Arm, replicate: int) -> Sample:
    return Sample(
        arm.case.key,
        Status.PASSED,
        "",
        replicate=replicate,
        calls=arm.plan.calls,
        values_ns=tuple(round(value, 1) for value in arm.values_ns),
        warmup_calls=arm.warmup_calls,
    )


def set_threads(threads: int) -> None:
    """Use so many threads in torch's operators."""
    torch.set_num_threads(threads)
