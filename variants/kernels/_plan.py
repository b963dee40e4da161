"""Which scores `blockwise` computes: groups of query blocks, each with exactly the keys that it needs.

Queries are cut into blocks of consecutive rows. A block's keys are the union of its rows' keys, nothing more,
and a small mask says which row sees which of them. Blocks with equal height, width and mask form a group and
are computed together. Queries that see every key (global tokens) are blocks of their own, without a mask.
Planning takes time linear in N, and in the pairs of such groups as have masks that no other group has.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attnbench.variants._pattern import BoolArray, IntArray, Spans

_HEIGHT = 64
_HEIGHTS = range(16, 513)


@dataclass(frozen=True)
class Group:
    """Query blocks computed together: all pairs of `rows[b]` and `keys[b]`, for every block b.

    `rows` are the queries `[blocks, height]` and `keys` the keys `[blocks, width]`. `mask` `[height, M]` says
    which query sees which of the last M <= width keys; the keys before them are seen by all.
    """

    rows: IntArray
    keys: IntArray
    mask: BoolArray

    @property
    def pairs(self) -> int:
        """Scores that the group computes for one head."""
        return int(self.rows.size * self.keys.shape[1])


def plan(spans: Spans) -> list[Group]:
    """The groups that cover every query of a pattern exactly once."""
    step = _dilation(spans)
    if step == 1:
        return _groups(spans)
    return [
        Group(group.rows * step + residue, group.keys * step + residue, group.mask)
        for residue in range(min(step, spans.n))
        for group in _groups(_residue_class(spans, residue, step))
    ]


def _dilation(spans: Spans) -> int:
    """The step d > 1 that all spans share, if every query sees keys of its own residue modulo d only; else 1."""
    held = spans.stop > spans.start
    steps = np.unique(spans.step[held])
    if len(steps) > 1:
        return 1
    away = (spans.start - np.arange(spans.n)[:, None]) % steps[0]
    return 1 if away[held].any() else int(steps[0])


def _residue_class(spans: Spans, residue: int, step: int) -> Spans:
    """The queries and keys `residue, residue + step, ...` as a pattern of their own."""
    start, stop = spans.start[residue::step], spans.stop[residue::step]
    held = stop > start
    first = np.where(held, (start - residue) // step, 0)
    last = np.where(held, -((residue - stop) // step), 0)
    return Spans(first, last, np.ones_like(first))


def _groups(spans: Spans) -> list[Group]:
    """The groups of a pattern without common dilation, in order of their first rows."""
    tiles: dict[bytes, tuple[IntArray, BoolArray]] = {}
    members: dict[tuple[int, int, bytes], list[tuple[int, IntArray, BoolArray]]] = {}
    for first, last in _blocks(spans):
        identity = _relative(spans, first, last)
        if identity not in tiles:
            keys, mask = _tile(spans, first, last)
            tiles[identity] = keys - first, mask
        keys, mask = tiles[identity]
        alike = last - first, len(keys), mask.tobytes()
        members.setdefault(alike, []).append((first, keys + first, mask))
    return [
        Group(
            np.array([first for first, _, _ in blocks])[:, None] + np.arange(height),
            np.stack([keys for _, keys, _ in blocks]),
            blocks[0][2],
        )
        for (height, _, _), blocks in members.items()
    ]


def _blocks(spans: Spans) -> Iterator[tuple[int, int]]:
    """Blocks `first, last` (excluded) of queries, none of which mixes queries that see every key with others."""
    dense = spans.counts() == spans.n
    height = _height(spans)
    edges = [0, *(np.flatnonzero(dense[1:] != dense[:-1]) + 1).tolist(), spans.n]
    for first, last in itertools.pairwise(edges):
        step = last - first if dense[first] else height
        for block in range(first, last, step):
            yield block, min(block + step, last)


def _height(spans: Spans) -> int:
    """Queries in a block: what the pattern's own blocks have, where that is a sensible number; else about 64."""
    bounds = np.concatenate([spans.start, spans.stop, spans.step], axis=1)
    changes = np.flatnonzero((bounds[1:] != bounds[:-1]).any(axis=1)) + 1
    unit = math.gcd(*changes.tolist()) or spans.n
    return unit if unit in _HEIGHTS else max(1, round(_HEIGHT / unit)) * unit


def _relative(spans: Spans, first: int, last: int) -> bytes:
    """The spans of a block seen from its first row: blocks of equal bytes are shifted copies."""
    start, stop, step = spans.start[first:last], spans.stop[first:last], spans.step[first:last]
    held = stop > start
    return np.stack([np.where(held, start - first, 0), np.where(held, stop - first, 0), step]).tobytes()


def _tile(spans: Spans, first: int, last: int) -> tuple[IntArray, BoolArray]:
    """The sorted keys of a block, and its mask without the leading keys that every row sees."""
    block = Spans(spans.start[first:last], spans.stop[first:last], spans.step[first:last])
    keys = _union(block)
    if (block.counts() == len(keys)).all():
        return keys, np.ones((last - first, 0), np.bool_)
    mask = block.allowed(np.arange(last - first)[:, None], keys[None, :])
    return keys, mask[:, int(np.argmin(mask.all(axis=0))) :]


def _union(block: Spans) -> IntArray:
    """The sorted keys that any row sees."""
    held = block.stop > block.start
    start, stop, step = block.start[held], block.stop[held], block.step[held]
    if (step > 1).any():
        return np.unique(np.concatenate([np.arange(*each) for each in zip(start, stop, step, strict=True)]))
    order = np.argsort(start)
    start, reached = start[order], np.maximum.accumulate(stop[order])
    opens = np.concatenate([[True], start[1:] > reached[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    return np.concatenate([np.arange(*each) for each in zip(start[opens], reached[closes], strict=True)])
