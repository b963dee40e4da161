"""Plans of what `native` computes: tiles of 16, 32 or 64 queries, each with runs of the keys that it needs.

Keys are put in an order in which the keys of each query are runs of neighbours: the sequence itself for step 1, else
one residue class modulo the step after another. A place in this order is a position. 64 positions are a block; a block
never holds two classes. A run begins and ends at multiples of 8 positions, where there are keys, so that few sizes of
products occur. A run in which some query does not see some key has a mask of 64 bits for each key.

Queries are ordered like keys if each sees only keys of its own class, so that a dilated window is as dense as one that
is not. A pattern with several steps takes one pass for each step, and the results are merged. Queries that see all keys
are tiles of their own, in a pass of their own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from attnbench.variants._pattern import BoolArray, IntArray, Spans
from attnbench.variants.kernels.blockwise import grid
from attnbench.variants.kernels.blockwise.parts import by_step

Bits = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]

BLOCK = 64
"""Keys in a block, and the most queries in a tile."""
CHUNK = 512
"""Keys whose scores are held at a time."""
_UNIT = 8
"""Positions at whose multiples a run begins and ends."""
_LANES = 16
"""Queries that are computed together."""
_SIDE = 8
"""Columns of a tile of queries on a grid."""
_SHORT = 2048
"""The longest sequence for which one pass over all steps together is tried."""
_COST_OF_TILE = 500
"""Pairs that take as long as what a tile costs besides its pairs."""


@dataclass(frozen=True)
class Pass:
    """Tiles of queries, and runs of positions for each tile.

    `rows` are the queries of all tiles, one tile after another; `tile_rows` `[T + 1]` and `tile_runs` `[T + 1]` say
    where those of each tile begin, and `tile_cost` `[T + 1]` how many pairs the tiles before it compute. `run_start`
    and `run_stop` are positions, `run_mask` says where a run's masks begin in `masks`, -1 without masks. `blocks`
    `[4, B]` are the first key of each block, the step, the number of keys, and its slot: a place for packed copies
    that blocks take in turns. `merges` says whether earlier passes have results for these queries.
    """

    rows: IntArray
    tile_rows: IntArray
    tile_runs: IntArray
    tile_cost: IntArray
    run_start: IntArray
    run_stop: IntArray
    run_mask: IntArray
    masks: Bits
    blocks: IntArray
    merges: bool

    @property
    def slots(self) -> int:
        """Number of slots."""
        return int(self.blocks[3].max()) + 1

    @property
    def pairs(self) -> int:
        """Number of scores that the pass computes for one head."""
        return int(self.tile_cost[-1])


def plan(spans: Spans) -> list[Pass]:
    """Return passes that together cover each allowed pair once."""
    parts = by_step(spans)
    passes = _passes(parts)
    if len(parts) == 1 or spans.n > _SHORT:
        return passes
    # The classes of a step are so short here that a pass of many nearly empty tiles may take longer than all pairs.
    return min(passes, _passes([Spans.where(spans.n, spans.allowed)]), key=_cost)


def _cost(passes: list[Pass]) -> int:
    """Return the time of passes for one head, in pairs."""
    return sum(each.pairs + _COST_OF_TILE * (len(each.tile_rows) - 1) for each in passes)


def _passes(parts: list[Spans]) -> list[Pass]:
    """Return the passes of parts that each have one step."""
    passes: list[Pass] = []
    seen = np.zeros(parts[0].n, np.bool_)
    for part in parts:
        dense = part.counts() == part.n
        for chosen in (dense, ~dense & (part.counts() > 0)):
            if chosen.any():
                passes.append(_pass(part, chosen, merges=bool((seen & chosen).any())))
                seen |= chosen
    return passes


def _pass(spans: Spans, chosen: BoolArray, merges: bool) -> Pass:
    """Plan the chosen queries of spans that all have the same step."""
    step = int(spans.step[spans.stop > spans.start][0])
    blocks, places = _blocks(spans, step)
    start, stop = _positions(spans, step, places)
    tiles, runs, masks = [], [], _Masks()
    for rows in _tiles(spans, chosen, step):
        found = list(_runs(start[rows], stop[rows], blocks[2], masks))
        tiles.append((rows, len(found), sum(_keys(blocks[2], first, last) for first, last, _ in found)))
        runs += found
    counts = np.array([(len(rows), many, _lanes(len(rows)) * keys) for rows, many, keys in tiles])
    edges = np.concatenate([np.zeros((1, 3), np.int64), np.cumsum(counts, axis=0)])
    run_start, run_stop, run_mask = np.array(runs).T
    blocks[3] = _slots(edges[:, 1], run_start // BLOCK, (run_stop - 1) // BLOCK, blocks.shape[1])
    rows = np.concatenate([rows for rows, _, _ in tiles])
    return Pass(rows, edges[:, 0], edges[:, 1], edges[:, 2], run_start, run_stop, run_mask, masks.all(), blocks, merges)


def _keys(counts: IntArray, first: int, last: int) -> int:
    """Return the number of keys at the positions from `first` to `last`."""
    inner = int(counts[first // BLOCK : (last - 1) // BLOCK].sum())
    return inner + last - (last - 1) // BLOCK * BLOCK - first % BLOCK


def _lanes(rows: int) -> int:
    """Return the queries that a tile of some rows computes."""
    return -(-rows // _LANES) * _LANES


def _blocks(spans: Spans, step: int) -> tuple[IntArray, IntArray]:
    """Return the blocks of all keys that some query sees, and the first position of each residue, -1 without one."""
    residues = np.unique(spans.start[spans.stop > spans.start] % step)
    places = np.full(step, -1)
    blocks, position = [], 0
    for residue in residues.tolist():
        places[residue] = position
        count = -(-(spans.n - residue) // step)
        firsts = np.arange(0, count, BLOCK)
        position += len(firsts) * BLOCK
        blocks.append(
            [residue + firsts * step, np.full_like(firsts, step), np.minimum(count - firsts, BLOCK), 0 * firsts]
        )
    return np.concatenate(blocks, axis=1), places


def _positions(spans: Spans, step: int, places: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first position of each span and the position after its last; both are 0 for an empty span."""
    held = spans.stop > spans.start
    start = np.where(held, places[spans.start % step] + spans.start // step, 0)
    return start, np.where(held, start + spans.lengths(), 0)


def _tiles(spans: Spans, chosen: BoolArray, step: int) -> Iterator[IntArray]:
    """Yield the queries of each tile."""
    height = _height(spans, chosen)
    width = grid.width(spans) if step == 1 and chosen.all() else None
    if width is not None:
        yield from _on_grid(spans.n, width, height)
        return
    held = spans.stop > spans.start
    own = step > 1 and not ((spans.start - np.arange(spans.n)[:, None]) % step)[held].any()
    unit = 1 if own else _unit(spans)
    for first in range(step if own else 1):
        rows = np.arange(first, spans.n, step if own else 1)
        # Tiles end where the pattern's own blocks do, and where queries are left out.
        edges = np.flatnonzero(np.diff(chosen[rows].astype(np.int8))) + 1
        ends = np.union1d(edges, np.arange(0, len(rows), unit if unit > height else height // unit * unit))
        for piece in np.split(rows, ends[ends > 0]):
            if len(piece) and chosen[piece[0]]:
                yield from np.split(piece, range(height, len(piece), height))


def _on_grid(n: int, width: int, height: int) -> Iterator[IntArray]:
    """Yield the queries of each tile of n tokens on a grid, with at most 8 columns."""
    down = height // _SIDE
    for top in range(0, n, down * width):
        for left in range(0, width, _SIDE):
            columns = np.arange(left, min(left + _SIDE, width))
            rows = (top + np.arange(down)[:, None] * width + columns).ravel()
            if rows[0] < n:  # the last row of the grid may end before these columns
                yield rows[rows < n]


def _height(spans: Spans, chosen: BoolArray) -> int:
    """Return the queries of a tile: 16, 32 or 64, at most a third of the keys that a query sees, and usually less.

    A tile of a band computes as many keys more than a query sees as it has queries; a low tile makes many small calls.
    """
    keys = float(spans.counts()[chosen].mean())
    return 16 if keys < 96 else 32 if keys < 384 else BLOCK


def _unit(spans: Spans) -> int:
    """Return the size of the pattern's own blocks of queries, 1 if it has none of at least 16."""
    bounds = np.concatenate([spans.start, spans.stop], axis=1)
    changes = np.flatnonzero((bounds[1:] != bounds[:-1]).any(axis=1)) + 1
    unit = math.gcd(*changes.tolist())
    return unit if _LANES <= unit < spans.n else 1


class _Masks:
    """Distinct masks, one after another."""

    def __init__(self) -> None:
        self._bits: list[Bits] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def place(self, seen: BoolArray) -> int:
        """Return where the masks `[keys, 64]` of a run begin, after adding them if they are new."""
        bits: Bits = np.packbits(seen, axis=1, bitorder="little").view("<u8").ravel()
        place = self._places.setdefault(bits.tobytes(), self._size)
        if place == self._size:
            self._bits.append(bits)
            self._size += len(bits)
        return place

    def all(self) -> Bits:
        """Return all masks."""
        return np.concatenate([*self._bits, np.zeros(0, np.uint64)])


def _runs(start: IntArray, stop: IntArray, counts: IntArray, masks: _Masks) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of a tile, whose queries see the positions from `start` to `stop` `[rows, S]`."""
    # Neighbours with equal spans are looked at once, and each run only beside the spans that reach into it.
    differs = np.concatenate([[True], ((start[1:] != start[:-1]) | (stop[1:] != stop[:-1])).any(axis=1)])
    copies = np.diff(np.append(np.flatnonzero(differs), len(start)))
    all_start, all_stop = start[differs], stop[differs]
    held = all_stop > all_start
    for first, last in _union(all_start[held], all_stop[held], counts):
        near = ((all_start < last) & (all_stop > first)).any(axis=0)
        start, stop = all_start[:, near], all_stop[:, near]
        # Cut at blocks; neighbours without a mask are put together again.
        edges = np.unique([first, last, *range(-(-first // BLOCK) * BLOCK, last, BLOCK)])
        begins, ends = edges[:-1], edges[1:]
        ends_of_keys = begins // BLOCK * BLOCK + counts[begins // BLOCK]
        covers = (start[:, :, None] <= begins) & (stop[:, :, None] >= np.minimum(ends, ends_of_keys))
        full = covers.any(axis=1).all(axis=0)
        open_run: tuple[int, int] | None = None
        for begin, end, is_full in zip(begins.tolist(), ends.tolist(), full.tolist(), strict=True):
            if is_full:
                open_run = (open_run[0] if open_run else begin, end)
                continue
            if open_run:
                yield *open_run, -1
                open_run = None
            yield begin, end, masks.place(_seen(start, stop, copies, begin, end))
        if open_run:
            yield *open_run, -1


def _union(start: IntArray, stop: IntArray, counts: IntArray) -> Iterator[tuple[int, int]]:
    """Yield the runs of positions that any query sees, widened to multiples of 8 where there are keys."""
    order = np.argsort(start)
    start, reached = start[order] // _UNIT * _UNIT, np.maximum.accumulate(-(-stop[order] // _UNIT) * _UNIT)
    opens = np.concatenate([[True], start[1:] > reached[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    for first, last in zip(start[opens].tolist(), reached[closes].tolist(), strict=True):
        block = (last - 1) // BLOCK
        yield first, min(last, int(block * BLOCK + counts[block]))


def _seen(start: IntArray, stop: IntArray, copies: IntArray, first: int, last: int) -> BoolArray:
    """Return which queries of a tile see the positions from `first` to `last`, `[positions, 64]`.

    `copies` is the number of queries that each row of `start` and `stop` stands for.
    """
    keys = np.arange(first, last)[:, None, None]
    seen = np.zeros((last - first, BLOCK), np.bool_)
    seen[:, : copies.sum()] = np.repeat(((start <= keys) & (keys < stop)).any(axis=2), copies, axis=1)
    return seen


def _slots(tile_runs: IntArray, first: IntArray, last: IntArray, blocks: int) -> IntArray:
    """Return a slot for each block, so that blocks which some tile needs together, or which wait for it, differ.

    `first` and `last` are the blocks of each run.
    """
    tiles = len(tile_runs) - 1
    begins, ends, visits = np.full(blocks, tiles), np.full(blocks, -1), 0
    for tile in range(tiles):
        for run in range(tile_runs[tile], tile_runs[tile + 1]):
            held = slice(first[run], last[run] + 1)
            begins[held] = np.minimum(begins[held], tile)
            ends[held] = tile
            visits += int(last[run] + 1 - first[run])
    if visits <= 2 * blocks and tiles <= 2:
        # Copies that are hardly used again are not worth keeping.
        return np.arange(blocks) % (CHUNK // BLOCK + 2)
    slots = np.zeros(blocks, np.int64)
    free: list[int] = []
    taken: list[tuple[int, int]] = []
    for block in np.argsort(begins, kind="stable").tolist():
        if ends[block] < 0:
            continue
        while taken and taken[0][0] < begins[block]:
            heappush(free, heappop(taken)[1])
        slot = heappop(free) if free else len(taken)
        slots[block] = slot
        heappush(taken, (int(ends[block]), slot))
    return slots
