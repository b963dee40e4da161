"""Expected results at a level around attention: the level's own formula, with the oracle in place of its attention.

Both are computed in float64, and for the tolerance once more in the case's dtype. There, the oracle of a pattern
computes in float32 and rounds its results once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Inputs, Oracle
from attnbench.runner.worker.proof import decoding, expected, tolerance
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.textbook import FEW, spread
from attnbench.suites import Case
from attnbench.variants import DECODE, Spans, Weights

_MORE = 2
"""Factor for the error in the dtype. It should go: it hides that the floor is too low where a gradient vanishes."""
Attended = list[Inputs]
"""The queries, keys and values of each call of attention within a level, and zeros for dO."""


def of_case(case: Case, spans: Spans | None, contents: Sequence[Inputs], step: Step, first: int = 0) -> list[Expected]:
    """Return the expected results of a call of the case on each content, numbered from `first`."""
    if case.setting.direction == DECODE:
        return [decoding.of_content(case, spans, each, content, step) for content, each in enumerate(contents, first)]
    if calls.around(case) is None:
        return expected.of_case(case, spans, contents, step, first)
    reference = calls.reference(case)
    return [of_level(case, spans, each, content, step, reference)[0] for content, each in enumerate(contents, first)]


def of_level(
    case: Case, spans: Spans | None, given: Inputs, content: int, step: Step, reference: Oracle | None
) -> tuple[Expected, Attended, Attended]:
    """Return the expected result of a call at a level, and what attention was given in float64 and in the case's dtype.

    `reference` is the mechanism's; None for a pattern.
    """
    dtype = given[0].dtype
    around, own = calls.around_weights(case, content), calls.weights(case, content)
    wide = Inputs(*(each.double() for each in given))
    exact, exactly = _computed(case, spans, reference, wide, _wide(around), _wide(own), step)
    plain, nearly = _computed(case, spans, reference, given, around, own, step)
    known = [~each.isnan() for each in exact]
    off = [near.double() - want for near, want in zip(plain, exact, strict=True)]
    errors, scales = (
        [float(each.masked_fill(~where, 0.0).abs().max()) for each, where in zip(values, known, strict=True)]
        for values in (off, exact)
    )
    allowed = tolerance.allowed(
        [_MORE * each for each in errors], scales, dtype, alike=False, inputs=len(given.tensors)
    )
    return Expected(exact, allowed, expected.known(exact)), exactly, nearly


def _wide(weights: Weights) -> Weights:
    """Return weights in float64."""
    return tuple(each.detach().double().requires_grad_(each.requires_grad) for each in weights)


def _computed(
    case: Case,
    spans: Spans | None,
    reference: Oracle | None,
    given: Inputs,
    around: Weights,
    own: Weights,
    step: Step,
) -> tuple[tuple[Tensor, ...], Attended]:
    """Return the output and the gradients of a level in the dtype of its inputs, and what attention was given."""
    level, grads = calls.around(case), case.setting.direction != "forward"
    assert level
    attended: Attended = []

    def compute(q: Tensor, k: Tensor, v: Tensor, dout: Tensor | None) -> tuple[Tensor, ...]:
        inputs = Inputs(q, k, v, torch.zeros_like(q) if dout is None else dout)
        return _attention(spans, reference, inputs, own, dout is not None, step)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        attended.append(Inputs(*(each.detach() for each in (q, k, v)), torch.zeros_like(q)))
        out: Tensor = _Attention.apply(compute, q, k, v, *own)  # type: ignore[no-untyped-call]  # so in torch
        return out

    leaves = [each.detach().requires_grad_(grads) for each in given.tensors]
    with torch.set_grad_enabled(grads):
        out = level.call(case.setting, attend, around, *leaves)
    if not grads:
        return (out,), attended
    wanted = [*leaves, *(each for each in (*around, *own) if each.requires_grad)]
    found = torch.autograd.grad(out, wanted, given.dout, allow_unused=True, materialize_grads=True)
    return (out.detach(), *found), attended


def _attention(
    spans: Spans | None, reference: Oracle | None, given: Inputs, own: Weights, grads: bool, step: Step
) -> tuple[Tensor, ...]:
    """Return the oracle's output, and with `grads` the gradients of q, k, v and learned weights.

    Elements that would take too long are NaN, as in `expected`.
    """
    if reference is None:
        assert spans  # a mechanism that is not a pattern has a reference
        wide = torch.promote_types(given.q.dtype, torch.float32)
        found = expected.streamed(spans, [given], wide, grads, step)[0]
        return tuple(each.to(given.q.dtype) for each in found)
    if given.q[..., 0].numel() * given.n <= expected.MOST_PAIRS:
        return expected.asked(reference, given, own, np.arange(given.n), grads, step)
    rows = spread(given.n, FEW)
    learned = [each for each in own if each.requires_grad]
    values = [torch.full_like(each, torch.nan) for each in (given.q, *((*given.tensors, *learned) if grads else ()))]
    where = torch.from_numpy(rows).to(given.q.device)
    values[0][:, :, where] = expected.asked(reference, given, own, rows, False, step)[0]
    return tuple(values)


class _Attention(torch.autograd.Function):
    """The oracle as a step of a formula that torch differentiates."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> Tensor:
        """Return the output. `tensors` are q, k, v and the mechanism's weights."""
        ctx.compute = compute
        ctx.save_for_backward(*tensors)
        return compute(*tensors[:3], None)[0]

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of q, k, v and the learned weights."""
        q, k, v, *own = ctx.saved_tensors
        with torch.enable_grad():  # the oracle differentiates its own formula
            _, dq, dk, dv, *rest = ctx.compute(q, k, v, dout)
        learned = iter(rest)
        return None, dq, dk, dv, *(next(learned) if each.requires_grad else None for each in own)
