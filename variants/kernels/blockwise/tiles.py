"""The tiles of the score matrix that a pattern needs, and the number of allowed pairs in each."""

import itertools
from dataclasses import dataclass

import numpy as np

from attnbench.variants._pattern import IntArray, Spans


@dataclass(frozen=True)
class Tiles:
    """Tiles of `side` queries by `side` keys that hold an allowed pair, sorted by row, then column.

    `rows` and `columns` number the tiles, and `pairs` counts the allowed pairs in each; all three are int64 `[T]`.
    """

    n: int
    side: int
    rows: IntArray
    columns: IntArray
    pairs: IntArray

    def areas(self) -> IntArray:
        """Return the number of pairs in each tile, allowed or not; the last row and column may have fewer."""
        height, width = (np.minimum(self.side, self.n - each * self.side) for each in (self.rows, self.columns))
        return np.asarray(height * width)


def tiles(spans: Spans, side: int) -> Tiles:
    """Return the tiles of a pattern, in time linear in N S plus `side` S times the number of tiles."""
    rows, columns = spans.layout(side, side)
    pairs = np.empty_like(rows)
    ends = np.searchsorted(rows, np.arange(-(-spans.n // side) + 1))
    for row, (begin, end) in enumerate(itertools.pairwise(ends.tolist())):
        first = columns[begin:end] * side
        queries = slice(row * side, (row + 1) * side)
        pairs[begin:end] = _before(spans, queries, first + side) - _before(spans, queries, first)
    return Tiles(spans.n, side, rows, columns, pairs)


def _before(spans: Spans, queries: slice, keys: IntArray) -> IntArray:
    """Count the allowed pairs of some queries with the keys before each of `keys`."""
    # The double negation rounds the quotient up: a span whose stop lies within a step still has that step's key.
    start, stop, step = (each[queries, :, None] for each in (spans.start, spans.stop, spans.step))
    return np.asarray(-((start - np.clip(keys, start, stop)) // step).sum(axis=(0, 1)))
