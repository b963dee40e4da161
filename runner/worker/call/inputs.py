"""The inputs of a call: their sizes, and how they are drawn."""

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Self

import torch
from torch import Tensor

from attnbench.variants import ATTENTION, DECODE, Setting, Shape, levels

_NAMES = {
    (4, 4, 4, 4): ("q", "k", "v", "dout"),
    (3, 3): ("x", "dout"),
    (3, 3, 3): ("x", "memory", "dout"),
    (2, 1, 2): ("tokens", "labels", "dout"),
    (2, 2, 2): ("source", "target", "dout"),
}
"""The names of a call's inputs by their numbers of dimensions."""
_EARLIER = 2**40
"""The seeds of earlier tokens begin here, above the numbers of all contents."""


class Inputs(tuple[Tensor, ...]):
    """The inputs of a call, and then the gradient of its output. The last dimension but one is the sequence.

    At level `attention` these are queries `B H N D`, keys and values `B K N D`, and dO `B H N D`, in the shape's
    layout. At level `layer`, tokens `B N C`, in cross-attention a memory `B M C`, and dY `B N C`. At level `encoder`,
    tokens `B N` and labels `B`, which are integers without a gradient, and the gradient of the losses `B 1`. At level
    `encoder_decoder`, a source `B N` and a target `B M+1`, integers too, and the gradient of the losses.
    """

    decoded: int | None
    """N, if these are the inputs of the last of N tokens alone, as in the direction `decode`."""
    lengths: tuple[int, ...] | None
    """The length of each sequence of a padded batch. All numbers past it are 0."""

    def __new__(cls, *tensors: Tensor, decoded: int | None = None, lengths: tuple[int, ...] | None = None) -> Self:
        """Put the tensors together."""
        made = super().__new__(cls, tensors)
        made.decoded, made.lengths = decoded, lengths
        return made

    def copy(self) -> "Inputs":
        """Return copies of all."""
        return Inputs(*(each.clone() for each in self), decoded=self.decoded, lengths=self.lengths)

    def sequences(self, numbers: list[int], length: int) -> "Inputs":
        """Return some sequences of a padded batch that have the same length, without padding."""
        return Inputs(*(each[numbers, :, :length] for each in self))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs alone."""
        return self[:-1]

    @property
    def dout(self) -> Tensor:
        """The gradient of the output."""
        return self[-1]

    @property
    def q(self) -> Tensor:
        """The queries."""
        return self[0]

    @property
    def k(self) -> Tensor:
        """The keys."""
        return self[1]

    @property
    def v(self) -> Tensor:
        """The values."""
        return self[2]

    @property
    def n(self) -> int:
        """The sequence length."""
        return self.decoded or self[0].shape[sequence(self[0])]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all."""
        return _NAMES[tuple(each.dim() for each in self)]

    @property
    def differentiable(self) -> tuple[Tensor, ...]:
        """The inputs that have a gradient."""
        return tuple(each for each in self.tensors if each.is_floating_point())

    def leaves(self, *, gradients: bool) -> tuple[Tensor, ...]:
        """Return the inputs as leaves of a graph, on the same memory, that require gradients if they can have them."""
        return tuple(each.detach().requires_grad_(gradients and each.is_floating_point()) for each in self.tensors)

    def wide(self) -> "Inputs":
        """Return all in float64; integers as they are."""
        every = (each.double() if each.is_floating_point() else each for each in self)
        return Inputs(*every, decoded=self.decoded, lengths=self.lengths)

    def result(self, place: int) -> str:
        """Return the name of a result: the output, the gradients of the inputs, such as dQ, and dW1, dW2, ...

        In `decode` the tensors of the state follow the output.
        """
        if self.decoded and place:
            return f"state {place}"
        given = [name for name, each in zip(self.names, self.tensors, strict=False) if each.is_floating_point()]
        names = ("output", *(f"d{each.upper()}" for each in given))
        return names[place] if place < len(names) else f"dW{place - len(names) + 1}"


def sequence(tensor: Tensor) -> int:
    """Return the dimension of an input that is the sequence. Integers have no dimension after it."""
    return -2 if tensor.is_floating_point() else -1


def inputs(shape: Shape, dtype: str, device: str, content: int = 0, level: str = ATTENTION) -> Inputs:
    """Return standard normal tensors, drawn in float32 on the CPU and then converted, or what the level draws.

    In a padded batch, numbers past the end of a sequence are 0. A content is the same in every process, on every device
    and in every layout. `Origin` says how contents are numbered.
    """
    # On the CPU no draw is cached: it would count against the case's memory, and might be the returned tensors.
    drawn = (_kept if device == "cuda" else _drawn)(shape, level, content)
    made = Inputs(*_placed(drawn, shape, dtype, device), lengths=lengths_of(shape))
    for number, length in enumerate(made.lengths or ()):
        for each in made:
            each[number, :, length:] = 0
    return made


def inputs_of(setting: Setting, content: int = 0) -> Inputs:
    """Return the `inputs` of a call in a setting, which are those of one token in `decode`."""
    decoded = setting.shape.seq_len if setting.direction == DECODE else None
    made = inputs(_given(setting), setting.dtype, setting.device, content, setting.level)
    return Inputs(*made, decoded=decoded, lengths=made.lengths)


def lengths_of(shape: Shape) -> tuple[int, ...] | None:
    """Return the lengths of the sequences of a padded batch, or None. Code under test may be older than padding."""
    return getattr(shape, "lengths", None)


def _given(setting: Setting) -> Shape:
    """Return the shape of the inputs. Code under test may be older than `Setting.given`."""
    return setting.shape.at(1) if setting.direction == DECODE else setting.shape


def earlier(setting: Setting, content: int = 0) -> tuple[Tensor, ...]:
    """Return the inputs of the N - 1 tokens before the last, without a gradient; both contents of a seed share them."""
    drawn = _drawn(setting.shape, setting.level, _EARLIER + content // 2)[:-1]
    return tuple(each[..., :-1, :] for each in _placed(drawn, setting.shape, setting.dtype, setting.device))


def _placed(drawn: tuple[Tensor, ...], shape: Shape, dtype: str, device: str) -> Iterator[Tensor]:
    """Yield tensors in a dtype, on a device and in the shape's layout."""
    for each in drawn:
        tensor = each.to(device, getattr(torch, dtype) if each.is_floating_point() else each.dtype)
        yield tensor.transpose(1, 2).contiguous().transpose(1, 2) if shape.layout == "bnhd" else tensor


def sizes_of(shape: Shape, level: str) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of the inputs and of the output."""
    found = levels.read(level)
    if found:
        return found.sizes(shape)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads, shape.heads)
    return tuple((shape.batch, each, shape.seq_len, shape.head_dim) for each in heads)


def _drawn(shape: Shape, level: str, seed: int) -> tuple[Tensor, ...]:
    """Draw standard normal float32 tensors on the CPU, or what the level draws."""
    found, generator = levels.read(level), torch.Generator().manual_seed(seed)
    if found:
        return found.draw(shape, generator)
    return tuple(torch.randn(*each, generator=generator) for each in sizes_of(shape, level))


_kept = lru_cache(maxsize=2)(_drawn)
"""`_drawn` with a cache of two, because drawing takes longer than most work of a GPU on the result."""


def input_bytes(setting: Setting, *, dout: bool = True) -> int:
    """Return the bytes of the inputs in a setting, with or without the gradient of the output."""
    sizes = sizes_of(_given(setting), setting.level)
    return sum(map(prod, sizes if dout else sizes[:-1])) * int(getattr(torch, setting.dtype).itemsize)
