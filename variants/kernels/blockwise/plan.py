"""Which scores `blockwise` computes: groups of query blocks, each with exactly the keys that it needs.

Queries are cut into blocks of consecutive rows. A block's keys are the union of its rows' keys, nothing more,
and a small mask says which row sees which of them. Blocks with equal height, width and mask form a group and
are computed together. Queries that see every key (global tokens) are blocks of their own, without a mask;
queries that see none are in no block. Planning takes time linear in N, and in the keys of such blocks as look
like no other.
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
    """The groups that cover every query that sees a key exactly once."""
    step = _dilation(spans)
    if step == 1:
        return _groups(spans)
    alike: dict[bytes, tuple[Spans, list[int]]] = {}
    for residue in range(min(step, spans.n)):
        each = _residue_class(spans, residue, step)
        alike.setdefault(each.start.tobytes() + each.stop.tobytes(), (each, []))[1].append(residue)
    return [group for each, residues in alike.values() for group in _dilated(_groups(each), residues, step)]


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


def _dilated(groups: list[Group], residues: list[int], step: int) -> Iterator[Group]:
    """The groups of a residue class as those of all residues alike: single blocks of all of them are one group."""
    for group in groups:
        together = len(group.rows) == 1
        for each in [residues] if together else [[residue] for residue in residues]:
            offset = np.array(each)[:, None]
            yield Group(group.rows * step + offset, group.keys * step + offset, group.mask)


def _groups(spans: Spans) -> list[Group]:
    """The groups of a pattern without common dilation, in order of their first rows."""
    tiles: dict[bytes, tuple[int, IntArray, BoolArray]] = {}
    members: dict[tuple[int, int, bytes], list[tuple[int, IntArray, BoolArray]]] = {}
    for first, last in _blocks(spans):
        identity = _relative(spans, first, last)
        if identity not in tiles:
            tiles[identity] = (first, *_tile(spans, first, last))
        known, keys, mask = tiles[identity]
        alike = last - first, len(keys), mask.tobytes()
        # Keys unlimited to the left would take N^2 / 128 numbers once more.
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
    """Blocks `first, last` (excluded) of queries that see keys; none mixes those that see every key with others."""
    counts = spans.counts()
    dense, empty = counts == spans.n, counts == 0
    height = _height(spans)
    edges = [0, *(np.flatnonzero(np.diff(dense.astype(int) - empty)) + 1).tolist(), spans.n]
    for first, last in itertools.pairwise(edges):
        step = last - first if dense[first] or empty[first] else height
        for block in range(first, last, step):
            if not empty[block]:
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
    mask = block.allowed(np.arange(last - first)[:, None], keys[None, _lead(block, keys) :])
    return keys, mask[:, int(np.argmin(mask.all(axis=0))) :]


def _lead(block: Spans, keys: IntArray) -> int:
    """How many leading keys every row sees, found without a mask of them all; none are counted at steps above 1."""
    held = block.stop > block.start
    if (block.step[held] > 1).any():
        return 0
    opened, closed = (
        np.bincount(np.searchsorted(keys, bound[held]), minlength=len(keys) + 1) for bound in (block.start, block.stop)
    )
    return int(np.argmin(np.cumsum(opened - closed) == block.n))


def _union(block: Spans) -> IntArray:
    """The sorted keys that any row sees."""
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
    """The sorted keys that any row sees, at any steps; rows like the row before them are not looked at again."""
    bounds = np.stack([block.start, block.stop, block.step], axis=2)
    fresh = np.concatenate([[True], (bounds[1:] != bounds[:-1]).any(axis=(1, 2))])
    first = int(block.start.min())
    seen = np.zeros(int(block.stop.max()) - first, np.bool_)
    for start, stop, step in bounds[fresh].reshape(-1, 3):
        seen[start - first : stop - first : step] = True
    return np.flatnonzero(seen) + first
