"""Blocks of rows of a tensor: reading them as a view or by gathering, and writing them back.

An index `[blocks, width]` names rows of tensors `heads N D`. There are three cases:

- `Strided`: the index is a progression in both directions (`first + b * step + w * spacing`). The rows are one strided
  view, which copies nothing. Its blocks may overlap, or interleave as residue classes do.
- `Overlapping`: the rows lie anywhere, but each block repeats the end of the block before it and continues from
  there. Each row is gathered once, and the blocks are a strided view of the gathered rows.
- `Gathered`: the rows lie anywhere and are gathered.
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
        """Rows of each head that `read` copies."""

    @property
    def at_once(self) -> int:
        """Rows of each block that `add` adds in one operation."""

    def read(self, tensor: Tensor) -> Tensor:
        """Return the rows `heads blocks width D`."""

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add to the rows of `tensor`; a row that is named twice gets both additions."""

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Overwrite the rows of `tensor`; no row may be named twice."""


def rows(index: IntArray, device: str) -> Rows:
    """Return the rows that an index names, as the case that copies least."""
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
    # The whole first block, then of each later block only the rows that the block before it does not hold.
    once = np.concatenate([index[0], index[1:, width - apart :].reshape(-1)])
    return Overlapping(Gathered(torch.from_numpy(once[None]).to(device)), Strided(0, blocks, width, apart, 1))


def _apart(index: IntArray) -> int | None:
    """Return the number of rows after which the next block begins, or None if it is not the same for all blocks."""
    blocks, width = index.shape
    found = np.flatnonzero(index[0] == index[1, 0]) if blocks > 1 else np.zeros(0)
    apart = int(found[0]) if found.size else 0
    return apart if apart and (index[1:, : width - apart] == index[:-1, apart:]).all() else None


@dataclass(frozen=True)
class Strided:
    """Rows `first + b * step + w * spacing`.

    Either `step` is a multiple of `spacing`, or all blocks begin within one `spacing` and share no row.
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
        """The distance between blocks in rows, or all rows if blocks interleave."""
        return min(self.width, self.step // self.spacing or self.width)

    def is_sound(self) -> bool:
        """Check that `step` and `spacing` meet the condition of the class."""
        if min(self.step, self.spacing) < 1:
            return False
        return self.step % self.spacing == 0 or (self.blocks - 1) * self.step < self.spacing

    def index(self) -> IntArray:
        """Return the numbers of the rows `[blocks, width]`."""
        return self.first + np.arange(self.blocks)[:, None] * self.step + np.arange(self.width) * self.spacing

    def read(self, tensor: Tensor) -> Tensor:
        """Return a view `heads blocks width D`."""
        return self._view(tensor, 0, self.width)

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Add slice by slice."""
        # Adding in place to a view whose rows overlap is undefined in torch. A slice is no wider than the distance
        # between blocks, so its rows do not overlap.
        for offset in range(0, self.width, self.at_once):
            piece = rows[:, :, offset : offset + self.at_once]
            self._view(tensor, offset, piece.shape[2]).add_(piece)

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Overwrite the rows in one copy."""
        self._view(tensor, 0, self.width).copy_(rows)

    def _view(self, tensor: Tensor, offset: int, width: int) -> Tensor:
        """Return a view of `width` rows of each block, from its row `offset` on."""
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
        """All rows of a block."""
        return self.index.shape[1]

    @property
    def copied(self) -> int:
        """All rows."""
        return self.index.numel()

    @property
    def held_bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def read(self, tensor: Tensor) -> Tensor:
        """Return a copy `heads blocks width D`."""
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
        """Return the numbers of the rows in `tensor` with its heads laid end to end."""
        # One index for all heads: index_select then copies all rows in a single call.
        heads, n, _ = tensor.shape
        if heads == 1:
            return self.index.view(-1)
        return (torch.arange(heads, device=tensor.device)[:, None] * n + self.index.view(1, -1)).view(-1)


@dataclass(frozen=True)
class Overlapping:
    """Overlapping blocks of rows that lie anywhere: `blocks` is a view of the rows that `once` gathers."""

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
        """The rows that the view adds in one operation."""
        return self.blocks.at_once

    @property
    def copied(self) -> int:
        """Each row is copied once."""
        return self.once.copied

    def read(self, tensor: Tensor) -> Tensor:
        """Return a view `heads blocks width D` of a copy."""
        return self.blocks.read(self.once.read(tensor)[:, 0])

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Sum the overlapping rows first, then add row by row."""
        sums = tensor.new_zeros(tensor.shape[0], self.copied, tensor.shape[2])
        self.blocks.add(sums, rows)
        self.once.add(tensor, sums[:, None])

    def write(self, tensor: Tensor, rows: Tensor) -> None:
        """Raise NotImplementedError, because overlapping blocks name rows twice."""
        raise NotImplementedError


def flat(tensor: Tensor) -> Tensor:
    """Reshape `B H N D` to `(B H) N D`."""
    return tensor.contiguous().flatten(0, 1)


def fold(queries: Tensor, few: slice) -> Tensor:
    """Reshape blocks `(K G) blocks height D` to `K blocks (G height) D`; `few` are the K key heads.

    So all G query heads of a key head read its keys once, without repeating them in memory.
    """
    heads = few.stop - few.start
    many, blocks, height, d = queries.shape
    if many == heads:
        return queries
    return queries.view(heads, many // heads, blocks, height, d).transpose(1, 2).reshape(heads, blocks, -1, d)


def unfold(out: Tensor, many: slice) -> Tensor:
    """Reshape blocks `K blocks (G height) D` to `(K G) blocks height D`; `many` are the K G query heads."""
    heads, blocks, rows, d = out.shape
    group = (many.stop - many.start) // heads
    if group == 1:
        return out
    return out.reshape(heads, blocks, group, rows // group, d).transpose(1, 2).reshape(heads * group, blocks, -1, d)
