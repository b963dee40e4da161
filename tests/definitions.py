"""Each variant's definition once more, pair by pair in plain Python from its source, and parameters to try it with."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from settings import pattern_of

from attnbench import variants
from attnbench.variants import Scored, kernels, peers


@dataclass(frozen=True)
class Definition:
    """`sees(i, j, n, **parameters)` says whether query i sees key j at length n."""

    sees: Callable[..., bool]
    parameters: tuple[dict[str, Any], ...]


def full(i: int, j: int, n: int, causal: bool = False) -> bool:
    del n
    return j <= i or not causal


def truncated(i: int, j: int, n: int, left: int | None, right: int | None, chunk: int = 1) -> bool:
    members = [key for key in range(n) if key // chunk == i // chunk]
    return (left is None or members[0] - j <= left) and (right is None or j - members[-1] <= right)


def local_window(
    i: int,
    j: int,
    n: int,
    window: int,
    dilation: int = 1,
    edges: str = "clip",
    causal: bool = False,
    sinks: int = 0,
) -> bool:
    if causal and j <= i and j < sinks:
        return True
    if i % dilation != j % dilation:
        return False
    apart = (j - i) // dilation
    if causal:
        return -window < apart <= 0
    left, right = window // 2, window // 2 + window % 2 - 1
    if edges == "clip":
        return -left <= apart <= right
    place, length = i // dilation, len(range(i % dilation, n, dilation))
    first = max(place - left, 0)
    if place + right >= length:
        first += length - right - place - 1
    return first <= j // dilation < first + window


def local_window_2d(
    i: int,
    j: int,
    n: int,
    window: tuple[int, int],
    grid: tuple[int, int] | None = None,
    dilation: tuple[int, int] = (1, 1),
    edges: str = "clip",
    causal: bool | str = False,
) -> bool:
    sides = sides_of(n, grid)
    queries, keys = divmod(i, sides[1]), divmod(j, sides[1])
    axes = zip(queries, keys, sides, window, dilation, causal_axes(causal), strict=True)
    seen = all(
        local_window(at, key, side, size, apart, "clip" if ends else edges, ends)
        for at, key, side, size, apart, ends in axes
    )
    return seen and (j <= i or causal is not True)


def causal_axes(causal: bool | str) -> tuple[bool, bool]:
    """Whether a window ends at the query down the grid, and across it."""
    return causal in ("down", "both"), causal in ("across", "both")


def sides_of(n: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns; without a grid, those of the largest square that n tokens fill."""
    side = max(side for side in range(n + 1) if side * side <= n)
    return grid or (side, side)


def block_local(i: int, j: int, n: int, block: int, causal: bool = False) -> bool:
    del n
    return i // block == j // block and (j <= i or not causal)


def longformer(i: int, j: int, n: int, window: int, globals: int = 1, causal: bool = False) -> bool:
    del n
    near = abs(i - j) <= window // 2
    return (near or i < globals or j < globals) and (j <= i or not causal)


def bigbird(
    i: int,
    j: int,
    n: int,
    block: int,
    window: int = 3,
    globals: int = 2,
    random: int = 3,
    seed: int = 0,
    causal: bool = False,
) -> bool:
    if causal and j > i:
        return False
    blocks = len(range(0, n, block))
    row, column = i // block, j // block
    order = list(range(blocks))
    leading = order[: globals - globals // 2]
    everyone = {*leading, *(order[len(leading) :][-(globals // 2) :] if globals // 2 else [])}
    if row in everyone or column in everyone or abs(row - column) <= window // 2:
        return True
    unseen = [each for each in order if each not in everyone and abs(each - row) > window // 2]
    drawn = [unseen.pop(_hash(seed, row, draw) % len(unseen)) for draw in range(min(random, len(unseen)))]
    return column in drawn


def _hash(*words: int) -> int:
    state = 0
    for word in words:
        state = ((state ^ word) + 0x9E3779B97F4A7C15) % 2**64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
        state ^= state >> 31
    return state


def strided(i: int, j: int, n: int, stride: int = 128, causal: bool = True) -> bool:
    del n
    apart = abs(i - j)
    return (apart < stride or apart % stride == 0) and (j <= i or not causal)


def fixed(i: int, j: int, n: int, block: int = 128, summary: int = 8, causal: bool = True) -> bool:
    del n
    return (i // block == j // block or j % block >= block - summary) and (j <= i or not causal)


def graph(
    i: int,
    j: int,
    n: int,
    kind: str | None = None,
    degree: int = 8,
    grid: tuple[int, int] | None = None,
    seed: int = 0,
) -> bool:
    if kind == "grid":
        width = sides_of(n, grid)[1]
        down, across = abs(i // width - j // width), abs(i % width - j % width)
        return max(down, across) <= 1 if degree == 8 else down + across <= 1
    if kind in (None, "ring"):
        return min((i - j) % n, (j - i) % n) <= degree // 2
    return i == j or frozenset((i, j)) in edges_of(str(kind), degree, seed, n)


@functools.cache
def edges_of(kind: str, degree: int, seed: int, n: int) -> frozenset[frozenset[int]]:
    """The edges of a random graph, drawn one by one."""
    every = frozenset(frozenset((i, j)) for i in range(n) for j in range(i))
    if degree >= n - 1:
        return every
    if kind == "expander":
        orders = [sorted(range(n), key=lambda token: _hash(seed, cycle, token)) for cycle in range(degree // 2)]
        return frozenset(frozenset(edge) for each in orders for edge in zip(each, each[1:] + each[:1], strict=True))
    many = n * degree // 2
    if 2 * many > len(every):
        return every - _drawn_edges(len(every) - many, seed, n)
    return _drawn_edges(many, seed, n)


def _drawn_edges(many: int, seed: int, n: int) -> frozenset[frozenset[int]]:
    found: set[frozenset[int]] = set()
    draw = 0
    while len(found) < many:
        i, other = _hash(seed, 0, draw) % n, _hash(seed, 1, draw) % (n - 1)
        found.add(frozenset((i, [each for each in range(n) if each != i][other])))
        draw += 1
    return frozenset(found)


def document(i: int, j: int, n: int, lengths: tuple[int, ...] = (512, 256, 256), causal: bool = False) -> bool:
    del n

    def number(token: int) -> int:
        """Which document it is in, counted along the sequence."""
        found, end = 0, lengths[0]
        while token >= end:
            found += 1
            end += lengths[found % len(lengths)]
        return found

    return number(i) == number(j) and (j <= i or not causal)


DEFINITIONS = {
    "full": Definition(full, ({}, {"causal": True})),
    "truncated": Definition(
        truncated,
        (
            {"left": 8, "right": 8},
            {"left": 20, "right": 0},
            {"left": 0, "right": 3},
            {"left": None, "right": 0},
            {"left": None, "right": 5},
            {"left": 70, "right": None},
            {"left": 8, "right": 3, "chunk": 8},
            {"left": 3, "right": 0, "chunk": 7},
            {"left": None, "right": 2, "chunk": 20},
        ),
    ),
    "local_window": Definition(
        local_window,
        (
            {"window": 1},
            {"window": 17},
            {"window": 151},
            {"window": 17, "causal": True},
            {"window": 9, "dilation": 3},
            {"window": 9, "dilation": 3, "causal": True},
            {"window": 17, "edges": "slide"},
            {"window": 5, "dilation": 4, "edges": "slide"},
            {"window": 16},
            {"window": 8, "dilation": 3, "edges": "slide"},
            {"window": 12, "causal": True, "sinks": 4},
            {"window": 5, "dilation": 3, "causal": True, "sinks": 7},
        ),
    ),
    "local_window_2d": Definition(
        local_window_2d,
        (
            {"window": (3, 5)},
            {"window": (3, 5), "grid": (1, 61)},
            {"window": (5, 3), "grid": (61, 1)},
            {"window": (3, 5), "grid": (10, 13)},
            {"window": (5, 3), "grid": (26, 5), "causal": True},
            {"window": (3, 3), "grid": (13, 10), "dilation": (2, 3)},
            {"window": (5, 7), "grid": (10, 13), "edges": "slide"},
            {"window": (3, 5), "grid": (13, 10), "dilation": (4, 2), "edges": "slide"},
            {"window": (3, 9), "grid": (7, 37)},
            {"window": (7, 7), "grid": (37, 7), "edges": "slide"},
            {"window": (4, 2), "grid": (10, 13), "dilation": (1, 3), "edges": "slide"},
            {"window": (3, 4), "grid": (10, 13), "causal": "down"},
            {"window": (3, 4), "grid": (10, 13), "causal": "across", "dilation": (2, 2)},
            {"window": (3, 4), "grid": (13, 10), "causal": "both"},
            {"window": (12, 4), "grid": (10, 13), "causal": "down", "edges": "slide"},
        ),
    ),
    "block_local": Definition(block_local, ({"block": 1}, {"block": 16}, {"block": 48, "causal": True})),
    "document": Definition(
        document, ({"lengths": (16,)}, {"lengths": (40, 5, 1)}, {"lengths": (30, 7), "causal": True}, {})
    ),
    "longformer": Definition(
        longformer,
        (
            {"window": 17},
            {"window": 33, "globals": 5},
            {"window": 9, "globals": 0},
            {"window": 17, "globals": 3, "causal": True},
        ),
    ),
    "bigbird": Definition(
        bigbird,
        (
            {"block": 16},
            {"block": 5, "random": 2, "seed": 7},
            {"block": 16, "window": 1, "globals": 3, "random": 1},
            {"block": 16, "globals": 0, "random": 2},
            {"block": 8, "causal": True},
        ),
    ),
    "strided": Definition(
        strided,
        ({}, {"stride": 7}, {"stride": 32}, {"stride": 16, "causal": False}),
    ),
    "fixed": Definition(
        fixed,
        (
            {},
            {"block": 5, "summary": 2},
            {"block": 16, "summary": 2},
            {"block": 16, "summary": 3, "causal": False},
            {"block": 8, "summary": 8},
        ),
    ),
    "graph": Definition(
        graph,
        (
            {},
            {"degree": 2},
            {"kind": "grid"},
            {"kind": "grid", "degree": 4, "grid": (10, 13)},
            {"kind": "erdos_renyi", "degree": 5, "seed": 3},
            {"kind": "erdos_renyi", "degree": 50},
            {"kind": "expander", "degree": 4, "seed": 1},
        ),
    ),
}
"""By the variant's name. A variant that ships without one is tried with its examples, by what its own file says."""


def shipped() -> list[str]:
    """The names of the variants that ship, those with a definition first."""
    there = [path.stem for path in sorted(Path(variants.__path__[0]).glob("[!_]*.py"))]
    return [*DEFINITIONS, *(name for name in there if name not in DEFINITIONS)]


def tried(name: str) -> Sequence[Mapping[str, Any]]:
    """The parameters to try a variant with."""
    return DEFINITIONS[name].parameters if name in DEFINITIONS else variants.load(name).examples


_TRIED = [(name, dict(parameters)) for name in shipped() for parameters in tried(name)]
SCORED = [each for each in _TRIED if issubclass(variants.load(each[0]).parameters, Scored)]
"""Every pattern that modifies scores, with every one of its parameters."""
CASES = [each for each in _TRIED if variants.load(each[0]).is_pattern and each not in SCORED]
"""The same of every pattern of plain softmax attention."""
MECHANISMS = [each for each in _TRIED if not variants.load(each[0]).is_pattern]
"""The same of every mechanism that is no pattern."""


def sees_of(name: str) -> Callable[..., bool]:
    """Whether query i sees key j at length n, by the definition, else by the variant's own file."""
    if name in DEFINITIONS:
        return DEFINITIONS[name].sees

    def sees(i: int, j: int, n: int, **parameters: Any) -> bool:
        pattern = pattern_of(name, parameters)
        return bool(pattern.allowed(np.array(i), np.array(j), n))

    return sees


def defined(name: str, parameters: dict[str, Any], n: int) -> npt.NDArray[np.bool_]:
    """Which pairs `[N, N]` are allowed."""
    sees = sees_of(name)
    return np.array([[sees(i, j, n, **parameters) for j in range(n)] for i in range(n)])


def exists(name: str, parameters: dict[str, Any], n: int) -> bool:
    """Whether there is such a pattern at this length: tokens fill the grid, a window that slides fits, both ways."""
    if name == "graph":
        kind, degree = parameters.get("kind", "ring"), parameters.get("degree", 8)
        if kind != "grid":
            return kind == "erdos_renyi" or bool(degree % 2 == 0)
        sides = sides_of(n, parameters.get("grid"))
        return degree in (4, 8) and sides[0] * sides[1] == n
    slides, causal = parameters.get("edges") == "slide", parameters.get("causal", False)
    if (slides and causal in (True, "both")) or (parameters.get("sinks") and not causal):
        return False
    if name == "local_window":
        return not slides or parameters["window"] * parameters.get("dilation", 1) <= n
    if name not in DEFINITIONS:
        return pattern_of(name, parameters).unsupported(n) is None
    if name != "local_window_2d":
        return True
    sides = sides_of(n, parameters.get("grid"))
    axes = zip(parameters["window"], parameters.get("dilation", (1, 1)), sides, causal_axes(causal), strict=True)
    fit = all(ends or not slides or window * apart <= side for window, apart, side, ends in axes)
    return sides[0] * sides[1] == n and fit


COMPILED = ("compiled", "flex")
"""The implementations that a compiler makes: seconds for each shape."""
FORCED = ("sdpa_cudnn", "sdpa_efficient", "sdpa_flash", "sdpa_math")
"""The implementations that are one kernel of torch's."""
ON_CUDA = ("sdpa_cudnn", "sdpa_efficient")
"""Those that torch has on CUDA only."""
PEERS = tuple(peers.names())
"""The implementations of other projects, which need their packages and have a file of their own."""
CUDA_PEERS = ("fla", "flash_attn", "flash_attn_3", "flashinfer", "natten", "xformers")
"""Those that need a GPU."""
CUDA_MECHANISM_PEERS = ("fla_gated_delta", "fla_gated_linear", "fla_linear", "fla_retention")
"""Those of mechanisms that are no pattern, and need a GPU."""


def takes(
    implementation: str,
    name: str,
    parameters: dict[str, Any],
    n: int,
    device: str = "cpu",
    direction: str = "training",
) -> bool:
    """Whether an implementation computes it, by the words of its documentation.

    `sdpa` takes what needs no mask, and so do its kernels by themselves; `flex` has no gradients on a CPU;
    `context_parallel` needs several processes, and has a file of its own; every other takes whatever exists.
    """
    if implementation == kernels.SHARED or not exists(name, parameters, n):
        return False
    if device == "cpu" and implementation in ON_CUDA:
        return False
    if implementation not in ("sdpa", *FORCED):
        return implementation != "flex" or device == "cuda" or direction == "forward"
    sees = sees_of(name)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    causal = all(sees(i, j, n, **parameters) == (j <= i) for i, j in pairs)
    return causal or all(sees(i, j, n, **parameters) for i, j in pairs)


def takers(
    implementations: Iterable[str], name: str, parameters: dict[str, Any], n: int, device: str = "cpu"
) -> list[str]:
    """The implementations that take a training case."""
    return [each for each in implementations if takes(each, name, parameters, n, device)]


def label(value: object) -> str | None:
    """A readable test id."""
    if isinstance(value, dict):
        return ",".join(f"{key}={each}" for key, each in value.items()) or "default"
    return None
