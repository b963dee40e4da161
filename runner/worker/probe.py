"""Probe, in a worker: one careful look at a case. Nothing is timed before it is proved right."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from attnbench.runner import memory, sampling
from attnbench.runner.worker import calls, clocks, compilation, leftovers, outcome, verification
from attnbench.runner.worker.calls import Inputs
from attnbench.runner.worker.stage import Stage
from attnbench.runner.worker.verification import Verdict
from attnbench.suites import Case, Probe, Status
from attnbench.variants import OWN, Pattern, Shape, Spans, TooManySpans, flaw, forget, kernels
from attnbench.variants.kernels import Kernel

FLOPS_PER_PAIR = {"forward": 4, "backward": 8, "training": 12}
"""Times the head width: two products forward, four backward, a multiplication and an addition each."""


class _Ended(Exception):
    """The case ended before its numbers."""

    def __init__(self, status: Status, reason: str, predicted: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.predicted = predicted


@dataclass(frozen=True)
class _First:
    """A first call: how long it took, how long with the making of it, and whether what it compiled was in a cache."""

    call_ns: int
    made_ns: int
    cached: bool | None


def probe(case: Case, budget_bytes: int, stage: Stage) -> Probe:
    """Verify a case, then take its memory, its work, its preparation and an estimate of its duration.

    `budget_bytes` is what it may allocate; a case predicted to need more is not tried.
    """
    before = leftovers.snapshot()

    def looked(name: str, *, anew: bool = False) -> None:
        leftovers.refuse(before)
        stage(name, anew=anew)

    try:
        found = _probe(case, budget_bytes, looked)
        leftovers.refuse(before)
        return found
    except _Ended as end:
        return Probe(case.key, end.status, end.reason, predicted=end.predicted)
    except BaseException as error:  # whatever a kernel raises, it ends its own case alone, with a status
        status, reason = outcome.of_exception(error)
        return Probe(case.key, status, reason)
    finally:
        leftovers.end_processes(before)


def foresee(case: Case, budget_bytes: int) -> dict[str, Any]:
    """What is known of a case before it is tried: why it will not be (`status`, `reason`), or its memory and work."""
    try:
        predicted_bytes = _admit(case, budget_bytes)
        allowed_pairs, flops = _work(case, case.pattern.spans(case.shape.seq_len))
    except _Ended as end:
        return {"status": end.status, "reason": end.reason}
    except BaseException as error:  # whatever a variant raises, it ends its own case alone, with a status
        status, reason = outcome.of_exception(error)
        return {"status": status, "reason": reason}
    return {"status": None, "predicted_bytes": predicted_bytes, "allowed_pairs": allowed_pairs, "flops": flops}


def _probe(case: Case, budget_bytes: int, stage: Stage) -> Probe:
    stage("finding which keys each query sees")
    predicted_bytes = _admit(case, budget_bytes)
    spans = case.pattern.spans(case.shape.seq_len)

    stage("checking it against the oracle at small lengths")
    small = verification.small(case.pattern, case.shape, partial(_takes, case), case.device)
    errors = [_verify_small(case, pattern, shape, stage) for pattern, shape in small]

    stage("building layouts and masks")
    forget()
    start = time.perf_counter_ns()
    kernel = _build(case)
    calls.wait(case.device)
    prepare_ns = time.perf_counter_ns() - start
    compiles = compilation.needed(kernel)
    if case.direction != "forward" and not small:
        reason = "no gradient was proved: it can be computed at no length short enough for the oracle; measure forward"
        raise _Ended(Status.UNSUPPORTED, reason)

    given = calls.inputs(case.shape, case.dtype, case.device)
    stage("compiling it" if compiles else "its first call", anew=compiles)
    call, result, first = _begun(kernel, given, case)

    stage("checking rows against the oracle at full length")
    errors.append(_verify_rows(case, kernel, given, result, spans))
    del result

    stage("measuring its memory")
    peaks = memory.cuda_peaks(call) if case.device == "cuda" else memory.cpu_peaks(call)

    stage("estimating its duration")
    # What the first call makes, kernels or the plans of libraries on CUDA, is no part of a call.
    settled = compiles or case.device == "cuda"
    settled_ns = clocks.for_warm_up(case.device)(call, 1) if settled else first.call_ns
    call_ns = sampling.estimate(call, clocks.of(case.device), settled_ns)
    allowed_pairs, flops = _work(case, spans)
    return Probe(
        case.key,
        Status.PASSED,
        "",
        call_ns=round(call_ns),
        first_call_ns=first.call_ns,
        compile_ns=max(0, round(first.made_ns - settled_ns)) if compiles else None,
        compile_cached=first.cached,
        prepare_ns=prepare_ns,
        prepared_bytes=kernel.prepared_bytes,
        peak_bytes=peaks.allocated_bytes,
        resident_bytes=peaks.resident_bytes,
        reserved_bytes=peaks.reserved_bytes,
        predicted_bytes=predicted_bytes,
        allowed_pairs=allowed_pairs,
        computed_pairs=kernel.computed_pairs,
        flops=flops,
        max_abs_error=max(errors),
    )


def _work(case: Case, spans: Spans) -> tuple[int | None, int | None]:
    """The allowed pairs over batch and heads, and the FLOPs of one call on them.

    Nothing where the variant brings its own reference: what is not attention over a pattern's keys has no such work.
    """
    if calls.reference(case):
        return None, None
    pairs = spans.pairs() * case.shape.batch * case.shape.heads
    return pairs, FLOPS_PER_PAIR[case.direction] * pairs * case.shape.head_dim


def _admit(case: Case, budget_bytes: int) -> int | None:
    """Turn away what does not exist here or will not fit; say what it is predicted to allocate."""
    reason = _unsupported(case)
    if reason:
        raise _Ended(Status.UNSUPPORTED, reason)
    if case.implementation == OWN:
        return None
    implementation = kernels.load(case.implementation)
    asked = case.pattern, case.shape, case.dtype, case.device
    threads = torch.get_num_threads() if case.device == "cpu" else 0
    predicted = implementation.predict_bytes(*asked, case.direction, threads)
    # What the forward pass keeps for `backward` is there before the call, and must fit too.
    held = implementation.predict_bytes(*asked, "training", threads) if case.direction == "backward" else predicted
    needed = max(predicted, held) + calls.input_bytes(case.shape, case.dtype)
    if needed > budget_bytes:
        reason = f"predicted: needs {_gib(needed)} with its inputs, the budget is {_gib(budget_bytes)}"
        raise _Ended(Status.OUT_OF_MEMORY, reason, predicted=True)
    return predicted


def _unsupported(case: Case) -> str | None:
    """Why the case does not exist here, or nothing; a pattern that exists must be sound before anyone computes it."""
    if case.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device here"
    n = case.shape.seq_len
    reason = case.pattern.unsupported(n)
    if reason:
        return reason
    try:
        _sound(case.pattern, n)
    except TooManySpans as error:
        return str(error)
    if case.implementation == OWN:
        return None
    implementation = kernels.load(case.implementation)
    return implementation.supports(case.pattern, case.shape, case.dtype, case.device, case.direction)


def _sound(pattern: Pattern, n: int) -> Spans:
    """A pattern's spans at a length at which it exists; a flaw in them ends the case."""
    found = flaw(pattern, n)
    if found:
        raise _Ended(Status.FAILED, found)
    return pattern.spans(n)


def _build(case: Case) -> Kernel:
    """The kernel of the case itself; a variant's own may refuse, or need what is not installed."""
    try:
        return calls.build(case, case.shape)
    except (ImportError, NotImplementedError) as error:
        if case.implementation != OWN:
            raise
        raise _Ended(Status.UNSUPPORTED, outcome.of_exception(error)[1]) from None


def _begun(kernel: Kernel, given: Inputs, case: Case) -> tuple[Callable[[], object], Any, _First]:
    """The call, what it gave the first time, and how long that took."""
    compiles = compilation.needed(kernel)
    missed = compilation.misses() if compiles else 0
    with compilation.room(kernel):
        begun = time.perf_counter_ns()
        call = calls.call(kernel, given, case.direction)
        start = time.perf_counter_ns()
        result = call()
        calls.wait(case.device)
        ended = time.perf_counter_ns()
    cached = compilation.misses() == missed if compiles else None
    return call, result, _First(ended - start, ended - begun, cached)


def _takes(case: Case, pattern: Pattern, shape: Shape) -> bool:
    """Whether the case's implementation computes a pattern like the case's at a small shape."""
    _sound(pattern, shape.seq_len)
    with _told_at(shape.seq_len):
        if case.implementation != OWN:
            implementation = kernels.load(case.implementation)
            return implementation.supports(pattern, shape, case.dtype, case.device, case.direction) is None
        try:
            calls.build(_like(case, pattern), shape)
        except (ImportError, NotImplementedError):
            return False
        return True


def _verify_small(case: Case, pattern: Pattern, shape: Shape, stage: Stage) -> float:
    """The error of the output of a pattern like the case's at a small shape; the gradients are checked too."""
    spans = _sound(pattern, shape.seq_len)
    gradients = case.direction != "forward"
    like = _like(case, pattern)
    with _told_at(shape.seq_len):
        kernel = calls.build(like, shape)
        asked = kernel.attend, spans, shape, case.dtype, case.device
        if compilation.needed(kernel):
            stage(f"compiling it at N={shape.seq_len}, to check it against the oracle there", anew=True)
        with compilation.room(kernel):
            return _passed(verification.check(*asked, gradients=gradients, reference=calls.reference(like)))


@contextmanager
def _told_at(n: int) -> Iterator[None]:
    """What is raised in here ends the case, and is told with the length, which need not be the case's own."""
    try:
        yield
    except _Ended:
        raise
    except BaseException as error:  # whatever a kernel raises, it ends its own case alone, with a status
        status, reason = outcome.of_exception(error)
        raise _Ended(status, f"at N={n}: {reason}") from None


def _like(case: Case, pattern: Pattern) -> Case:
    """The case with another pattern of its kind."""
    return replace(case, parameters=asdict(pattern))


def _verify_rows(case: Case, kernel: Kernel, given: Inputs, result: Any, spans: Spans) -> float:
    """The error of some rows of the output at the case's own length; their dQ, in `result`, is checked too."""
    reference = calls.reference(case)
    if case.direction == "forward":
        return _passed(verification.check_rows(spans, given.q, given.k, given.v, result, reference=reference))
    with torch.no_grad(), compilation.room(kernel):
        out = kernel.attend(given.q, given.k, given.v)
    asked = spans, given.q, given.k, given.v, out, given.dout, result[0]
    return _passed(verification.check_rows(*asked, reference=reference))


def _passed(verdict: Verdict) -> float:
    if verdict.problem:
        raise _Ended(Status.WRONG, verdict.problem)
    return verdict.max_abs_error


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
