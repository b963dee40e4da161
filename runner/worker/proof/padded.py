"""Expected results of a padded batch: those of the sequences of each length by themselves, and 0 past their ends.

A sequence of length L takes the first L queries of the pattern at N, without the keys after these. Sequences that have
the same length are computed together. The limit of pairs is shared out by their pairs. The tolerance of a tensor is the
largest of its sequences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.proof import expected
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.suites import Case
from attnbench.variants import Spans


def of_case(case: Case, spans: Spans, contents: Sequence[Inputs], step: Step) -> list[Expected]:
    """Return the expected results of a call of the case on each content.

    Raises:
        Useless: the variant's own reference is too inexact.
    """
    lengths, grads = contents[0].lengths, case.setting.direction != "forward"
    assert lengths
    total = spans.pairs_of(lengths) * case.setting.shape.heads
    values = [_zeros(each, grads=grads) for each in contents]
    allowed = [[0.0] * (1 + 3 * grads) for _ in contents]
    for length in dict.fromkeys(lengths):
        numbers = [number for number, each in enumerate(lengths) if each == length]
        parts = [each.sequences(numbers, length) for each in contents]
        cut = spans.cut(length)
        if not cut.pairs():
            continue  # no query sees a key, so all is 0
        pairs = len(numbers) * cut.pairs() * case.setting.shape.heads
        for content, found in enumerate(_of_length(case, cut, parts, pairs, total, step)):
            allowed[content] = [*map(max, allowed[content], found.allowed)]
            for place, part in enumerate(found.values):
                # One length may be computed in float64, and another one in float32.
                wide = values[content][place].to(torch.promote_types(values[content][place].dtype, part.dtype))
                wide[numbers, :, :length] = part.to(wide.dtype)
                values[content][place] = wide
    return [
        Expected(tuple(mine), tuple(most), expected.known(mine)) for mine, most in zip(values, allowed, strict=True)
    ]


def _of_length(
    case: Case, spans: Spans, contents: Sequence[Inputs], pairs: int, total: int, step: Step
) -> list[Expected]:
    """Return what sequences of one length must give. They have `pairs` of the `total` pairs of the batch."""
    grads = case.setting.direction != "forward"
    reference = mechanisms.reference(case, spans=spans) if mechanisms.modifies_scores(case) else None
    if reference:
        return [expected.of_reference(reference, total, each, grads=grads, step=step) for each in contents]
    most = max(1, expected.MOST_PAIRS * pairs // total)
    return expected.of_pattern(spans, contents, grads=grads, step=step, most=most)


def _zeros(given: Inputs, *, grads: bool) -> list[Tensor]:
    """Return zeros like the output, and with `grads` like dQ, dK and dV."""
    dtype = torch.promote_types(given.q.dtype, torch.float32)
    return [torch.zeros_like(each, dtype=dtype) for each in ((given.q, *given.tensors) if grads else (given.q,))]
