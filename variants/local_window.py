"""Local-window attention: a query sees `window` keys centred on itself, like a convolution's kernel.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   j = i + dilation m,   -floor(window / 2) <= m < ceil(window / 2)

An even window has one key more before the query than after it, as in NATTEN. At the ends of the sequence `edges: clip`
drops the keys outside (a zero-padded convolution); `edges: slide` moves the window inward, so every query sees `window`
keys (neighbourhood attention). When causal, the window ends at the query: -window < m <= 0. A causal window may have
attention sinks: query i also sees the keys j <= i with j < `sinks` (StreamingLLM; the positions that it gives to keys
belong to the layer). What others call a window of 8 is 8 keys (NATTEN), 8 and the query (flash-attention when causal),
8 on each side and the query, or 9 to 16 keys (a bucket of 8 and the one before). Keys per query: window + sinks. Cost:
4 (window + sinks) N D FLOPs forward for one head.

Source: Ramachandran et al. 2019, arXiv 1906.05909, section 3; `slide`: Hassani et al. 2023, arXiv 2204.07143, section
3.1; dilation: Hassani and Shi 2022, arXiv 2209.15001, section 3; sinks: Xiao et al. 2023, arXiv 2309.17453, section 3.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class LocalWindow(Pattern):
    """Query i sees `window` keys, `dilation` apart, around i (ending at i when causal), and the sinks."""

    window: int = parameter("keys per query in all, without sinks", default=512, minimum=1)
    dilation: int = parameter("distance between neighbouring keys of a window", default=1, minimum=1)
    edges: Literal["clip", "slide"] = parameter(
        "clip the window at the sequence's ends, or slide it in", default="clip"
    )
    causal: bool = parameter("end the window at the query", default=False)
    sinks: int = parameter(
        "leading tokens that every later query sees; needs causal: true", default=0, minimum=0, later=True
    )

    @property
    def reach(self) -> tuple[int, int]:
        """The keys of a window before and after its query."""
        return (self.window - 1, 0) if self.causal else (self.window // 2, (self.window - 1) // 2)

    def spans(self, n: int) -> Spans:
        """Return the window, and the sinks if there are any.

        With `slide` a window stays in its residue class modulo `dilation`.
        """
        i = np.arange(n)
        d = self.dilation
        before, after = self.reach
        if self.edges == "slide":
            residue, place = i % d, i // d
            length = (n - residue + d - 1) // d
            first = np.clip(place - before, 0, length - self.window)
            start = residue + first * d
            return Spans.of(n, (start, start + (self.window - 1) * d + 1, d))
        start, stop = i - before * d, i + after * d + 1
        if not self.sinks:
            return Spans.of(n, (start, stop, d))
        # The window begins at its first key that is no sink.
        hidden = np.maximum(-((start - self.sinks) // d), 0)
        return Spans.of(n, (0, np.minimum(self.sinks, i + 1)), (start + hidden * d, stop, d))

    def unsupported(self, n: int) -> str | None:
        """Refuse a sliding window that is causal or does not fit into the sequence, and sinks that are not causal."""
        if self.edges == "slide" and self.causal:
            return "a causal window cannot slide inward; use edges: clip"
        if self.edges == "slide" and self.dilation * self.window > n:
            return f"edges: slide needs dilation * window <= seq_len, found {self.dilation} * {self.window} > {n}"
        if self.sinks and not self.causal:
            return f"sinks need a causal window, found sinks: {self.sinks} and causal: false; use causal: true"
        return None


VARIANT = Variant(
    LocalWindow,
    source="Ramachandran et al. 2019, arXiv 1906.05909; Hassani et al. 2023, arXiv 2204.07143; Xiao et al. 2023, "
    "arXiv 2309.17453",
    examples=({"window": 17}, {"window": 12, "causal": True, "sinks": 4}),
)
