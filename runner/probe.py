"""Probe, in a worker: one careful look at a case. Nothing is timed before it is proved right."""

import time
from collections.abc import Callable
from typing import Any

import torch

from attnbench.runner import calls, clocks, memory, outcome, sampling, verification
from attnbench.runner.calls import Inputs
from attnbench.runner.verification import Verdict
from attnbench.suites import Case, Probe, Status
from attnbench.variants import OWN, Shape, Spans, TooManySpans, flaw, forget, kernels
from attnbench.variants.kernels import Kernel

FLOPS_PER_PAIR = {"forward": 4, "backward": 8, "training": 12}
"""Times the head width: two products forward, four backward, a multiplication and an addition each."""

Stage = Callable[[str], None]


class _Ended(Exception):
    """The case ended before its numbers."""

    def __init__(self, status: Status, reason: str, predicted: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.predicted = predicted


def probe(case: Case, budget_bytes: int, stage: Stage) -> Probe:
    """Verify a case, then take its memory, its work, its preparation and an estimate of its duration.

    `budget_bytes` is what it may allocate; a case predicted to need more is not tried.
    """
    try:
        return _probe(case, budget_bytes, stage)
    except _Ended as end:
        return Probe(case.key, end.status, end.reason, predicted=end.predicted)
    except Exception as error:  # whatever a kernel raises, it ends its own case alone, with a status
        status, reason = outcome.of_exception(error)
        return Probe(case.key, status, reason)


def _probe(case: Case, budget_bytes: int, stage: Stage) -> Probe:
    stage("finding which keys each query sees")
    predicted_bytes = _admit(case, budget_bytes)
    spans = case.pattern.spans(case.shape.seq_len)

    stage("checking it against the oracle at small lengths")
    errors = [_verify_small(case, shape) for shape in verification.small_shapes(case.pattern, case.shape)]

    stage("building layouts and masks")
    forget()
    start = time.perf_counter_ns()
    kernel = _build(case, case.shape)
    _wait(case.device)
    prepare_ns = time.perf_counter_ns() - start

    stage("its first call")
    given = calls.inputs(case.shape, case.dtype, case.device)
    call = calls.call(kernel, given, case.direction)
    start = time.perf_counter_ns()
    result = call()
    _wait(case.device)
    first_call_ns = time.perf_counter_ns() - start

    stage("checking rows against the oracle at full length")
    errors.append(_verify_rows(case, kernel, given, result, spans))
    del result

    stage("measuring its memory")
    peaks = memory.cuda_peaks(call) if case.device == "cuda" else memory.cpu_peaks(call)

    stage("estimating its duration")
    call_ns = sampling.estimate(call, clocks.of(case.device), first_call_ns)
    # What is not attention over a pattern's keys does not do a pattern's work.
    allowed_pairs = None if calls.reference(case) else spans.pairs() * case.shape.batch * case.shape.heads
    flops = None if allowed_pairs is None else FLOPS_PER_PAIR[case.direction] * allowed_pairs * case.shape.head_dim
    return Probe(
        case.key,
        Status.PASSED,
        "",
        call_ns=round(call_ns),
        first_call_ns=first_call_ns,
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


def _admit(case: Case, budget_bytes: int) -> int | None:
    """Turn away what does not exist here or will not fit; say what it is predicted to allocate."""
    reason = _unsupported(case)
    if reason:
        raise _Ended(Status.UNSUPPORTED, reason)
    if case.implementation == OWN:
        return None
    implementation = kernels.load(case.implementation)
    asked = case.pattern, case.shape, case.dtype, case.device, case.direction
    predicted = implementation.predict_bytes(*asked, torch.get_num_threads())
    needed = predicted + calls.input_bytes(case.shape, case.dtype)
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
        _sound(case, n)
    except TooManySpans as error:
        return str(error)
    if case.implementation == OWN:
        return None
    implementation = kernels.load(case.implementation)
    return implementation.supports(case.pattern, case.shape, case.dtype, case.device, case.direction)


def _sound(case: Case, n: int) -> Spans:
    """The case's spans at a length at which its pattern exists; a flaw in them ends it."""
    found = flaw(case.pattern, n)
    if found:
        raise _Ended(Status.FAILED, found)
    return case.pattern.spans(n)


def _build(case: Case, shape: Shape) -> Kernel:
    """The case's kernel; a variant's own may refuse, or need what is not installed."""
    try:
        return calls.build(case, shape)
    except (ImportError, NotImplementedError) as error:
        if case.implementation != OWN:
            raise
        raise _Ended(Status.UNSUPPORTED, outcome.of_exception(error)[1]) from None


def _verify_small(case: Case, shape: Shape) -> float:
    """The error of the output at a small shape; the gradients are checked too."""
    spans = _sound(case, shape.seq_len)
    asked = _build(case, shape).attend, spans, shape, case.dtype, case.device
    gradients = case.direction != "forward"
    return _passed(verification.check(*asked, gradients=gradients, reference=calls.reference(case)))


def _verify_rows(case: Case, kernel: Kernel, given: Inputs, result: Any, spans: Spans) -> float:
    """The error of some rows of the output at the case's own length; their dQ, in `result`, is checked too."""
    reference = calls.reference(case)
    if case.direction == "forward":
        return _passed(verification.check_rows(spans, given.q, given.k, given.v, result, reference=reference))
    with torch.no_grad():
        out = kernel.attend(given.q, given.k, given.v)
    asked = spans, given.q, given.k, given.v, out, given.dout, result[0]
    return _passed(verification.check_rows(*asked, reference=reference))


def _passed(verdict: Verdict) -> float:
    if verdict.problem:
        raise _Ended(Status.WRONG, verdict.problem)
    return verdict.max_abs_error


def _wait(device: str) -> None:
    """Until everything queued is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
