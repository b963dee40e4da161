"""Probe of one case in a worker: checks its results before anything is timed, then measures memory and duration."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from attnbench import variants
from attnbench.runner.machine import environment, memory
from attnbench.runner.worker import admission, capacity, small_lengths
from attnbench.runner.worker.admission import Ended
from attnbench.runner.worker.call import calls, clocks, mechanisms, programs, sampling
from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.call.clocks import Stopwatch
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.process import failure, leftovers, settings
from attnbench.runner.worker.process.failure import Stage
from attnbench.runner.worker.process.settings import Lasting, State
from attnbench.runner.worker.proof import approximation, around, choice, contents, expected, recall
from attnbench.runner.worker.proof.choice import NotAllowed
from attnbench.runner.worker.proof.expected import Expected, Useless
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.whole import Proof, Wrong
from attnbench.suites import Case, Probe, Status
from attnbench.suites.origin import DEFAULT, Origin
from attnbench.variants import ATTENTION, DECODE, OWN, Spans, forget, levels
from attnbench.variants.kernels import Program


@dataclass(frozen=True)
class _First:
    """Duration of a first call, alone and with its construction, and whether its compiled code came from the cache."""

    call_ns: int
    made_ns: int
    cached: bool | None


def probe(case: Case, budget_bytes: int, stage: Stage, oracle: str | None = None, origin: Origin = DEFAULT) -> Probe:
    """Check the results of a case, then measure its memory and preparation and estimate its duration.

    Inputs and weights come from `origin`. A case that should need more than `budget_bytes` does not run. The oracle's
    results are kept in the file `oracle`, if it is given, for the next case of the same mechanism.
    """
    before, running = settings.state(), leftovers.snapshot()

    def looked(name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
        leftovers.refuse(running)
        stage(name, anew=anew, aside=aside, share=share)

    try:
        found = _probe(case, budget_bytes, looked, oracle, origin, before)
        leftovers.refuse(running)
    except Ended as end:
        found = Probe(case.key, end.status, end.reason, predicted=end.predicted)
    except BaseException as error:  # a kernel may raise anything; only its own case ends
        found = Probe(case.key, *failure.of_exception(error))
    finally:
        leftovers.end_processes(running)
    try:
        settings.restore(before)
    except Lasting as lasting:
        return Probe(case.key, Status.FAILED, f"it changes {lasting}, for good")
    return found


def _probe(case: Case, budget_bytes: int, stage: Stage, oracle: str | None, origin: Origin, before: State) -> Probe:
    stage("finding which keys each query sees")
    predicted_bytes = admission.admit(case, budget_bytes)
    setting, (a, b) = case.setting, origin.contents
    spans = case.spans
    watch = Stopwatch()

    stage("checking it against the oracle at small lengths")
    with watch:
        errors = small_lengths.verify(case, a, stage)
        _unchanged(before)
        # All of this is made before the case's kernel is built at this length, so the kernel cannot change it.
        both = contents.proved(setting, origin)
        weights = all_weights(case, a), all_weights(case, b)
        wants = None if mechanisms.options(case) else _expected(case, spans, both, a, stage, oracle)

    error_vs_full, error_of_mean = _approximation(case, spans, origin, stage)

    stage("building layouts and masks")
    allowed_pairs, flops = admission.work(case, spans)
    program, made = _prepared(case, a, allowed_pairs)
    _unchanged(before)
    compiles = programs.compiles(program)

    # Calls get a copy, so that a change of the inputs can be found.
    given = both[0].copy()
    stage("compiling it" if compiles else "its first call", anew=compiles)
    call, result, first = _begun(program, given, case)

    with watch, _wrong():
        exact = spans if mechanisms.streams(case) else None
        going_on = partial(stage, "proving it", aside=True)
        expect = wants.__getitem__ if wants else partial(_chosen, case, call, both, a, going_on)
        proof = Proof(call, given, both, expect, exact, weights, going_on)
        proof.look(0, result)
    del result, wants, expect
    seen, new_ns, again_ns = _proved(proof, call, setting.device, stage, watch)
    if program.measure_ranks:
        seen["rank_bytes"], seen["sent_bytes"] = program.measure_ranks(call.run)
    seen["max_abs_error"] = max([*errors, proof.max_abs_error])
    del proof

    stage("estimating its duration")
    # A first call compiles, or on CUDA lets libraries choose algorithms, so its time is no estimate of a later one.
    settled = compiles or setting.device == "cuda"
    settled_ns = clocks.for_warm_up(setting.device)(call.run, 1) if settled else first.call_ns
    call_ns = sampling.estimate(call.run, clocks.of(setting.device), settled_ns)

    with watch:
        begin = partial(stage, "looking whether it remembers earlier calls", aside=True)
        remembers = recall.look(call, given, both, weights, setting.device, (new_ns, again_ns, call_ns), begin)
    if remembers:
        raise Ended(Status.WRONG, remembers)
    _unchanged(before)
    if setting.device == "cpu" and setting.world > (cores := environment.cores()):
        # Ranks that wait for a core do not take the time that they would take on a core each.
        raise Ended(Status.UNSUPPORTED, f"more ranks ({setting.world}) than cores ({cores}): proved, not timed")
    stage("predicting its memory at other lengths", aside=True)
    needed_bytes = capacity.needed_bytes(case, program, seen["peak_bytes"], budget_bytes)
    return Probe(
        case.key,
        Status.PASSED,
        "",
        call_ns=round(call_ns),
        first_call_ns=first.call_ns,
        compile_ns=max(0, round(first.made_ns - settled_ns)) if compiles else None,
        compile_cached=first.cached,
        predicted_bytes=predicted_bytes,
        budget_bytes=budget_bytes,
        needed_bytes=needed_bytes,
        allowed_pairs=allowed_pairs,
        flops=flops,
        parameter_count=levels.learned(variants.load(case.mechanism.name), case.parameters, setting),
        error_vs_full=error_vs_full,
        error_of_mean=error_of_mean,
        proof_s=round(watch.total_s, 4),
        **made,
        **seen,
    )


def _prepared(case: Case, content: int, allowed_pairs: int | None) -> tuple[Program, dict[str, Any]]:
    """Build the case's program. Return it with the probe's fields on its preparation and its own counts."""
    forget()
    start = time.perf_counter_ns()
    program = _build(case, content)
    calls.wait(case.setting.device)
    prepare_ns = time.perf_counter_ns() - start
    try:
        computed_pairs, prepared_bytes = admission.counted(program, allowed_pairs or 0)
    except ValueError as error:
        raise Ended(Status.FAILED, str(error)) from None
    return program, {
        "prepare_ns": prepare_ns,
        "computed_pairs": computed_pairs,
        "prepared_bytes": prepared_bytes,
        "state_bytes": program.state_bytes,
    }


def _proved(
    proof: Proof, call: Call, device: str, stage: Stage, watch: Stopwatch
) -> tuple[dict[str, Any], float, float]:
    """Check calls on both contents in turns, and measure the memory of one call.

    Returns:
        Fields of the probe, the time of a call on new content, and the time of a call that repeats it.
    """
    with watch, _wrong():
        # With the first call, and the last one below, the contents are A, B, A, B, B.
        new_ns, *_ = (_again(proof, which, call, device) for which in (1, 0, 1))
    stage("measuring its memory")
    repeated: list[tuple[Any, float]] = []
    measure = memory.cuda_peaks if device == "cuda" else memory.cpu_peaks
    peaks = measure(lambda: repeated.append(_timed(call, device)))
    with watch, _wrong():
        proof.look(1, repeated[0][0])
    fields = {
        "peak_bytes": peaks.allocated_bytes,
        "resident_bytes": peaks.resident_bytes,
        "reserved_bytes": peaks.reserved_bytes,
        "torch_kernel": peaks.torch_kernel,
        "proved": proof.proved,
        "repeats_exactly": proof.repeats_exactly,
        "ties": proof.ties,
        "output_digest": proof.digest,
    }
    return fields, new_ns, repeated[0][1]


def _expected(
    case: Case, spans: Spans | None, both: tuple[Inputs, Inputs], first: int, stage: Stage, oracle: str | None
) -> list[Expected]:
    """Return the expected results of calls on the two contents, numbered from `first`."""
    going_on = partial(stage, "computing what it must give", aside=True)
    going_on()
    # `backward` and `training` have the same results.
    shared = "training" if case.setting.direction == "backward" else case.setting.direction
    key = json.dumps(replace(case, implementation="").changed(direction=shared).flat(), sort_keys=True)

    try:
        with admission.ending("the oracle"):
            make = partial(around.of_case, case, spans, both, going_on, first)
            return expected.shared(key, oracle, make, case.setting.device)
    except Useless as useless:
        _build(case, first)  # a kernel that refuses this dtype is unsupported, and not wrong
        raise Ended(Status.WRONG, str(useless)) from None


def _chosen(case: Case, call: Call, both: tuple[Inputs, Inputs], first: int, going_on: Step, which: int) -> Expected:
    """Return the expected result of a call that chooses by content. Its inputs must have the content `which`."""
    assert call.choice
    try:
        return choice.expected_with(case, call.choice(), both[which], first + which, going_on)
    except (NotAllowed, Useless) as problem:
        raise Wrong(str(problem)) from None


def _approximation(case: Case, spans: Spans | None, origin: Origin, stage: Stage) -> tuple[float | None, float | None]:
    """Return the errors of the mechanism and of the mean of all values against full attention; None if not finite.

    Both are None if the mechanism mixes tokens without queries, keys and values, and in `decode`, which has one row.
    """
    if variants.load(case.mechanism.name).level != ATTENTION or case.setting.direction == DECODE:
        return None, None
    going_on = partial(stage, "comparing it with full attention", aside=True)
    going_on()
    with admission.ending("against full attention"):
        errors = approximation.of_case(case, spans, going_on, origin)
    mechanism, mean = (each if math.isfinite(each) else None for each in errors)
    return mechanism, mean


@contextmanager
def _wrong() -> Iterator[None]:
    """Turn `Wrong` into the end of the case."""
    try:
        yield
    except Wrong as wrong:
        raise Ended(Status.WRONG, str(wrong)) from None


def _timed(call: Call, device: str) -> tuple[Any, float]:
    """Return the result of a call and its duration in nanoseconds."""
    calls.wait(device)
    start = time.perf_counter_ns()
    result = call.run()
    calls.wait_for_stream(device)
    return result, float(time.perf_counter_ns() - start)


def _again(proof: Proof, which: int, call: Call, device: str) -> float:
    """Put a content into the inputs, check a call on it, and return the call's duration in nanoseconds."""
    proof.put(which)
    result, took_ns = _timed(call, device)
    proof.look(which, result)
    return took_ns


def _unchanged(before: State) -> None:
    """End the case if it changed the process, and undo the change."""
    try:
        changed = settings.restore(before)
    except Lasting as lasting:
        raise Ended(Status.FAILED, f"it changes {lasting}, for good") from None
    if changed:
        raise Ended(Status.FAILED, f"it changes {', '.join(changed)}")


def _build(case: Case, content: int) -> Program:
    """Build the case's kernel. A variant's own kernel may refuse, or need a package that is not installed."""
    try:
        return programs.build(case, content)
    except (ImportError, NotImplementedError) as error:
        if case.implementation != OWN:
            raise
        raise Ended(Status.UNSUPPORTED, failure.of_exception(error)[1]) from None


def _begun(program: Program, given: Inputs, case: Case) -> tuple[Call, Any, _First]:
    """Make the call and run it once. Return it with its result and its durations."""
    compiles = programs.compiles(program)
    missed = programs.cache_misses() if compiles else 0
    with programs.room_to_compile(program):
        begun = time.perf_counter_ns()
        call = calls.call(program, given, case.setting.direction)
        start = time.perf_counter_ns()
        result = call.run()
        calls.wait(case.setting.device)
        ended = time.perf_counter_ns()
    cached = programs.cache_misses() == missed if compiles else None
    return call, result, _First(ended - start, ended - begun, cached)
