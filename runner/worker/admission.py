"""Whether a case can be tried here: it exists, its pattern is valid, and it is predicted to fit in memory."""

import operator
from dataclasses import replace
from typing import Any

import torch

from attnbench import variants
from attnbench.runner.worker.call import calls
from attnbench.runner.worker.process import failure
from attnbench.suites import Case, Status
from attnbench.variants import FLOPS_PER_PAIR, OWN, Parameters, Pattern, Spans, TooManySpans, flaw, kernels
from attnbench.variants.kernels import Program

_HELD, _HELD_16_BITS = 10, 18
"""Memory of a proof, in multiples of the inputs' bytes: contents, results with copies, and the oracle, in float32."""


class Ended(Exception):
    """The case ended before its numbers."""

    def __init__(self, status: Status, reason: str, predicted: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.predicted = predicted


def plan(case: Case, budget_bytes: int) -> dict[str, Any]:
    """What is known of a case before it is tried: why it will not be (`status`, `reason`), or its memory and work."""
    try:
        predicted_bytes = admit(case, budget_bytes)
        allowed_pairs, flops = work(case, spans(case))
    except Ended as end:
        return {"status": end.status, "reason": end.reason}
    except BaseException as error:  # whatever a variant raises, it ends its own case alone, with a status
        status, reason = failure.of_exception(error)
        return {"status": status, "reason": reason}
    return {"status": None, "predicted_bytes": predicted_bytes, "allowed_pairs": allowed_pairs, "flops": flops}


def spans(case: Case) -> Spans | None:
    """The keys that each query of the case sees; None where its mechanism is no pattern."""
    parameters = case.parameters
    return parameters.spans(case.setting.shape.seq_len) if isinstance(parameters, Pattern) else None


def work(case: Case, spans: Spans | None) -> tuple[int | None, int | None]:
    """The allowed pairs over batch and heads, where the mechanism is a pattern, and the FLOPs of one call.

    Nothing where a pattern comes with its own reference: that is not attention over its keys.

    Raises:
        Ended: what the mechanism says of its work is none.
    """
    if spans is None:
        return None, _own_flops(case)
    if calls.reference(case):
        return None, None
    pairs = spans.pairs() * case.setting.shape.batch * case.setting.shape.heads
    return pairs, FLOPS_PER_PAIR[case.setting.direction] * pairs * case.setting.shape.head_dim


def admit(case: Case, budget_bytes: int) -> int | None:
    """Turn away what does not exist here or will not fit; say what a call is predicted to allocate.

    Raises:
        Ended: the case is not tried.
    """
    reason = _unsupported(case)
    if reason:
        raise Ended(Status.UNSUPPORTED, reason)
    if case.implementation == OWN:
        return None
    implementation, setting = kernels.load(case.implementation), case.setting
    threads = torch.get_num_threads() if setting.device == "cpu" else 0
    predicted = held = implementation.predict_bytes(case.pattern, setting, threads)
    if setting.direction == "backward":
        # What the forward pass keeps is there before the call, and must fit too.
        held = implementation.predict_bytes(case.pattern, replace(setting, direction="training"), threads)
    needed = max(predicted, held) + proof_bytes(case)
    if needed > budget_bytes:
        reason = f"predicted: needs {_gib(needed)} with its inputs and its proof, the budget is {_gib(budget_bytes)}"
        raise Ended(Status.OUT_OF_MEMORY, reason, predicted=True)
    return predicted


def proof_bytes(case: Case) -> int:
    """Bytes that a proof of the case holds beside what a call allocates, its inputs among them."""
    many = _HELD_16_BITS if getattr(torch, case.setting.dtype).itemsize == 2 else _HELD
    return many * calls.input_bytes(case.setting.shape, case.setting.dtype)


def sound(parameters: Parameters, n: int) -> Spans | None:
    """A pattern's spans at a length at which it exists; None where the mechanism is no pattern.

    Raises:
        Ended: there is a flaw in them.
    """
    if not isinstance(parameters, Pattern):
        return None
    found = flaw(parameters, n)
    if found:
        raise Ended(Status.FAILED, found)
    return parameters.spans(n)


def _own_flops(case: Case) -> int:
    """The FLOPs of one call, as a mechanism that is no pattern says.

    Raises:
        Ended: it says something else.
    """
    try:
        return variants.load(case.mechanism.name).flops(case.parameters, case.setting)
    except TypeError as error:
        raise Ended(Status.FAILED, str(error)) from None


def _unsupported(case: Case) -> str | None:
    """Why the case does not exist here, or nothing; a pattern that exists must be sound before anyone computes it."""
    if case.setting.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device here"
    n = case.setting.shape.seq_len
    reason = case.parameters.unsupported(n)
    if reason:
        return reason
    try:
        sound(case.parameters, n)
    except TooManySpans as error:
        return str(error)
    if case.implementation == OWN:
        return None
    return kernels.load(case.implementation).supports(case.pattern, case.setting)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def counted(program: Program, least: int) -> tuple[int | None, int]:
    """The computed pairs, at least as many as are allowed or None where nobody knows them, and the prepared bytes.

    Raises:
        ValueError: one of them cannot be true.
    """
    pairs = None if program.computed_pairs is None else _integer(program.computed_pairs)
    if program.computed_pairs is not None and (pairs is None or pairs < least):
        raise ValueError(
            f"computed_pairs: expected None or an integer of at least {least}, found {program.computed_pairs!r}"
        )
    prepared = _integer(program.prepared_bytes)
    if prepared is None or prepared < 0:
        raise ValueError(f"prepared_bytes: expected an integer of at least 0, found {program.prepared_bytes!r}")
    return pairs, prepared


def _integer(value: object) -> int | None:
    """An integer of Python's or NumPy's as such; None of anything else."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None
