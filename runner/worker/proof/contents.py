"""Contents of a call's inputs, for the proof and for timing. They are written into the same tensors."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.call.inputs import Inputs, inputs_of, sequence
from attnbench.suites.origin import Origin
from attnbench.variants import Setting, Weights


def proved(setting: Setting, origin: Origin) -> tuple[Inputs, Inputs]:
    """Return the contents A and B, which a probe checks. Values are taken on A, with its rows rotated."""
    a, b = origin.contents
    return inputs_of(setting, a), inputs_of(setting, b)


def rotate(call: Call, given: Inputs, content: Inputs, weights: Weights, by: int = 0) -> None:
    """Write row (r + by) mod N of `content` into row r of each of the inputs `given` of a call.

    In a padded batch, each sequence is rotated within its length. A single row is rotated within itself. Learned
    weights of the call get those of `weights`, rotated in the same way, and other state its first values.
    """
    writes = [partial(_by_sequence, _rotate, by, given.lengths, *each) for each in zip(given, content, strict=True)]
    _put(call, writes, [partial(_rotate, *each, by, 0) for each in zip(call.weights, weights, strict=True)])


def mix(call: Call, given: Inputs, both: tuple[Inputs, Inputs], weights: tuple[Weights, Weights], number: int) -> None:
    """Give the inputs a content that no call has seen, which differs for each `number`: a mix of A, rotated, and B.

    The squares of their shares sum to 1, so the values are as large as before. Learned weights are mixed in the same
    way. Of integers, every second is one of B.
    """
    writes = [partial(_by_sequence, _mix, number, given.lengths, *each) for each in zip(given, *both, strict=True)]
    _put(call, writes, [partial(_mix, *each, number, 0) for each in zip(call.weights, *weights, strict=True)])


def put_back(call: Call, weights: Weights) -> None:
    """Give the state of a call its first values, and learned weights in it those of `weights`."""
    _restore(call)
    moved = {id(each) for each, _ in call.state}
    with torch.no_grad():
        for mine, kept in zip(call.weights, weights, strict=True):
            if id(mine) in moved:
                mine.copy_(kept)


def _restore(call: Call) -> None:
    with torch.no_grad():
        for mine, first in call.state:
            mine.copy_(first)


def _put(call: Call, inputs: Sequence[Callable[[], None]], weights: Sequence[Callable[[], None]]) -> None:
    """Write the state, learned weights and inputs, let the call renew its graph, and then write dout.

    In this order, a forward pass cannot use dout.
    """
    _restore(call)
    with torch.no_grad():
        learned = [write for write, each in zip(weights, call.weights, strict=True) if each.requires_grad]
        for write in (*learned, *inputs[:-1]):
            write()
    call.renew()
    with torch.no_grad():
        inputs[-1]()


def _by_sequence(write: Callable[..., None], number: int, lengths: tuple[int, ...] | None, *tensors: Tensor) -> None:
    """Write an input from its contents, or each sequence of a padded batch by itself."""
    if lengths is None:
        write(*tensors, number, _turned(tensors[0]))
    for entry, length in enumerate(lengths or ()):
        parts = [each[entry, :, :length] for each in tensors]
        write(*parts, number, _turned(parts[0]))


def _turned(each: Tensor) -> int:
    """Return the dimension in which an input is rotated: the sequence, or for one token its numbers."""
    dim = sequence(each)
    return dim if each.shape[dim] > 1 else -1


def _rotate(to: Tensor, content: Tensor, by: int, dim: int) -> None:
    n = to.shape[dim]
    by %= n
    to.narrow(dim, 0, n - by).copy_(content.narrow(dim, by, n - by))
    if by:
        to.narrow(dim, n - by, by).copy_(content.narrow(dim, 0, by))


def _mix(to: Tensor, a: Tensor, b: Tensor, number: int, dim: int) -> None:
    angle = 0.5 + number / 100
    _rotate(to, a, number, dim)
    if to.is_floating_point():
        to.mul_(math.cos(angle)).add_(b, alpha=math.sin(angle))
    else:
        to[..., ::2] = b[..., ::2]


def changed(given: Inputs, content: Inputs) -> str | None:
    """Return the name of the first input that is not bit for bit equal to the content, or None."""
    pairs = zip(given.names, given, content, strict=True)
    return next((name for name, to, each in pairs if not torch.equal(to, each)), None)
