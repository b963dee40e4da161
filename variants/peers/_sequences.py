"""Patterns as packages for GPUs take them: sequences that do not see each other, with the same window in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attnbench.variants import IntArray, Pattern, Setting, Shape, Spans
from attnbench.variants.kernels._memory import key_bytes, query_bytes


@dataclass(frozen=True)
class Sequences:
    """N tokens cut into sequences. Query i sees the keys `i - left .. i + right` of its own sequence."""

    lengths: tuple[int, ...]
    left: int | None
    """The keys before a query; None for all of its sequence."""
    right: int | None
    """The keys after a query; None for all of its sequence."""

    @property
    def cut(self) -> bool:
        """Whether there are several sequences."""
        return len(self.lengths) > 1

    @property
    def causal(self) -> bool:
        """Whether a query sees all keys of its sequence up to itself."""
        return (self.left, self.right) == (None, 0)

    @property
    def window(self) -> tuple[int, int]:
        """Left and right, with -1 for all keys of the sequence."""
        return (-1 if self.left is None else self.left), (-1 if self.right is None else self.right)

    def bounds(self, batch: int, device: str) -> Tensor:
        """Return where the sequences of a batch begin and end if its entries follow each other: int32 `[B S + 1]`."""
        ends = np.cumsum((0, *self.lengths * batch))
        return torch.from_numpy(ends.astype(np.int32)).to(device)

    def tokens(self, tensor: Tensor) -> Tensor:
        """Return a tensor `B H N D` as tokens: `1 (B N) H D` if there are several sequences, else `B N H D`."""
        return packed(tensor)[None] if self.cut else tensor.transpose(1, 2)

    def copied_bytes(self, shape: Shape, dtype: str) -> int:
        """Return the bytes of the copies that `packed` makes of queries, keys and values."""
        copied = shape.layout == "bhnd" and shape.batch > 1 and shape.heads > 1
        return query_bytes(shape, dtype) + 2 * key_bytes(shape, dtype) if copied else 0


def of(spans: Spans) -> Sequences | None:
    """Return a pattern's sequences, or None if its keys are not such windows. One sequence is preferred to several."""
    used = (spans.stop > spans.start).any(axis=0)
    if used.sum() != 1 or (spans.step[:, used] != 1).any():
        return None
    start, stop = spans.start[:, used].ravel(), spans.stop[:, used].ravel()
    i = np.arange(spans.n)
    # A sequence begins at a token if no query before it sees it, and no query from it on sees an earlier key.
    latest, earliest = np.maximum.accumulate(stop), np.minimum.accumulate(start[::-1])[::-1]
    begins = np.flatnonzero(np.append(True, (latest[:-1] <= i[1:]) & (earliest[1:] >= i[1:])))
    return _windows(start, stop, [0]) or _windows(start, stop, begins.tolist())


def known(pattern: Pattern, setting: Setting) -> Sequences:
    """Return the sequences of a pattern that has some."""
    found = of(pattern.spans(setting.shape.seq_len))
    assert found is not None
    return found


def _windows(start: IntArray, stop: IntArray, begins: Sequence[int]) -> Sequences | None:
    """Return the sequences that begin at these tokens, or None if a query does not see its window in one of them."""
    n = len(start)
    lengths = np.diff([*begins, n])
    first = np.repeat(begins, lengths)
    end, i = first + np.repeat(lengths, lengths), np.arange(n)
    left = None if (start == first).all() else int((i - start).max())
    right = None if (stop == end).all() else int((stop - 1 - i).max())
    if left is not None and (start != np.maximum(first, i - left)).any():
        return None
    if right is not None and (stop != np.minimum(end, i + right + 1)).any():
        return None
    return Sequences(tuple(lengths.tolist()), left, right)


def packed(tensor: Tensor) -> Tensor:
    """Return a tensor `B H N D` as tokens `(B N) H D`. Several entries of the layout `bhnd` are copied."""
    return tensor.transpose(1, 2).flatten(0, 1)


def unpacked(tokens: Tensor, shape: Shape) -> Tensor:
    """Return tokens `(B N) H D` as a tensor `B H N D`."""
    return tokens.view(shape.batch, shape.seq_len, -1, shape.head_dim).transpose(1, 2)
