"""Plans of patterns on a grid of tokens: a block of queries is a tile of a few grid rows by a few grid columns.

On a grid, the spans of every query begin the same distance apart: one grid row. A block of consecutive queries, as in
`plan`, would need the keys of whole grid rows. A tile needs only keys within the window's reach of it. Tiles below each
other form a strip: the keys of each begin a few grid rows after those of the tile above, so that a strip's keys are
gathered once (`rows`). Other patterns are planned by `plan`.
"""

from collections.abc import Iterator

import numpy as np

from attnbench.variants._pattern import BoolArray, IntArray, Spans
from attnbench.variants.kernels.blockwise.plan import Group
from attnbench.variants.kernels.blockwise.plan import plan as plan_rows

_ROWS, _COLUMNS = 4, 8
"""Queries of a tile, down and across the grid."""
_LEAST = 1 / 2
"""The smallest share of queries with several spans for which a pattern is taken to lie on a grid."""


def plan(spans: Spans) -> list[Group]:
    """Return groups that cover every query that sees a key exactly once."""
    found = width(spans)
    return plan_rows(spans) if found is None else _groups(spans, found)


def width(spans: Spans) -> int | None:
    """Return the distance between the starts of a query's spans if it is the same everywhere, else None.

    Spans longer than that distance give None too.
    """
    held = spans.stop > spans.start
    if not held.any(axis=1).all():
        return None  # On a grid every query sees at least itself, so this is only a part of a pattern.
    together = held[:, 1:] & held[:, :-1]
    several = held.sum(axis=1) > 1
    if several.mean() < _LEAST or (together.sum(axis=1) < held.sum(axis=1) - 1).any():
        return None  # Few queries have several spans, or they have gaps: an equal distance is a coincidence.
    apart = np.unique(np.diff(spans.start, axis=1)[together])
    longest = int((spans.stop - spans.start).max())
    return int(apart[0]) if len(apart) == 1 and apart[0] > 1 and apart[0] >= longest else None


def _groups(spans: Spans, width: int) -> list[Group]:
    """Return the groups on a grid of `width` columns: each holds the equal tiles of one strip, from top to bottom."""
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
    """Yield each tile as the number of its strip and its queries."""
    steps = np.unique(spans.step[spans.stop > spans.start])
    step = int(steps[0]) if len(steps) == 1 else 1
    # With a dilated window, only columns of one residue class share keys, so a strip holds one class.
    classes = [np.arange(residue, width, step) for residue in range(min(step, width))]
    strips = [strip for columns in classes for strip in np.array_split(columns, -(-len(columns) // _COLUMNS))]
    for number, strip in enumerate(strips):
        for top in range(0, spans.n, _ROWS * width):
            rows = (top + np.arange(_ROWS)[:, None] * width + strip).reshape(-1)
            if rows[0] < spans.n:
                yield number, rows[rows < spans.n]


def _relative(rows: IntArray, block: Spans) -> bytes:
    """Return a tile and its spans relative to its first query: tiles with equal bytes are shifted copies."""
    held = block.stop > block.start
    start, stop = (np.where(held, each - rows[0], 0) for each in (block.start, block.stop))
    return b"".join(each.tobytes() for each in (rows - rows[0], start, stop, block.step))


def _tile(block: Spans) -> tuple[IntArray, BoolArray]:
    """Return the sorted keys of a tile, and its mask, which has no columns if every query sees all the keys."""
    held = block.stop > block.start
    ends = zip(block.start[held], block.stop[held], block.step[held], strict=True)
    keys = np.unique(np.concatenate([np.arange(*each) for each in ends]))
    mask = block.allowed(np.arange(block.n)[:, None], keys[None, :])
    return keys, mask[:, :0] if mask.all() else mask
