"""How far an output or a gradient may be from the oracle.

Twice the largest error of the textbook computation in the case's dtype, plus a floor: a fraction of the oracle's
largest value, 1e-12 (float64), 1e-5 (float32), 1e-3 (float16), 8e-3 (bfloat16). For gradients the floor is four times
that fraction of the largest value in any of dQ, dK and dV: one of them may vanish (dQ and dK at N = 1) while the terms
that cancel in it do not.
"""

from collections.abc import Sequence

import torch

NAMES = ("output", "dQ", "dK", "dV")
"""What a proof looks at, in this order; without gradients the output alone."""
FLOORS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
_GRADIENT_FLOOR = 4


def allowed(errors: Sequence[float], scales: Sequence[float], dtype: torch.dtype) -> tuple[float, ...]:
    """The largest error that each tensor may have: from the textbook's errors, and the oracle's largest values."""
    gradients = _GRADIENT_FLOOR * max(scales[1:], default=0.0)
    floors = [scales[0], *[gradients] * (len(scales) - 1)]
    return tuple(2 * error + FLOORS[dtype] * floor for error, floor in zip(errors, floors, strict=True))
