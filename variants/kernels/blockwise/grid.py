"""Which scores `blockwise` computes where tokens lie on a grid: blocks are tiles of some rows by some columns of it.

The spans of a query then lie one above the other, everywhere the same distance apart: a row of the grid. A block
of consecutive queries, as in `plan`, would be a row's length wide, and its keys whole rows. The keys of a tile
are wider than it by the reach of the window alone; down a strip of tiles each begins some rows of keys after the
one above, so that a strip's keys are gathered once (`rows`). Everything else is planned as ever.
"""

from collections.abc import Iterator

import numpy as np

from attnbench.variants._pattern import BoolArray, IntArray, Spans
from attnbench.variants.kernels.blockwise.plan import Group
from attnbench.variants.kernels.blockwise.plan import plan as plan_rows

_ROWS, _COLUMNS = 4, 8
"""Queries of a tile, down and across."""
_LEAST = 1 / 2
"""The share of queries that must have spans above each other."""


def plan(spans: Spans) -> list[Group]:
    """The groups that cover every query of a pattern exactly once."""
    width = _width(spans)
    return plan_rows(spans) if width is None else _groups(spans, width)


def _width(spans: Spans) -> int | None:
    """How far apart the spans of a query begin, if that is the same everywhere and they fit between; else nothing."""
    held = spans.stop > spans.start
    if not held.any(axis=1).all():
        return None  # a part of a pattern: on a grid every query sees itself
    together = held[:, 1:] & held[:, :-1]
    several = held.sum(axis=1) > 1
    if several.mean() < _LEAST or (together.sum(axis=1) < held.sum(axis=1) - 1).any():
        return None  # a few queries whose spans happen to lie so
    apart = np.unique(np.diff(spans.start, axis=1)[together])
    longest = int((spans.stop - spans.start).max())
    return int(apart[0]) if len(apart) == 1 and apart[0] > 1 and apart[0] >= longest else None


def _groups(spans: Spans, width: int) -> list[Group]:
    """The groups on a grid of `width` columns: the tiles of a strip that look alike, from top to bottom."""
    tiles: dict[bytes, tuple[IntArray, BoolArray]] = {}
    members: dict[tuple[int, int, int, bytes], list[tuple[IntArray, IntArray, BoolArray]]] = {}
    for strip, rows in _tiles(spans, width):
        block = Spans(spans.start[rows], spans.stop[rows], spans.step[rows])
        identity = _relative(rows, block)
        if identity not in tiles:
            keys, mask = _tile(block)
            tiles[identity] = keys - rows[0], mask
        keys, mask = tiles[identity]
        alike = strip, len(rows), len(keys), mask.tobytes()
        members.setdefault(alike, []).append((rows, keys + rows[0], mask))
    return [
        Group(np.stack([rows for rows, _, _ in blocks]), np.stack([keys for _, keys, _ in blocks]), blocks[0][2])
        for blocks in members.values()
    ]


def _tiles(spans: Spans, width: int) -> Iterator[tuple[int, IntArray]]:
    """The queries of each tile with the number of its strip. Of a dilated window a strip holds one residue class."""
    steps = np.unique(spans.step[spans.stop > spans.start])
    step = int(steps[0]) if len(steps) == 1 else 1
    classes = [np.arange(residue, width, step) for residue in range(min(step, width))]
    strips = [strip for columns in classes for strip in np.array_split(columns, -(-len(columns) // _COLUMNS))]
    for number, strip in enumerate(strips):
        for top in range(0, spans.n, _ROWS * width):
            rows = (top + np.arange(_ROWS)[:, None] * width + strip).reshape(-1)
            if rows[0] < spans.n:
                yield number, rows[rows < spans.n]


def _relative(rows: IntArray, block: Spans) -> bytes:
    """A tile and its spans seen from its first query: tiles of equal bytes are shifted copies."""
    held = block.stop > block.start
    start, stop = (np.where(held, each - rows[0], 0) for each in (block.start, block.stop))
    return b"".join(each.tobytes() for each in (rows - rows[0], start, stop, block.step))


def _tile(block: Spans) -> tuple[IntArray, BoolArray]:
    """The sorted keys of a tile, and its mask; an empty one where every query sees all of them."""
    held = block.stop > block.start
    ends = zip(block.start[held], block.stop[held], block.step[held], strict=True)
    keys = np.unique(np.concatenate([np.arange(*each) for each in ends]))
    mask = block.allowed(np.arange(block.n)[:, None], keys[None, :])
    return keys, mask[:, :0] if mask.all() else mask
