"""Patterns: the keys that each query may see, held as spans."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from attnbench.variants._parameters import Parameters

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_BATCH = 2**22
"""Members of runs that a layout expands at once, which takes a few hundred megabytes."""
MOST_SPANS = 2**21
"""Most spans, with empty ones, that are made from pairs: enough for any pattern up to N = 2048."""
_ASKED_AT_ONCE = 2**20
"""Pairs that are evaluated at once; the int64 arrays used for it take eight times as much as the booleans, or more."""


class TooManySpans(ValueError):
    """A query's keys lie in too many separate runs to hold each as a span."""


@dataclass(frozen=True)
class Spans:
    """The keys of every query, as a few disjoint arithmetic progressions.

    Query i sees key j when, for one of the S spans of row i,
    `start[i, s] <= j < stop[i, s]` and `(j - start[i, s]) % step[i, s] == 0`.
    The three arrays are int64 `[N, S]`; an empty span has `start == stop`.
    """

    start: IntArray
    stop: IntArray
    step: IntArray

    @classmethod
    def of(cls, n: int, *spans: tuple[npt.ArrayLike, npt.ArrayLike] | tuple[npt.ArrayLike, npt.ArrayLike, int]) -> Self:
        """Return spans of length n from `(start, stop)` or `(start, stop, step)`, each a scalar or an array `[N]`.

        Bounds outside `0 .. n` are cut off without moving the progression. The spans of a row must be disjoint,
        because `counts` adds their lengths.
        """
        starts, stops, steps = [], [], []
        for span in spans:
            step = span[2] if len(span) == 3 else 1
            start = np.broadcast_to(np.asarray(span[0], np.int64), (n,))
            stop = np.broadcast_to(np.asarray(span[1], np.int64), (n,))
            # Move a negative start to the first member of the progression that is not negative.
            start = np.where(start < 0, start + -(start // step) * step, start)
            stop = np.minimum(stop, n)
            empty = stop <= start
            starts.append(np.where(empty, 0, start))
            stops.append(np.where(empty, 0, stop))
            steps.append(np.full(n, step, np.int64))
        return cls(np.stack(starts, 1), np.stack(stops, 1), np.stack(steps, 1))

    @classmethod
    def across(cls, n: int, keys: int) -> Self:
        """Return the spans of n queries that each see all keys of another sequence."""
        start, stop, step = (np.full((n, 1), each, np.int64) for each in (0, keys, 1))
        return cls(start, stop, step)

    @classmethod
    def where(cls, n: int, allowed: Callable[[IntArray, IntArray], BoolArray]) -> Self:
        """Return spans of length n from the elementwise `allowed(i, j)`: one for every run of adjacent keys in a row.

        Evaluates all N^2 pairs, about a million at a time, so that only the spans take memory.

        Raises:
            TypeError: `allowed` does not return an array of bool of the shape of i and j.
            TooManySpans: there would be more than `MOST_SPANS` spans.
        """
        height = max(1, _ASKED_AT_ONCE // n)
        found, most = [], 1
        for first in range(0, n, height):
            i, j = np.arange(first, min(first + height, n))[:, None], np.arange(n)[None, :]
            row, start, stop = _runs(_booleans(allowed(i, j), (len(i), n)))
            pieces = np.bincount(row, minlength=1)
            most = max(most, int(pieces.max()))
            if most * n > MOST_SPANS:
                raise TooManySpans(
                    f"query {first + int(pieces.argmax())} at N={n} sees {most} separate runs of keys; "
                    f"from allowed(i, j, n) alone at most {MOST_SPANS // n} can be held; give the pattern spans(n)"
                )
            found.append((row + first, start, stop))
        return cls._of_runs(n, *(np.concatenate(each) for each in zip(*found, strict=True)))

    @classmethod
    def of_pairs(cls, n: int, i: IntArray, j: IntArray) -> Self:
        """Return spans of length n from pairs of query and key in any order: one for every run of adjacent keys.

        Raises:
            TooManySpans: there would be more than `MOST_SPANS` spans.
        """
        pairs = _distinct(i * n + j)
        row, key = np.divmod(pairs, n)
        begins = np.ones(len(pairs), np.bool_)
        begins[1:] = (pairs[1:] != pairs[:-1] + 1) | (key[1:] == 0)
        pieces = np.bincount(row[begins], minlength=n)
        if int(pieces.max()) * n > MOST_SPANS:
            raise TooManySpans(
                f"query {int(pieces.argmax())} at N={n} sees {int(pieces.max())} separate runs of keys; "
                f"at most {MOST_SPANS // n} can be held"
            )
        return cls._of_runs(n, row[begins], key[begins], key[np.append(begins[1:], True)] + 1)

    @classmethod
    def _of_runs(cls, n: int, row: IntArray, start: IntArray, stop: IntArray) -> Self:
        """Return spans from runs of keys, sorted by row."""
        pieces = np.bincount(row, minlength=n)
        place = row, _expand(np.zeros_like(pieces), pieces, np.ones_like(row))
        bounds = np.zeros((2, n, int(pieces.max(initial=1))), np.int64)
        bounds[0][place], bounds[1][place] = start, stop
        return cls(bounds[0], bounds[1], np.ones_like(bounds[0]))

    @property
    def n(self) -> int:
        """The sequence length N."""
        return int(self.start.shape[0])

    def lengths(self) -> IntArray:
        """Return the number of keys in each span, `[N, S]`."""
        # The double negation rounds up: a progression that ends within a step still has that step's first key.
        return -((self.start - self.stop) // self.step)

    def counts(self) -> IntArray:
        """Return the number of keys that each query sees, `[N]`."""
        return np.asarray(self.lengths().sum(axis=1))

    def pairs(self) -> int:
        """Return the number of allowed (query, key) pairs of one head."""
        return int(self.counts().sum())

    def allowed(self, i: npt.ArrayLike, j: npt.ArrayLike) -> BoolArray:
        """Check whether query i may see key j, elementwise over the broadcast of i and j."""
        i, j = np.asarray(i), np.asarray(j)
        seen = np.zeros(np.broadcast_shapes(i.shape, j.shape), np.bool_)
        for s in range(self.start.shape[1]):
            start, stop, step = self.start[i, s], self.stop[i, s], self.step[i, s]
            inside = (start <= j) & (j < stop)
            if (self.step[:, s] != 1).any():
                inside &= (j - start) % step == 0
            seen |= inside
        return seen

    def members(self) -> tuple[IntArray, IntArray]:
        """Return the query and the key of every allowed pair, query by query."""
        length = self.lengths().ravel()
        i = np.repeat(np.arange(self.n), self.counts())
        return i, _expand(self.start.ravel(), length, np.repeat(self.step.ravel(), length))

    def mask(self) -> BoolArray:
        """Return the whole pattern as a boolean matrix `[N, N]` of queries by keys, which takes a byte per pair."""
        seen, height = np.empty((self.n, self.n), np.bool_), max(1, _ASKED_AT_ONCE // self.n)
        for first in range(0, self.n, height):
            i = np.arange(first, min(first + height, self.n))
            seen[i] = self.allowed(i[:, None], np.arange(self.n)[None, :])
        return seen

    def causal(self) -> Self:
        """Return the same spans without the keys after the query."""
        stop = np.maximum(np.minimum(self.stop, np.arange(1, self.n + 1)[:, None]), self.start)
        return type(self)(self.start, stop, self.step)

    def within(self, length: int) -> Self:
        """Return the same spans without the queries and keys from `length` on. Some queries may then see no key."""
        stop = np.minimum(self.stop, length)
        gone = (stop <= self.start) | (np.arange(self.n) >= length)[:, None]
        return type(self)(np.where(gone, 0, self.start), np.where(gone, 0, stop), self.step)

    def cut(self, length: int) -> Self:
        """Return the spans of the first `length` queries, without the keys after these."""
        found = self.within(length)
        return type(self)(found.start[:length], found.stop[:length], found.step[:length])

    def pairs_of(self, lengths: Iterable[int]) -> int:
        """Return the number of allowed pairs of one head in all sequences of these lengths."""
        return sum(self.cut(length).pairs() * many for length, many in Counter(lengths).items())

    def last(self) -> Self:
        """Return the spans of the last query alone."""
        return type(self)(self.start[-1:], self.stop[-1:], self.step[-1:])

    def layout(self, height: int, width: int) -> tuple[IntArray, IntArray]:
        """Return the tiles of `height` queries by `width` keys that hold at least one allowed pair.

        The result is the tiles' row and column numbers, sorted by row, then column. Takes time linear in N S plus the
        tiles that each row meets, never N^2.
        """
        rows = np.broadcast_to(np.arange(self.n)[:, None] // height, self.start.shape)
        last = self.start + (self.lengths() - 1) * self.step
        # A span that meets tiles at equal distances is followed tile by tile, any other key by key.
        even = (self.step <= width) | (self.step % width == 0)
        unit = np.where(even, 1, width)
        runs = np.stack(
            [
                rows,
                np.where(even, self.start // width, self.start),
                np.where(even, last // width, last),
                np.where(even, np.maximum(self.step // width, 1), self.step),
                unit,
            ]
        )
        # A span that meets the same tiles as the one of the query before it adds nothing.
        fresh = self.stop > self.start
        fresh[1:] &= (runs[:, 1:] != runs[:, :-1]).any(axis=0) | ~fresh[:-1]
        columns = -(-self.n // width)
        tiles = _distinct(np.concatenate([_tiles(each, columns) for each in _batches(runs[:, fresh])]))
        return tiles // columns, tiles % columns


def _batches(runs: IntArray) -> Iterator[IntArray]:
    """Yield runs `row, first, last, step, unit` in batches with a bounded number of members."""
    members = np.cumsum((runs[2] - runs[1]) // runs[3] + 1)
    cuts = np.searchsorted(members, np.arange(_BATCH, members.max(initial=0), _BATCH))
    yield from np.split(runs, np.unique(cuts), axis=1)


def _tiles(runs: IntArray, columns: int) -> IntArray:
    """Return the sorted numbers `row * columns + column` of the tiles that some runs meet."""
    row, first, last, step, unit = runs
    length = (last - first) // step + 1
    members = _expand(first, length, np.repeat(step, length)) // np.repeat(unit, length)
    return _distinct(np.repeat(row * columns, length) + members)


def _distinct(numbers: IntArray) -> IntArray:
    """Return the distinct numbers, sorted; several times as fast as NumPy's `unique`, which hashes them."""
    ordered: IntArray = np.sort(numbers)
    fresh = np.ones(len(ordered), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


def _expand(start: IntArray, length: IntArray, step: IntArray) -> IntArray:
    """Return the progressions `start, start + step, ...` of each given length, one after another."""
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.asarray(np.repeat(start, length) + within * step, np.int64)


def _runs(seen: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return row, start and stop of every run of set cells of `seen`, row by row."""
    edges = np.diff(seen.astype(np.int8), axis=1, prepend=0, append=0)
    row, start = np.nonzero(edges == 1)
    return row, start, np.nonzero(edges == -1)[1]


def _booleans(found: object, shape: tuple[int, int]) -> BoolArray:
    """Check what a pattern's `allowed` returned, and broadcast it to the whole shape."""
    array = np.asarray(found)
    if array.dtype != np.bool_ or array.shape not in (shape, (1, shape[1]), (shape[0], 1), ()):
        raise TypeError(
            f"allowed(i, j, n): expected an array of bool {list(shape)}, found {array.dtype} {list(array.shape)}; "
            "compare and combine i and j elementwise: (i >= j) & (i - j < 9)"
        )
    return np.broadcast_to(array, shape)


@dataclass(frozen=True)
class Pattern(Parameters):
    """Parameters of a variant that is defined by the keys that each query may see.

    A variant subclasses it as a frozen dataclass whose fields are made with `parameter`, and defines either `spans(n)`
    or `allowed(i, j, n)`. `allowed` alone is shorter to write, but takes N^2 work before the first call at a length.

    Raises:
        ValueError: a parameter is not of its type or outside its range.
    """

    def spans(self, n: int) -> Spans:
        """Return the keys that each of n queries may see; every row holds at least one key.

        A sequence of a padded batch that is shorter than n takes these spans without queries and keys past its end.
        """
        if type(self).allowed is Pattern.allowed:
            raise NotImplementedError(f"{type(self).__name__}: expected spans(n) or allowed(i, j, n), found neither")
        return _asked(self, n)

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        """Check whether query i may see key j at length n, elementwise over the broadcast of i and j."""
        return self.spans(n).allowed(i, j)


def forget() -> None:
    """Forget the spans of patterns that define only `allowed`, so that a timed preparation computes them again."""
    _asked.cache_clear()


@lru_cache(maxsize=4)
def _asked(pattern: Pattern, n: int) -> Spans:
    """Compute the spans of a pattern that defines only `allowed`; cached because a case needs them several times."""
    return Spans.where(n, lambda i, j: pattern.allowed(i, j, n))
