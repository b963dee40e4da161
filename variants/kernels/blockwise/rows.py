"""Rows of a tensor by blocks: cut out as a view where they lie regularly, else gathered; and put back.

An index `[blocks, width]` names rows of tensors `heads N D`. Where it is a progression in both directions
(`first + b * step + w * spacing`), the rows are one strided view that copies nothing. Blocks may overlap in it, or
interleave, as residue classes do. Adding gradients back to overlapping blocks is a few additions of strided slices
that do not overlap. Where the rows lie anywhere, but each block begins some rows into the one before and goes on from
there, they are gathered once, and the blocks are such a view of what was gathered.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from attnbench.variants._pattern import IntArray


class Rows(Protocol):
    """Some rows `[blocks, width]` of tensors `heads N D`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks, and the width of each."""

    @property
    def held_bytes(self) -> int:
        """Bytes of the index."""

    @property
    def copied(self) -> int:
        """Rows that `read` copies, of each head."""

    @property
    def at_once(self) -> int:
        """Rows of each block that `add` adds at once."""

    def read(self, tensor: Tensor) -> Tensor:
        """The rows `heads blocks width D`."""

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add to the rows of `tensor`; a row named twice is added to twice."""

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Overwrite the rows of `tensor`, none of which is named twice."""


def rows(index: IntArray, device: str) -> Rows:
    """The rows that an index names."""
    first = int(index[0, 0])
    blocks, width = index.shape
    spacing = int(index[0, 1]) - first if width > 1 else 1
    step = int(index[1, 0]) - first if blocks > 1 else width * spacing
    regular = Strided(first, blocks, width, step, spacing)
    if regular.is_sound() and (index == regular.index()).all():
        return regular
    apart = _apart(index)
    if apart is None:
        return Gathered(torch.from_numpy(index).to(device))
    once = np.concatenate([index[0], index[1:, width - apart :].reshape(-1)])
    return Overlapping(Gathered(torch.from_numpy(once[None]).to(device)), Strided(0, blocks, width, apart, 1))


def _apart(index: IntArray) -> int | None:
    """After how many of its rows a block is followed by the next one, if that holds for all; None where they differ."""
    blocks, width = index.shape
    found = np.flatnonzero(index[0] == index[1, 0]) if blocks > 1 else np.zeros(0)
    apart = int(found[0]) if found.size else 0
    return apart if apart and (index[1:, : width - apart] == index[:-1, apart:]).all() else None


@dataclass(frozen=True)
class Strided:
    """Rows `first + b * step + w * spacing`.

    `step` is a multiple of `spacing`, or all blocks begin within one `spacing`: then no row is in two of them.
    """

    first: int
    blocks: int
    width: int
    step: int
    spacing: int
    held_bytes: int = 0
    copied: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks, and the width of each."""
        return self.blocks, self.width

    @property
    def at_once(self) -> int:
        """As many as blocks are apart; all of them where blocks interleave."""
        return min(self.width, self.step // self.spacing or self.width)

    def is_sound(self) -> bool:
        """Whether `step` and `spacing` are as they must be."""
        if min(self.step, self.spacing) < 1:
            return False
        return self.step % self.spacing == 0 or (self.blocks - 1) * self.step < self.spacing

    def index(self) -> IntArray:
        """The rows' numbers `[blocks, width]`."""
        return self.first + np.arange(self.blocks)[:, None] * self.step + np.arange(self.width) * self.spacing

    def read(self, tensor: Tensor) -> Tensor:
        """A view `heads blocks width D`."""
        return self._view(tensor, 0, self.width)

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add slice by slice, each as wide as blocks are apart, so that no two blocks overlap."""
        for offset in range(0, self.width, self.at_once):
            piece = rows[:, :, offset : offset + self.at_once]
            self._view(tensor, offset, piece.shape[2]).add_(piece)

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Overwrite in one copy."""
        self._view(tensor, 0, self.width).copy_(rows)

    def _view(self, tensor: Tensor, offset: int, width: int) -> Tensor:
        """The rows from number `offset` of each block on, `width` of them."""
        heads, _, d = tensor.shape
        across, along, _ = tensor.stride()
        start = tensor.storage_offset() + (self.first + offset * self.spacing) * along
        strides = (across, self.step * along, self.spacing * along, 1)
        return tensor.as_strided((heads, self.blocks, width, d), strides, start)


@dataclass(frozen=True)
class Gathered:
    """Rows that lie anywhere, numbered by `index` `[blocks, width]`."""

    index: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks, and the width of each."""
        return self.index.shape[0], self.index.shape[1]

    @property
    def at_once(self) -> int:
        """All of them."""
        return self.index.shape[1]

    @property
    def copied(self) -> int:
        """All of them."""
        return self.index.numel()

    @property
    def held_bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def read(self, tensor: Tensor) -> Tensor:
        """A copy `heads blocks width D`."""
        heads, _, d = tensor.shape
        return tensor.view(-1, d).index_select(0, self._flat(tensor)).view(heads, *self.index.shape, d)

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add row by row."""
        d = tensor.shape[2]
        tensor.view(-1, d).index_add_(0, self._flat(tensor), rows.reshape(-1, d).to(tensor.dtype))

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Overwrite row by row."""
        d = tensor.shape[2]
        tensor.view(-1, d).index_copy_(0, self._flat(tensor), rows.reshape(-1, d))

    def _flat(self, tensor: Tensor) -> Tensor:
        """The rows' numbers in the heads of `tensor` laid end to end: one index serves all heads."""
        heads, n, _ = tensor.shape
        if heads == 1:
            return self.index.view(-1)
        return (torch.arange(heads, device=tensor.device)[:, None] * n + self.index.view(1, -1)).view(-1)


@dataclass(frozen=True)
class Overlapping:
    """Rows that lie anywhere, in blocks that overlap: `blocks` is a view of the rows that `once` gathers."""

    once: Gathered
    blocks: Strided

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks, and the width of each."""
        return self.blocks.shape

    @property
    def held_bytes(self) -> int:
        """Bytes of the index."""
        return self.once.held_bytes

    @property
    def at_once(self) -> int:
        """As of the view."""
        return self.blocks.at_once

    @property
    def copied(self) -> int:
        """Each row once."""
        return self.once.copied

    def read(self, tensor: Tensor) -> Tensor:
        """A view `heads blocks width D` of a copy."""
        return self.blocks.read(self.once.read(tensor)[:, 0])

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add up what overlaps, then add row by row."""
        sums = tensor.new_zeros(tensor.shape[0], self.copied, tensor.shape[2])
        self.blocks.add(sums, rows)
        self.once.add(tensor, sums[:, None])

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Not for blocks that overlap: they name rows twice."""
        raise NotImplementedError
