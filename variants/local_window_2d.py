"""Local-window attention on a grid: tokens are pixels, and a query sees a window of rows and columns around itself.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   i = y W + x,   j = (y + a m) W + x + b l,
    m in a window of window[0], l in one of window[1],   dilation = [a, b]

Pairs are (down, across). Tokens are a grid of H rows and W columns, row by row: N = H W, by default a square. Windows,
even ones too, and `edges` are as in `local_window`. There are two ways to be causal:

- in raster order: `true` hides the keys after the query, row by row, which leaves the upper half of the window
- by axis, as in NATTEN: with `down` the rows of the window end at y, with `across` its columns at x, with `both` both
  (`is_causal` of (True, False), (False, True) and (True, True)); with `edges: slide` the other axis slides

In attention-gym's `generate_natten` the axes are swapped: its kernel width counts rows.

`window: [65, 257]` is one window here, and two in `local_window`. Keys per query: window[0] window[1]. Cost: 4
window[0] window[1] N D FLOPs forward for one head, about half when causal in raster order.

Source: as `local_window`; `causal: true`: van den Oord et al. 2016, arXiv 1601.06759, section 3.4; by axis: NATTEN,
https://github.com/SHI-Labs/NATTEN.
"""

from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal, Self

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter
from attnbench.variants.local_window import LocalWindow


@dataclass(frozen=True)
class LocalWindow2d(Pattern):
    """Query (y, x) sees `window` rows and columns of keys, `dilation` apart, around (y, x)."""

    window: tuple[int, int] = parameter("rows and columns of keys per query in all", default=(11, 11), minimum=1)
    grid: tuple[int, int] | None = parameter("rows and columns of tokens; null: a square", default=None, minimum=1)
    dilation: tuple[int, int] = parameter(
        "distance between neighbouring keys of a window, down and across", default=(1, 1), minimum=1
    )
    edges: Literal["clip", "slide"] = parameter(
        "clip the window at the sides of the grid, or slide it in", default="clip"
    )
    causal: bool | Literal["down", "across", "both"] = parameter(
        "true: hide the keys after the query, row by row; down, across, both: end the window of this axis at the query",
        default=False,
    )

    def spans(self, n: int) -> Spans:
        """Return one span for each row of the window: the product of a window down the grid and one across it."""
        height, width = self._sides(n)
        down, across = (window.spans(side) for window, side in zip(self._windows(), (height, width), strict=True))
        y, x = np.divmod(np.arange(n), width)
        first, last = across.start[x, 0], across.stop[x, 0]
        rows = [down.start[y, 0] + row * self.dilation[0] for row in range(int(down.counts().max()))]
        spans = Spans.of(
            n,
            *(
                (row * width + first, np.where(row < down.stop[y, 0], row * width + last, 0), self.dilation[1])
                for row in rows
            ),
        )
        return spans.causal() if self.causal is True else spans

    def unsupported(self, n: int) -> str | None:
        """Refuse tokens that do not fill the grid, and a sliding window that is causal or does not fit into it."""
        if self.grid is None and isqrt(n) ** 2 != n:
            return f"a square grid needs a square number of tokens, found seq_len = {n}; give grid: [rows, columns]"
        height, width = self._sides(n)
        if height * width != n:
            return f"grid: [{height}, {width}] has {height * width} tokens, found seq_len = {n}"
        if self.edges == "slide" and self.causal in (True, "both"):
            return "a causal window cannot slide inward; use edges: clip"
        for window, side in zip(self._windows(), (height, width), strict=True):
            if window.unsupported(side):
                found = f"{window.dilation} * {window.window} > {side}"
                return f"edges: slide needs dilation * window <= side of the grid, found {found}"
        return None

    def near(self, n: int) -> tuple[Self, int]:
        """Return a square of about n tokens; if `grid` is given, with one row more than columns."""
        # On a square grid a pattern that swaps rows and columns would look right.
        side = isqrt(n)
        if self.grid is None:
            return self, side * side
        return replace(self, grid=(side + 1, side)), (side + 1) * side

    def _windows(self) -> tuple[LocalWindow, LocalWindow]:
        """Return the windows down and across the grid. One that is causal is clipped at the start."""
        causal = self.causal in ("down", "both"), self.causal in ("across", "both")
        down, across = (
            LocalWindow(window, dilation, "clip" if ends else self.edges, ends)
            for window, dilation, ends in zip(self.window, self.dilation, causal, strict=True)
        )
        return down, across

    def _sides(self, n: int) -> tuple[int, int]:
        """Return the rows and columns of a grid of n tokens."""
        return self.grid or (isqrt(n), isqrt(n))


VARIANT = Variant(
    LocalWindow2d,
    source="Ramachandran et al. 2019, arXiv 1906.05909; Hassani et al. 2023, arXiv 2204.07143",
    examples=({"window": (3, 5)}, {"window": (4, 5), "causal": "down", "edges": "slide"}),
)
