"""Attention along the edges of a graph: tokens are nodes, and a query sees itself and its neighbours.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   j = i  or  there is an edge from i to j

`kind` makes a graph whose edges lead both ways; without one, `file` has the edges, and without either it is a ring:

- `ring`: edges to the degree / 2 nearest tokens on either side, around the ends of the sequence; the degree is even
- `grid`: tokens are a grid of H rows and W columns, row by row, N = H W; the degree is 4, or 8 with diagonals
- `erdos_renyi`: N degree / 2 different edges, drawn uniformly; the degree is a mean
- `expander`: the edges of degree / 2 random cycles, each through all tokens; the degree is even, and smaller where two
  cycles have the same edge

All but `grid` have all edges where a token has no more than `degree` others. Random edges come from a hash, as in
`bigbird`, so all machines and heads have the same. The layer `gat` learns its scores along such edges.

Keys per query: degree + 1. Cost: 4 (degree + 1) N D FLOPs forward for one head. A kernel computes more: few
neighbouring queries share keys, and `native` plans long, so the default is `blockwise`.

`graph: {file: edges.txt}` reads a text file, in the folder of the suite or below it: a line `i j` for each edge, where
query i sees key j. Edges lead one way, so give both. Tokens count from 0; the sequence has at least as many tokens as
the file. Blank lines and lines that begin with # are left out. Cases are known by the SHA-256 of the sorted edges. A
run folder has a copy of the file.

Source: Zaheer et al. 2020, arXiv 2007.14062, section 2; ring: Watts and Strogatz 1998, "Collective dynamics of
'small-world' networks"; erdos_renyi: Erdos and Renyi 1959, "On random graphs I"; expander: Friedman 2003, "A proof of
Alon's second eigenvalue conjecture", with attention in Shirzad et al. 2023, arXiv 2303.06147, section 3.
"""

from dataclasses import dataclass, fields, replace
from math import isqrt
from typing import Literal, Self

import numpy as np

from attnbench.variants import IntArray, Parameters, Pattern, Spans, Variant, _edges, parameter
from attnbench.variants.bigbird import mix
from attnbench.variants.local_window_2d import LocalWindow2d

_MOST_PAIRS = 2**22
"""Most pairs of a random graph: all of them up to N = 2048."""


@dataclass(frozen=True)
class Edges(Parameters):
    """A graph that is made, or read from a file. Every token has an edge to itself."""

    kind: Literal["ring", "grid", "erdos_renyi", "expander"] | None = parameter(
        "how the edges are made; null: a ring, or those of the file", default=None
    )
    degree: int = parameter("neighbours of a token, for erdos_renyi on average", default=8, minimum=1)
    grid: tuple[int, int] | None = parameter(
        "rows and columns of tokens, for kind: grid; null: a square", default=None, minimum=1
    )
    seed: int = parameter("seed of erdos_renyi and expander", default=0, minimum=0)
    file: str | None = parameter(
        "text file of edges, a query and a key on each line; null: none", default=None, digest="sha256"
    )
    sha256: str | None = parameter(
        "SHA-256 of the file's sorted edges; found when a suite is read, and checked if given", default=None
    )

    def __post_init__(self) -> None:
        """Check that the edges come from a file alone, or from no file."""
        super().__post_init__()
        made = [each.name for each in fields(self)[:-2] if getattr(self, each.name) != each.default]
        if self.file is not None and made:
            raise ValueError(f"{made[0]}: expected none beside a file, which has the edges; leave one of them out")
        if self.file is None and self.sha256 is not None:
            raise ValueError("sha256: expected a file beside it, found none")

    def spans(self, n: int) -> Spans:
        """Return one span for every run of neighbours."""
        listed = self._listed(n)
        if listed:
            return Spans.of_pairs(n, *listed)
        if self.kind == "grid":
            return self._window().spans(n) if self.degree == 8 else self._crosses(n)
        if self.degree >= n - 1:
            return Spans.of(n, (0, n))
        own = np.arange(n)
        first, stop = own - self.degree // 2, own + self.degree // 2 + 1
        return Spans.of(n, (0, stop - n), (first, stop), (first + n, n))

    def pairs(self, n: int) -> tuple[IntArray, IntArray]:
        """Return the tokens i and j of all edges from i to j, each once, sorted."""
        listed = self._listed(n)
        if listed is None:
            return self.spans(n).members()
        i, j = listed
        return np.divmod(np.unique(i * n + j), n)

    def unsupported(self, n: int) -> str | None:
        """Refuse a degree that the kind does not have, tokens that do not fit, and too many random pairs."""
        if self.file is not None:
            least = int(self._read().max()) + 1
            return f"file: {self.file} has {least} tokens, found seq_len = {n}" if n < least else None
        if self.kind == "grid":
            told = f"kind: grid has a degree of 4 or 8, found {self.degree}"
            return self._window().unsupported(n) if self.degree in (4, 8) else told
        if self.kind != "erdos_renyi" and self.degree % 2:
            return f"kind: {self.kind or 'ring'} has an even degree, found {self.degree}"
        pairs = n * (self.degree + 1)
        if not self._is_ring() and self.degree < n - 1 and pairs > _MOST_PAIRS:
            return f"kind: {self.kind} can hold {_MOST_PAIRS} pairs, found seq_len * (degree + 1) = {pairs}"
        return None

    def near(self, n: int) -> tuple[Self, int]:
        """Return a grid of about n tokens, as `local_window_2d` does; at least as many tokens as a file has."""
        if self.file is not None:
            return self, max(n, int(self._read().max()) + 1)
        if self.kind != "grid":
            return self, n
        window, n = self._window().near(n)
        return replace(self, grid=window.grid), n

    def _is_ring(self) -> bool:
        return self.kind in (None, "ring")

    def _listed(self, n: int) -> tuple[IntArray, IntArray] | None:
        """Return the tokens i and j of the edges of a file or a random graph, or None for the others."""
        own = np.arange(n)
        if self.file is not None:
            i, j = self._read().T
            return np.concatenate([own, i]), np.concatenate([own, j])
        if self.kind in (None, "ring", "grid") or self.degree >= n - 1:
            return None
        if self.kind == "erdos_renyi":
            i, j = np.divmod(_drawn_edges(n, n * self.degree // 2, self.seed), n)
        else:
            i, j = _cycles(n, self.degree // 2, self.seed)
        return np.concatenate([own, i, j]), np.concatenate([own, j, i])

    def _read(self) -> IntArray:
        """Return the edges `[E, 2]` of the file."""
        if self.sha256 is None:
            raise ValueError(f"file: expected the SHA-256 of {self.file} beside it, found none; load it with a suite")
        return _edges.edges(self.sha256)

    def _window(self) -> LocalWindow2d:
        """Return the window of a token and its neighbours on a grid, with diagonals."""
        return LocalWindow2d(window=(3, 3), grid=self.grid)

    def _crosses(self, n: int) -> Spans:
        """Return the spans of a grid without diagonals: the key above, those in the row, and the key below."""
        width = self.grid[1] if self.grid else isqrt(n)
        i = np.arange(n)
        x = i % width
        return Spans.of(
            n,
            (i - width, i - width + 1),
            (i - (x > 0), i + 1 + (x < width - 1)),
            (i + width, i + width + 1),
        )


@dataclass(frozen=True)
class Graph(Edges, Pattern):
    """Query i sees itself and its neighbours."""


def _drawn_edges(n: int, many: int, seed: int) -> IntArray:
    """Return that many different edges, drawn uniformly, as numbers `i n + j` with i > j."""
    pairs = n * (n - 1) // 2
    if 2 * many > pairs:
        # Draw the edges that are missing, which are fewer.
        i, j = np.tril_indices(n, -1)
        return np.setdiff1d(i * n + j, _drawn_edges(n, pairs - many, seed))
    draws = 2 * many
    while True:
        i, j = _drawn(draws, n, seed, 0), _drawn(draws, n - 1, seed, 1)
        j += j >= i
        edges, first = np.unique(np.maximum(i, j) * n + np.minimum(i, j), return_index=True)
        if len(edges) >= many:
            return np.asarray(edges[np.argsort(first)[:many]])
        draws *= 2


def _drawn(many: int, below: int, *words: int) -> IntArray:
    """Return that many numbers from 0 to `below` - 1."""
    return np.asarray(mix(*words, np.arange(many, dtype=np.uint64)) % below, np.int64)


def _cycles(n: int, many: int, seed: int) -> tuple[IntArray, IntArray]:
    """Return the edges of that many cycles, each from one token to the next in random order."""
    tokens = np.arange(n, dtype=np.uint64)
    orders = [np.argsort(mix(seed, cycle, tokens), kind="stable") for cycle in range(many)]
    return np.concatenate(orders), np.concatenate([np.roll(order, -1) for order in orders])


VARIANT = Variant(
    Graph,
    source="Zaheer et al. 2020, arXiv 2007.14062; Shirzad et al. 2023, arXiv 2303.06147",
    implementation="blockwise",
    examples=({"kind": "expander", "degree": 4}, {"kind": "erdos_renyi"}, {}, {"kind": "grid", "degree": 4}),
)
