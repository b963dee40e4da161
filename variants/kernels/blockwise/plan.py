"""Plans of the scores that `blockwise` computes: groups of query blocks, each with exactly the keys it needs.

Queries are cut into blocks of consecutive rows. A block's keys are the union of its rows' keys, and a small mask says
which row sees which of them. Blocks with equal height, width and mask form a group and are computed together. Queries
that see every key (global tokens) are blocks of their own, without a mask; queries that see no key are in no block.
Planning takes time linear in N and in the keys of the distinct blocks.
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
    which query sees which of the last M <= width keys; every query sees the keys before those.
    """

    rows: IntArray
    keys: IntArray
    mask: BoolArray

    @property
    def pairs(self) -> int:
        """Number of scores that the group computes for one head."""
        return int(self.rows.size * self.keys.shape[1])


def plan(spans: Spans) -> list[Group]:
    """Return groups that cover every query that sees a key exactly once."""
    step = _dilation(spans)
    if step == 1:
        return _groups(spans)
    # A dilated pattern falls apart into one dense pattern per residue class; equal ones are planned once.
    alike: dict[bytes, tuple[Spans, list[int]]] = {}
    for residue in range(min(step, spans.n)):
        each = _residue_class(spans, residue, step)
        alike.setdefault(each.start.tobytes() + each.stop.tobytes(), (each, []))[1].append(residue)
    return [group for each, residues in alike.values() for group in _dilated(_groups(each), residues, step)]


def _dilation(spans: Spans) -> int:
    """Return the step d that all spans share if every query sees only keys of its own residue modulo d, else 1."""
    held = spans.stop > spans.start
    steps = np.unique(spans.step[held])
    if len(steps) > 1:
        return 1
    away = (spans.start - np.arange(spans.n)[:, None]) % steps[0]
    return 1 if away[held].any() else int(steps[0])


def _residue_class(spans: Spans, residue: int, step: int) -> Spans:
    """Return the queries and keys `residue, residue + step, ...` as a pattern of their own."""
    start, stop = spans.start[residue::step], spans.stop[residue::step]
    held = stop > start
    first = np.where(held, (start - residue) // step, 0)
    last = np.where(held, -((residue - stop) // step), 0)
    return Spans(first, last, np.ones_like(first))


def _dilated(groups: list[Group], residues: list[int], step: int) -> Iterator[Group]:
    """Yield the groups of one residue class, moved to each of `residues`.

    A group of a single block becomes one group with a block for each residue.
    """
    for group in groups:
        # With several blocks per residue, the blocks of all residues would not be one strided view (`rows.Strided`).
        together = len(group.rows) == 1
        for each in [residues] if together else [[residue] for residue in residues]:
            offset = np.array(each)[:, None]
            yield Group(group.rows * step + offset, group.keys * step + offset, group.mask)


def _groups(spans: Spans) -> list[Group]:
    """Return the groups of a pattern without common dilation, in order of their first rows."""
    tiles: dict[bytes, tuple[int, IntArray, BoolArray]] = {}
    members: dict[tuple[int, int, bytes], list[tuple[int, IntArray, BoolArray]]] = {}
    for first, last in _blocks(spans):
        identity = _relative(spans, first, last)
        if identity not in tiles:
            tiles[identity] = (first, *_tile(spans, first, last))
        known, keys, mask = tiles[identity]
        alike = last - first, len(keys), mask.tobytes()
        # `keys` is shared if there is no shift: with keys unlimited to the left, copies would take N^2 / 128 numbers.
        members.setdefault(alike, []).append((first, keys + (first - known) if first > known else keys, mask))
    return [
        Group(
            np.array([first for first, _, _ in blocks])[:, None] + np.arange(height),
            np.stack([keys for _, keys, _ in blocks]),
            blocks[0][2],
        )
        for (height, _, _), blocks in members.items()
    ]


def _blocks(spans: Spans) -> Iterator[tuple[int, int]]:
    """Yield blocks of queries that see keys as `first, last`, without `last`.

    Queries that see every key are in blocks of their own.
    """
    counts = spans.counts()
    dense, empty = counts == spans.n, counts == 0
    height = _height(spans)
    # No block crosses a border between queries that see all keys, some keys and no keys.
    edges = [0, *(np.flatnonzero(np.diff(dense.astype(int) - empty)) + 1).tolist(), spans.n]
    for first, last in itertools.pairwise(edges):
        step = last - first if dense[first] or empty[first] else height
        for block in range(first, last, step):
            if not empty[block]:
                yield block, min(block + step, last)


def _height(spans: Spans) -> int:
    """Return the number of queries in a block: that of the pattern's own blocks if it is 16 to 512, else about 64."""
    bounds = np.concatenate([spans.start, spans.stop, spans.step], axis=1)
    changes = np.flatnonzero((bounds[1:] != bounds[:-1]).any(axis=1)) + 1
    # A pattern of blocks changes its spans only at multiples of the block size.
    unit = math.gcd(*changes.tolist()) or spans.n
    return unit if unit in _HEIGHTS else max(1, round(_HEIGHT / unit)) * unit


def _relative(spans: Spans, first: int, last: int) -> bytes:
    """Return the spans of a block relative to its first row: blocks with equal bytes are shifted copies."""
    start, stop, step = spans.start[first:last], spans.stop[first:last], spans.step[first:last]
    held = stop > start
    return np.stack([np.where(held, start - first, 0), np.where(held, stop - first, 0), step]).tobytes()


def _tile(spans: Spans, first: int, last: int) -> tuple[IntArray, BoolArray]:
    """Return the sorted keys of a block, and its mask without the leading keys that every row sees."""
    block = Spans(spans.start[first:last], spans.stop[first:last], spans.step[first:last])
    keys = _union(block)
    if (block.counts() == len(keys)).all():
        return keys, np.ones((last - first, 0), np.bool_)
    # The mask starts after the leading common keys, so that with keys unlimited to the left it stays small.
    mask = block.allowed(np.arange(last - first)[:, None], keys[None, _lead(block, keys) :])
    return keys, mask[:, int(np.argmin(mask.all(axis=0))) :]


def _lead(block: Spans, keys: IntArray) -> int:
    """Count the leading keys that every row sees, without a mask of all keys; return 0 if a step is above 1."""
    held = block.stop > block.start
    if (block.step[held] > 1).any():
        return 0
    # The running count of spans that are open at a key is the number of rows that see it.
    opened, closed = (
        np.bincount(np.searchsorted(keys, bound[held]), minlength=len(keys) + 1) for bound in (block.start, block.stop)
    )
    return int(np.argmin(np.cumsum(opened - closed) == block.n))


def _union(block: Spans) -> IntArray:
    """Return the sorted keys that any row sees."""
    held = block.stop > block.start
    if (block.step[held] > 1).any():
        return _marked(block)
    start, stop = block.start[held], block.stop[held]
    order = np.argsort(start)
    start, reached = start[order], np.maximum.accumulate(stop[order])
    opens = np.concatenate([[True], start[1:] > reached[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    return np.concatenate([np.arange(*each) for each in zip(start[opens], reached[closes], strict=True)])


def _marked(block: Spans) -> IntArray:
    """Return the sorted keys that any row sees, for spans of any step; a row equal to the one before it is skipped."""
    bounds = np.stack([block.start, block.stop, block.step], axis=2)
    fresh = np.concatenate([[True], (bounds[1:] != bounds[:-1]).any(axis=(1, 2))])
    first = int(block.start.min())
    seen = np.zeros(int(block.stop.max()) - first, np.bool_)
    for start, stop, step in bounds[fresh].reshape(-1, 3):
        seen[start - first : stop - first : step] = True
    return np.flatnonzero(seen) + first
