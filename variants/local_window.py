"""Local-window attention: a query sees `window` keys centred on itself, like a convolution's kernel.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   j = i + dilation m,   |m| <= (window - 1) / 2

At the ends of the sequence `edges: clip` drops the keys outside (a zero-padded convolution); `edges: slide` moves the
window inward, so every query sees `window` keys (neighbourhood attention). When causal, the window ends at the query.
Cost: 4 window N D FLOPs forward for one head.

Source: Ramachandran et al. 2019, arXiv 1906.05909, section 3; `slide`: Hassani et al. 2023, arXiv 2204.07143, section
3.1; dilation: Hassani and Shi 2022, arXiv 2209.15001, section 3.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class LocalWindow(Pattern):
    """Query i sees `window` keys, `dilation` apart, centred on i (ending at i when causal)."""

    window: int = parameter("keys per query in all, odd", minimum=1, odd=True)
    dilation: int = parameter("distance between neighbouring keys of a window", default=1, minimum=1)
    edges: Literal["clip", "slide"] = parameter(
        "clip the window at the sequence's ends, or slide it in", default="clip"
    )
    causal: bool = parameter("end the window at the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for each query; with `slide` a window stays in its residue class modulo `dilation`."""
        i = np.arange(n)
        d = self.dilation
        if self.causal:
            return Spans.of(n, (i - (self.window - 1) * d, i + 1, d))
        if self.edges == "clip":
            reach = (self.window - 1) // 2 * d
            return Spans.of(n, (i - reach, i + reach + 1, d))
        residue, place = i % d, i // d
        length = (n - residue + d - 1) // d
        first = np.clip(place - self.window // 2, 0, length - self.window)
        start = residue + first * d
        return Spans.of(n, (start, start + (self.window - 1) * d + 1, d))

    def unsupported(self, n: int) -> str | None:
        """Refuse a sliding window that is causal or does not fit into the sequence."""
        if self.edges == "slide" and self.causal:
            return "a causal window cannot slide inward; use edges: clip"
        if self.edges == "slide" and self.dilation * self.window > n:
            return f"edges: slide needs dilation * window <= seq_len, found {self.dilation} * {self.window} > {n}"
        return None


VARIANT = Variant(
    LocalWindow,
    source="Ramachandran et al. 2019, arXiv 1906.05909; Hassani et al. 2023, arXiv 2204.07143",
    examples=({"window": 17},),
)
