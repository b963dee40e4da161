"""Timing of the cases of one group in a worker. All cases are built and warmed up, then take values in turns."""

import gc
import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch

from attnbench.runner.worker import cuda_phases
from attnbench.runner.worker.call import calls, clocks, energy, mechanisms, programs, roof, sampling
from attnbench.runner.worker.call.calls import Call, Kept
from attnbench.runner.worker.call.clocks import Clock, Stopwatch
from attnbench.runner.worker.call.energy import Meter
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.call.launches import EventClock, Value
from attnbench.runner.worker.call.roof import Roofs
from attnbench.runner.worker.call.sampling import Plan, WarmUp
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.process import failure, leftovers, settings
from attnbench.runner.worker.proof import around, choice, contents, verdict, whole
from attnbench.runner.worker.proof.choice import NotAllowed
from attnbench.runner.worker.proof.whole import Wrong
from attnbench.suites import Case, Sample, Status
from attnbench.variants import Weights

T = TypeVar("T")

Mark = Callable[[int], None]
"""`mark(index)` is called before each piece of work. It tells the parent which case runs, and that work goes on."""


class Bench:
    """Cases of a group that are built and warmed up. If one raises, it ends, and the others go on.

    All cases share their inputs. Before each value, the inputs get the `content` that the probe checked, with its rows
    rotated by a random number drawn with `seed`. The last value of a case has this content unrotated, and `settle`
    checks its result.
    """

    def __init__(self, cases: list[Case], value_ns: float, mark: Mark, seed: str = "", content: int = 0) -> None:
        self.cases = cases
        self.ended: dict[int, tuple[Status, str]] = {}
        self.warm_ups: dict[int, WarmUp] = {}
        self.proofs = [Stopwatch() for _ in cases]
        self.joules: dict[int, float | None] = {}
        self._mark = mark
        self._device = cases[0].setting.device
        self._clock = clocks.of(self._device)
        self._calls: dict[int, Call] = {}
        self._weights: dict[int, Weights] = {}
        self._kept: dict[int, Kept] = {}
        self._content = content
        self._drawn = random.Random(f"{seed}:contents")
        setting = cases[0].setting
        self._proved = inputs_of(setting, content)
        self._given = self._proved.copy()
        self._before = settings.state()
        for index, case in enumerate(cases):
            self._attempt(index, partial(self._ready, index, case, value_ns))

    def take(self, index: int, many: int, *, led: bool, last: bool = False) -> float | None:
        """Take one value of `many` calls and return it in nanoseconds per call, or None if the case has ended.

        If `led`, one untimed call goes first. The result of a case's `last` value is kept for `settle`.
        """
        return self._tried(index, partial(self._value, index, many, led=led, last=last))

    def value(self, index: int, many: int, clock: EventClock, *, last: bool = False) -> Value | None:
        """Take one value of `many` launches by a clock of CUDA events. Return None if the case has ended."""
        return self._tried(index, lambda: clock.value(self._fresh(index, last=last), many))

    def settle(self, index: int, proved: str | None) -> None:
        """Check the result of a case's last value: by its digest, or by the oracle if the digest differs."""
        if index not in self.ended:
            self._attempt(index, partial(self._settle, index, proved))

    def _settle(self, index: int, proved: str | None) -> None:
        case, call = self.cases[index], self._calls[index]
        with self.proofs[index]:
            calls.wait(case.setting.device)
            found = whole.plain(call, self._kept.pop(index).result, self._given)
            contents.put_back(call, self._weights[index])
            whole.unchanged(self._given, self._proved)
            whole.unchanged_weights(call, self._weights[index])
            if proved is not None and whole.digest_of(found) == proved:
                return
            mark = partial(self._mark, index)
            spans = case.spans
            if call.choice:
                want = choice.expected_with(case, call.choice(), self._proved, self._content, mark)
            else:
                (want,) = around.of_case(case, spans, [self._proved], mark, self._content)
            exact = spans if mechanisms.streams(case) else None
            problem = verdict.judge(found, want, self._proved, exact, mark).problem
            if problem:
                raise Wrong(f"after its values were taken: {problem}")

    def _value(self, index: int, many: int, *, led: bool, last: bool) -> float:
        run = self._fresh(index, last=last)
        if led:
            run()
            if last and self._calls[index].state:
                # The first timed call must be one whose result is known.
                contents.put_back(self._calls[index], self._weights[index])
                self._kept[index].result = None
        return self._clock(run, many)

    def _fresh(self, index: int, *, last: bool) -> Callable[[], object]:
        """Return the call to time, after giving its inputs new content."""
        call = self._calls[index]
        with self.proofs[index]:
            # Each value has other content, so a kernel that caches results gains nothing.
            n = self.cases[0].setting.shape.seq_len
            by = 0 if last or n == 1 else self._drawn.randrange(1, n)
            contents.rotate(call, self._given, self._proved, self._weights[index], by)
        if not last:
            return call.run
        self._kept[index] = Kept(call.run, first=bool(call.state))
        return self._kept[index]

    def roofs(self) -> Roofs | None:
        """Measure the roofs for the group's dtype, device and threads."""
        return roof.measure(self.cases[0].setting.dtype, self._device, self._marked(self._clock, 0))

    def measure_energy(self, plans: list[Plan], seed: str) -> None:
        """Measure the joules of one call of each case, in random order, if the device has a counter of energy."""
        meter = energy.meter(self._device, partial(self._mark, 0))
        if meter is None:
            return
        ended = self.ended.copy()
        for index in random.Random(f"{seed}:energy").sample(range(len(plans)), len(plans)):
            self.joules[index] = self._tried(index, partial(self._energy, index, plans[index].calls, meter))
        # The values are proved by now, so an error costs a case its energy alone.
        self.ended = ended

    def _energy(self, index: int, many: int, meter: Meter) -> float | None:
        clock = self._marked(clocks.for_warm_up(self._device), index)

        def from_the_first_state(call: Callable[[], object], many: int) -> float:
            # Over a whole stretch, trained weights could grow without bound.
            contents.put_back(self._calls[index], self._weights[index])
            return clock(call, many)

        run, stretch_s = self._fresh(index, last=False), energy.STRETCH_S[self._device]
        return energy.of_call(run, from_the_first_state, many, meter, stretch_s)

    def _marked(self, clock: Clock, index: int) -> Clock:
        """Return a clock that marks each value as a piece of work on a case."""

        def marked(call: Callable[[], object], many: int) -> float:
            self._mark(index)
            return clock(call, many)

        return marked

    def agreement(self, index: int, plan: Plan, threads: int, seed: str) -> list[list[float]]:
        """Take pairs of values by this clock and by torch.utils.benchmark.Timer, in nanoseconds per call."""
        from torch.utils.benchmark import Timer

        rng = random.Random(seed)
        timer = Timer("call()", globals={"call": self._calls[index].run}, num_threads=threads)
        clocks_ns = (
            lambda: self._value(index, plan.calls, led=plan.led, last=False),
            lambda: timer.timeit(plan.calls).median * 1e9,
        )
        pairs = []
        for _ in range(plan.values):
            self._mark(index)
            # Random order, so that drift favours neither clock.
            taken = {side: clocks_ns[side]() for side in rng.sample((0, 1), 2)}
            pairs.append([taken[0], taken[1]])
        return pairs

    def _ready(self, index: int, case: Case, value_ns: float) -> None:
        call = calls.ready(programs.build(case, self._content), self._given, case.setting.direction)
        self._calls[index] = call
        self._weights[index] = all_weights(case, self._content)
        run = self._fresh(index, last=False)
        clock = clocks.for_warm_up(case.setting.device)
        if case.setting.device == "cuda":
            clock(run, 1)  # CUDA libraries choose their algorithms in the first call, which may take very long
        self.warm_ups[index] = sampling.warm_up(run, clock, case.setting.device, value_ns)

    def _tried(self, index: int, work: Callable[[], T]) -> T | None:
        """Return what some work on a case gives, or None if the case has ended."""
        given: list[T] = []
        if index not in self.ended:
            self._attempt(index, lambda: given.append(work()))
        return given[0] if given else None

    def _attempt(self, index: int, work: Callable[[], None]) -> None:
        """Do some work on a case. End the case if it raises or changes the process, and undo the change.

        Raises:
            DeviceLost: the error broke the CUDA context, so no other case can be measured in this process.
            Spoiled: the change cannot be undone, or a thread is left running.
        """
        self._mark(index)
        before = leftovers.snapshot()
        try:
            work()
            leftovers.refuse(before)
        except (Wrong, NotAllowed) as wrong:
            self._end(index, Status.WRONG, str(wrong))
        except BaseException as error:  # a kernel may raise anything; only its own case ends
            status, reason = failure.of_exception(error)
            if self.cases[index].setting.device == "cuda" and not _device_answers():
                raise failure.DeviceLost(reason) from None
            self._end(index, status, reason)
        try:
            changed = settings.restore(self._before)
        except settings.Lasting as lasting:
            raise failure.Spoiled(Status.FAILED, f"it changes {lasting}, for good") from None
        if changed:
            self._end(index, Status.FAILED, f"it changes {', '.join(changed)}")
        running = leftovers.left(before)
        if running:
            # Processes were killed by now, so this is a thread, and a thread cannot be killed.
            raise failure.Spoiled(Status.FAILED, running)

    def _end(self, index: int, status: Status, reason: str) -> None:
        """End a case and free what it holds."""
        self.ended[index] = status, reason
        self._calls.pop(index, None)
        self._kept.pop(index, None)


def _device_answers() -> bool:
    """Check whether the CUDA context of this process still works."""
    try:
        torch.cuda.synchronize()
    except Exception:  # torch has no single error for a lost context
        return False
    return True


Timed = tuple[Case, Plan, str | None]
"""A case, the plan of its timing, and the digest of the result that its probe checked."""


def group(
    cases: list[Timed], replicate: int, seed: str, value_ns: float, mark: Mark, content: int = 0, energies: bool = False
) -> list[Sample]:
    """Time all cases of a group in one replicate, with interleaved values and, if asked for, energies.

    `seed` is that of the random orders, `content` the number of the inputs' content.
    """
    plans, digests = [plan for _, plan, _ in cases], [proved for *_, proved in cases]
    # A garbage collection would fall into some random value.
    gc.collect()
    gc.disable()
    try:
        bench = Bench([case for case, *_ in cases], value_ns, mark, seed, content)
        if bench.cases[0].setting.device == "cuda":
            found = cuda_phases.take_all(bench, plans, digests, seed)
        else:
            found = [{"values_ns": tuple(each)} for each in _values(bench, plans, digests, seed)]
        beside = roof.fields(bench.roofs())
        if energies:
            bench.measure_energy(plans, seed)
    finally:
        gc.enable()
    return [_sample(bench, index, plans[index], replicate, each | beside) for index, each in enumerate(found)]


def _values(bench: Bench, plans: list[Plan], digests: list[str | None], seed: str) -> list[list[float]]:
    """Take the values of all cases, interleaved, and check the last result of each case."""
    values: list[list[float]] = [[] for _ in plans]

    def take(index: int, last: bool) -> None:
        value = bench.take(index, plans[index].calls, led=plans[index].led, last=last)
        if value is not None:
            values[index].append(round(value, 1))
        if last:
            bench.settle(index, digests[index])

    sampling.interleave(plans, random.Random(seed), take)
    return values


def _sample(bench: Bench, index: int, plan: Plan, replicate: int, found: dict[str, Any]) -> Sample:
    """Return a case's sample. It has the fields `found` only if the case passed."""
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
        proof_s=round(bench.proofs[index].total_s, 4),
        energy_j=bench.joules.get(index),
        **found,
    )
