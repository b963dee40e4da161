"""Which keys each query may see: a pattern, and the spans it is made of."""

import types
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, Self, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spans:
    """For every query, a few disjoint arithmetic progressions of keys.

    Query i sees key j when, for one of the S spans of row i,
    `start[i, s] <= j < stop[i, s]` and `(j - start[i, s]) % step[i, s] == 0`.
    The three arrays are int64 `[N, S]`; an empty span has `start == stop`.
    """

    start: IntArray
    stop: IntArray
    step: IntArray

    @classmethod
    def of(cls, n: int, *spans: tuple[npt.ArrayLike, npt.ArrayLike] | tuple[npt.ArrayLike, npt.ArrayLike, int]) -> Self:
        """Spans of length n from `(start, stop)` or `(start, stop, step)`, each a scalar or an array `[N]`.

        Bounds outside `0 .. n` are cut off without moving the progression. The spans of a row must be
        disjoint: the counts are sums of lengths.
        """
        starts, stops, steps = [], [], []
        for span in spans:
            step = span[2] if len(span) == 3 else 1
            start = np.broadcast_to(np.asarray(span[0], np.int64), (n,))
            stop = np.broadcast_to(np.asarray(span[1], np.int64), (n,))
            start = np.where(start < 0, start + -(start // step) * step, start)
            stop = np.minimum(stop, n)
            empty = stop <= start
            starts.append(np.where(empty, 0, start))
            stops.append(np.where(empty, 0, stop))
            steps.append(np.full(n, step, np.int64))
        return cls(np.stack(starts, 1), np.stack(stops, 1), np.stack(steps, 1))

    @property
    def n(self) -> int:
        """The sequence length N."""
        return int(self.start.shape[0])

    def lengths(self) -> IntArray:
        """Keys in each span, `[N, S]`."""
        return -((self.start - self.stop) // self.step)

    def counts(self) -> IntArray:
        """Keys that each query sees, `[N]`."""
        return np.asarray(self.lengths().sum(axis=1))

    def pairs(self) -> int:
        """Allowed (query, key) pairs of one head."""
        return int(self.counts().sum())

    def allowed(self, i: npt.ArrayLike, j: npt.ArrayLike) -> BoolArray:
        """Whether query i may see key j, elementwise over the broadcast of i and j."""
        i, j = np.asarray(i), np.asarray(j)
        seen = np.zeros(np.broadcast_shapes(i.shape, j.shape), np.bool_)
        for s in range(self.start.shape[1]):
            start, stop, step = self.start[i, s], self.stop[i, s], self.step[i, s]
            inside = (start <= j) & (j < stop)
            if (self.step[:, s] != 1).any():
                inside &= (j - start) % step == 0
            seen |= inside
        return seen

    def mask(self) -> BoolArray:
        """The whole pattern as a boolean matrix `[N, N]`, rows are queries. Quadratic: for small N."""
        return self.allowed(np.arange(self.n)[:, None], np.arange(self.n)[None, :])

    def causal(self) -> Self:
        """The same spans without the keys after the query."""
        stop = np.maximum(np.minimum(self.stop, np.arange(1, self.n + 1)[:, None]), self.start)
        return type(self)(self.start, stop, self.step)

    def layout(self, height: int, width: int) -> tuple[IntArray, IntArray]:
        """The tiles of `height` queries by `width` keys that hold at least one allowed pair.

        Returns the tiles' row and column numbers, sorted by row, then column. Takes time linear in
        N S plus the tiles met row by row, never N^2.
        """
        rows = np.broadcast_to(np.arange(self.n)[:, None] // height, self.start.shape)
        held = self.stop > self.start
        last = self.start + (self.lengths() - 1) * self.step
        near = held & (self.step <= width)
        far = held & (self.step > width)
        columns = -(-self.n // width)
        first_tile, last_tile = self.start[near] // width, last[near] // width
        runs = np.unique(np.stack([rows[near], first_tile, last_tile], 1), axis=0)
        ids = [_expand(runs[:, 0] * columns + runs[:, 1], runs[:, 2] - runs[:, 1] + 1, 1)]
        if far.any():
            keys = _expand(self.start[far], self.lengths()[far], np.repeat(self.step[far], self.lengths()[far]))
            ids.append(np.repeat(rows[far], self.lengths()[far]) * columns + keys // width)
        tiles = np.unique(np.concatenate(ids))
        return tiles // columns, tiles % columns


def _expand(start: IntArray, length: IntArray, step: IntArray | int) -> IntArray:
    """`start, start + step, ...` of each given length, one after another."""
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.asarray(np.repeat(start, length) + within * step, np.int64)


def parameter(doc: str, *, default: Any = MISSING, minimum: int | None = None, odd: bool = False) -> Any:
    """A field of a pattern: what it means, and the values that it takes; of a pair, each of the two."""
    return field(default=default, metadata={"doc": doc, "minimum": minimum, "odd": odd})


@dataclass(frozen=True)
class Pattern:
    """Which keys each query may see at any length: the typed parameters of a variant.

    A variant subclasses it as a frozen dataclass whose fields are made with `parameter`.

    Raises:
        ValueError: a parameter is not of its type or outside its range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            problem = _problem(getattr(self, each.name), each.type, each.metadata)
            if problem:
                raise ValueError(f"{each.name}: {problem}")

    def spans(self, n: int) -> Spans:
        """The keys that each of n queries may see; every row holds at least one key."""
        raise NotImplementedError

    def unsupported(self, n: int) -> str | None:
        """Why this pattern does not exist at length n, or nothing."""
        del n
        return None

    def near(self, n: int) -> tuple[Self, int]:
        """A pattern of this kind and its length, about n: itself at n, unless its parameters fix its length."""
        return self, n


def _problem(value: object, kind: Any, metadata: Any) -> str | None:
    """What is wrong with a parameter's value, or nothing."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    choices = [choice for each in kinds if get_origin(each) is Literal for choice in get_args(each)]
    if choices:
        return None if value in choices else f"expected one of {', '.join(map(str, choices))}, found {value!r}"
    if type(value) is tuple and len(value) == 2 and tuple[int, int] in kinds:
        return next(filter(None, (_problem(each, int, metadata) for each in value)), None)
    if type(value) not in kinds:
        return f"expected {' or '.join(map(_name, kinds))}, found {value!r}"
    minimum = metadata.get("minimum")
    if minimum is not None and isinstance(value, int) and value < minimum:
        return f"expected at least {minimum}, found {value}"
    if metadata.get("odd") and isinstance(value, int) and value % 2 == 0:
        return f"expected an odd number, found {value}"
    return None


def _name(kind: Any) -> str:
    """A type of a parameter in words."""
    if kind == tuple[int, int]:
        return "a tuple of two integers"
    return "null" if kind is type(None) else str(kind.__name__)
