"""Contents of a call's inputs: those that are proved, and those that are timed, in the same tensors."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Call, Inputs
from attnbench.variants import Shape

SEED_A, SEED_B = 0, 1
"""The two contents that a probe proves; values are taken on the first, its rows rotated."""


def proved(shape: Shape, dtype: str, device: str) -> tuple[Inputs, Inputs]:
    """The contents A and B."""
    return calls.inputs(shape, dtype, device, SEED_A), calls.inputs(shape, dtype, device, SEED_B)


def rotate(call: Call, given: Inputs, content: Inputs, by: int = 0) -> None:
    """Give row r of each of `given`, the inputs of a call, the row (r + by) mod N of `content`."""
    _put(call, [partial(_rotate, to, each, by) for to, each in zip(given, content, strict=True)])


def mix(call: Call, given: Inputs, both: tuple[Inputs, Inputs], number: int) -> None:
    """Give `given` a content that no call has seen, another one for each number: A, its rows rotated, and B.

    The squares of their shares sum to 1, so it is as large as they are.
    """
    _put(call, [partial(_mix, to, a, b, number) for to, a, b in zip(given, *both, strict=True)])


def _put(call: Call, writes: Sequence[Callable[[], None]]) -> None:
    """Write q, k and v, make the graph that belongs to them, and then write dout: a forward pass may not know it."""
    with torch.no_grad():
        for write in writes[:3]:
            write()
    call.renew()
    with torch.no_grad():
        writes[3]()


def _rotate(to: Tensor, content: Tensor, by: int) -> None:
    n = to.shape[2]
    to[:, :, : n - by].copy_(content[:, :, by:])
    if by:
        to[:, :, n - by :].copy_(content[:, :, :by])


def _mix(to: Tensor, a: Tensor, b: Tensor, number: int) -> None:
    angle = 0.5 + number / 100
    _rotate(to, a, number % to.shape[2])
    to.mul_(math.cos(angle)).add_(b, alpha=math.sin(angle))


def changed(given: Inputs, content: Inputs) -> str | None:
    """The first input that is not bit for bit what it was, or nothing."""
    names = ("q", "k", "v", "dout")
    return next((name for name, to, each in zip(names, given, content, strict=True) if not torch.equal(to, each)), None)
