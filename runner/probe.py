"""Probe, in a worker: one careful look at a case. Nothing is timed before it is proved right."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from attnbench.runner import calls, clocks, memory, outcome, sampling, verification
from attnbench.runner.calls import Inputs
from attnbench.runner.verification import Verdict
from attnbench.suites import Case, Probe, Status
from attnbench.variants import OWN, Pattern, Shape, Spans, kernels
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
    predicted_bytes = _admit(case, budget_bytes)
    spans = case.pattern.spans(case.shape.seq_len)

    stage("checking it against the oracle at small lengths")
    errors = [_verify_small(case, pattern, shape) for pattern, shape in verification.small(case.pattern, case.shape)]

    stage("building layouts and masks")
    start = time.perf_counter_ns()
    kernel = calls.build(case, case.shape)
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
    allowed_pairs = spans.pairs() * case.shape.batch * case.shape.heads
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
        flops=FLOPS_PER_PAIR[case.direction] * allowed_pairs * case.shape.head_dim,
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
    """Why the case does not exist here, or nothing."""
    if case.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device here"
    reason = case.pattern.unsupported(case.shape.seq_len)
    if reason or case.implementation == OWN:
        return reason
    implementation = kernels.load(case.implementation)
    return implementation.supports(case.pattern, case.shape, case.dtype, case.device, case.direction)


def _verify_small(case: Case, pattern: Pattern, shape: Shape) -> float:
    """The error of the output of a pattern like the case's at a small shape; the gradients are checked too."""
    kernel = calls.build(replace(case, parameters=asdict(pattern)), shape)
    spans = pattern.spans(shape.seq_len)
    gradients = case.direction != "forward"
    return _passed(verification.check(kernel.attend, spans, shape, case.dtype, case.device, gradients=gradients))


def _verify_rows(case: Case, kernel: Kernel, given: Inputs, result: Any, spans: Spans) -> float:
    """The error of some rows of the output at the case's own length; their dQ, in `result`, is checked too."""
    if case.direction == "forward":
        return _passed(verification.check_rows(spans, given.q, given.k, given.v, result))
    with torch.no_grad():
        out = kernel.attend(given.q, given.k, given.v)
    return _passed(verification.check_rows(spans, given.q, given.k, given.v, out, given.dout, result[0]))


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
