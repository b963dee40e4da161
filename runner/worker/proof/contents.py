"""The content of a call's inputs, which stay where they are: what is proved, and what is timed."""

import math

import torch

from attnbench.runner.worker import calls
from attnbench.runner.worker.calls import Inputs
from attnbench.variants import Shape

SEED_A, SEED_B = 0, 1
"""The two contents that a probe proves; values are taken on the first, its rows rotated."""


def proved(shape: Shape, dtype: str, device: str) -> tuple[Inputs, Inputs]:
    """The contents A and B."""
    return calls.inputs(shape, dtype, device, SEED_A), calls.inputs(shape, dtype, device, SEED_B)


def rotate(given: Inputs, content: Inputs, by: int = 0) -> None:
    """Give row r of each of `given` the row (r + by) mod N of `content`."""
    with torch.no_grad():
        for to, each in zip(given, content, strict=True):
            n = to.shape[2]
            to[:, :, : n - by].copy_(each[:, :, by:])
            if by:
                to[:, :, n - by :].copy_(each[:, :, :by])


def mix(given: Inputs, a: Inputs, b: Inputs, number: int) -> None:
    """Give `given` a content that no call has seen, another one for each number: A, its rows rotated, and B.

    The squares of their shares sum to 1, so it is as large as they are.
    """
    angle = 0.5 + number / 100
    rotate(given, a, number % given.q.shape[2])
    with torch.no_grad():
        for to, each in zip(given, b, strict=True):
            to.mul_(math.cos(angle)).add_(each, alpha=math.sin(angle))


def changed(given: Inputs, content: Inputs) -> str | None:
    """The first input that is not bit for bit what it was, or nothing."""
    names = ("q", "k", "v", "dout")
    return next((name for name, to, each in zip(names, given, content, strict=True) if not torch.equal(to, each)), None)
