"""Expected results at a level around attention: the level's own formula, with the oracle in place of its mechanisms.

Both are computed in float64, and for the tolerance once more in the case's dtype. There, the oracle of a pattern
computes in float32 and rounds its results once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.mechanisms import Oracle
from attnbench.runner.worker.call.weights import held
from attnbench.runner.worker.proof import decoding, expected, padded, tolerance
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.textbook import FEW, spread
from attnbench.suites import Case
from attnbench.variants import DECODE, Spans, Weights
from attnbench.variants.levels import Held

_OF_ENCODER = 2
"""Factor for the error in the dtype around layers. Without it, the gradient of the last norm's bias exceeds the
tolerance in bfloat16 for 5 of the tests' mechanisms, by up to 1.3 times."""
_OF_LOSS = 4
"""A loss has few elements, so that its error in the dtype may be small by chance. Its floor is that of a gradient."""


class Judged(NamedTuple):
    """What a call at a level must give, and what that follows from."""

    expected: Expected
    errors: list[float]
    """The largest error of each result in the case's dtype."""
    wide: list[Inputs]
    """What each mechanism is given in float64, and zeros for the gradient of its output."""
    near: list[Inputs]
    """The same in the case's dtype; empty if its errors are known."""


def of_case(case: Case, spans: Spans | None, contents: Sequence[Inputs], step: Step, first: int = 0) -> list[Expected]:
    """Return the expected results of a call of the case on each content, numbered from `first`, at any level.

    Around a mechanism, the first content gives the error in the case's dtype.
    """
    if case.setting.direction == DECODE:
        return [decoding.of_content(case, spans, each, content, step) for content, each in enumerate(contents, first)]
    if contents[0].lengths:
        assert spans  # admission refuses mechanisms that are not patterns
        return padded.of_case(case, spans, contents, step)
    level = mechanisms.around(case)
    if level is None:
        return expected.of_case(case, spans, contents, step, first)
    references, errors = [mechanisms.reference(each) for each in case.places], None
    found = []
    for content, given in enumerate(contents, first):
        judged = of_level(case, given, content, step, references, errors)
        errors = judged.errors
        found.append(judged.expected)
    return found


def of_level(
    case: Case,
    given: Inputs,
    content: int,
    step: Step,
    references: Sequence[Oracle | None],
    errors: list[float] | None = None,
) -> Judged:
    """Return what a call at a level must give. `errors` are those in the case's dtype, if they are known.

    `references` are those of the mechanisms, in order; None for a pattern.
    """
    level, weights = mechanisms.around(case), held(case, content)
    assert level
    exact, wide = _computed(case, references, given.wide(), weights.wide(), step)
    known, near = [~each.isnan() for each in exact], list[Inputs]()
    if errors is None:
        plain, near = _computed(case, references, given, weights, step)
        errors = [_largest(each.double() - want, where) for each, want, where in zip(plain, exact, known, strict=True)]
    scales = [_largest(*each) for each in zip(exact, known, strict=True)]
    share = tolerance.vanishing(given.n)
    first, *layers = (sum(each.requires_grad for each in group) for group in weights.groups)
    groups = [(len(given.differentiable), share), (first, share), *((many, tolerance.ALIKE) for many in layers)]
    if level.outer:
        scales[0] *= _OF_LOSS
    factor = _OF_ENCODER if level.outer else 1
    allowed = tolerance.allowed([factor * each for each in errors], scales, given.dout.dtype, groups=groups)
    if level.outer:
        # Gradients are multiples of that of the loss, whose relative error is about as large as the error of the loss.
        of_loss, *others = allowed
        allowed = (of_loss, *(each + of_loss * scale for each, scale in zip(others, scales[1:], strict=True)))
    return Judged(Expected(exact, allowed, expected.known(exact)), errors, wide, near)


def _largest(tensor: Tensor, known: Tensor) -> float:
    """Return the largest absolute value of the known elements."""
    return float(tensor.masked_fill(~known, 0.0).abs().max())


def _computed(
    case: Case, references: Sequence[Oracle | None], given: Inputs, weights: Held, step: Step
) -> tuple[tuple[Tensor, ...], list[Inputs]]:
    """Return the output and the gradients of a level in the dtype of its inputs, and what mechanisms were given."""
    level, grads = mechanisms.around(case), case.setting.direction != "forward"
    assert level
    attended: list[Inputs] = []

    def attend(place: Case, reference: Oracle | None, own: Weights, *inputs: Tensor) -> Tensor:
        attended.append(Inputs(*(each.detach() for each in inputs), torch.zeros_like(inputs[0])))
        compute = partial(_mechanism, place, reference, own, step)
        out: Tensor = _Mechanism.apply(compute, len(inputs), *inputs, *own)  # type: ignore[no-untyped-call]  # torch
        return out

    attends = [partial(attend, *each) for each in zip(case.places, references, weights.own, strict=True)]
    leaves = given.leaves(gradients=grads)
    with torch.set_grad_enabled(grads):
        out = level.call(case.setting, attends, weights, *leaves)
    if not grads:
        return (out,), attended
    wanted = [each for each in (*leaves, *weights.flat) if each.requires_grad]
    found = torch.autograd.grad(out, wanted, given.dout, allow_unused=True, materialize_grads=True)
    return (out.detach(), *found), attended


def _mechanism(
    place: Case, reference: Oracle | None, own: Weights, step: Step, given: Inputs, grads: bool
) -> tuple[Tensor, ...]:
    """Return the oracle's output, and with `grads` the gradients of inputs and learned weights.

    Elements that would take too long are NaN, as in `expected`.
    """
    if reference is None:
        spans = place.spans
        assert spans  # a mechanism that is not a pattern has a reference
        wide = torch.promote_types(given.q.dtype, torch.float32)
        found = expected.streamed(spans, [given], wide, grads, step, expected.MOST_PAIRS)[0]
        return tuple(each.to(given.q.dtype) for each in found)
    if given[0][..., 0].numel() * given.n <= expected.MOST_PAIRS:
        return expected.asked(reference, given, own, np.arange(given.n), grads, step)
    rows = spread(given.n, FEW)
    learned = [each for each in own if each.requires_grad]
    like = (given.dout, *((*given.tensors, *learned) if grads else ()))
    values = [torch.full_like(each, torch.nan) for each in like]
    where = torch.from_numpy(rows).to(given[0].device)
    values[0][..., where, :] = expected.asked(reference, given, own, rows, False, step)[0]
    return tuple(values)


class _Mechanism(torch.autograd.Function):
    """The oracle as a step of a formula that torch differentiates."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor, ...]], many: int, *tensors: Tensor) -> Tensor:
        """Return the output. `tensors` are `many` inputs and then the mechanism's weights."""
        ctx.compute, ctx.many = compute, many
        ctx.save_for_backward(*tensors)
        inputs = tensors[:many]
        return compute(Inputs(*inputs, torch.zeros_like(inputs[0])), False)[0]

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs and the learned weights."""
        inputs, own = ctx.saved_tensors[: ctx.many], ctx.saved_tensors[ctx.many :]
        with torch.enable_grad():  # the oracle differentiates its own formula
            _, *found = ctx.compute(Inputs(*inputs, dout), True)
        learned = iter(found[ctx.many :])
        return None, None, *found[: ctx.many], *(next(learned) if each.requires_grad else None for each in own)
