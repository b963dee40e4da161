"""The tolerance: the largest error that an output or a gradient may have.

It is twice the largest error of the textbook computation in the case's dtype, plus a floor. The floor is a share of the
oracle's largest value: 1e-12 (float64), 1e-5 (float32), 1e-3 (float16), 8e-3 (bfloat16). For gradients, the floor is
four times this share of the largest value of dQ, dK and dV together, because one of them may vanish (at N = 1, dQ
and dK) while the terms that cancel in it do not.

If a variant has its own reference, dQ, dK and dV may differ in size. Then each counts with its own largest value, or
with a share of the largest of all three. The share is 1 / sqrt(N), because what cancels is a mean over the keys, and at
least an eighth. Gradients of learned weights are treated like this among themselves, and so are all at a level. At
levels `encoder` and `encoder_decoder` the gradients of a layer count as the largest of them, because errors of a layer
reach all its weights.
"""

import math
from collections.abc import Sequence

import torch

FLOORS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
_GRADIENT_FLOOR = 4
ALIKE = 1.0
"""Share of the largest gradient that a small one counts as, if they do not differ in size, or if errors of one reach
all others."""
_VANISHING = 1 / 8
"""The least share, if they differ in size."""

Groups = Sequence[tuple[int, float]]
"""Gradients that are compared in size, of inputs and then of weights: how many, and the share of the largest one that a
small one counts as."""


def allowed(
    errors: Sequence[float], scales: Sequence[float], dtype: torch.dtype, *, groups: Groups = ((3, ALIKE),)
) -> tuple[float, ...]:
    """Return the largest allowed error of each tensor, from the textbook's errors and the oracle's largest values."""
    return tuple(2 * error + floor for error, floor in zip(errors, floors(scales, dtype, groups=groups), strict=True))


def floors(scales: Sequence[float], dtype: torch.dtype, *, groups: Groups = ((3, ALIKE),)) -> list[float]:
    """Return the allowed error of each tensor without the textbook's."""
    found, rest = [FLOORS[dtype] * scales[0]], scales[1:]
    for many, share in groups:
        some, rest = rest[:many], rest[many:]
        found += [_GRADIENT_FLOOR * FLOORS[dtype] * max(each, share * max(some)) for each in some]
    return found


def vanishing(n: int) -> float:
    """Return the share of the largest gradient that a small one counts as, if they may differ in size, for n tokens."""
    return max(_VANISHING, 1 / math.sqrt(n))
