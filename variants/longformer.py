"""Longformer: a centred sliding window, and a few global tokens that see and are seen by all.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   |i - j| <= (window - 1) / 2  or  i < globals  or  j < globals

The paper's window of 512 is 513 here. Its separate projections of global tokens belong to the layer. Keys per query:
window + globals, N for a global token. Cost: 4 (window + 2 globals) N D FLOPs forward for one head.

Source: Beltagy et al. 2020, arXiv 2004.05150, section 3.1.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Longformer(Pattern):
    """Query i sees a window centred on i and the global tokens `0 .. globals-1`, which see every key."""

    window: int = parameter("keys per query in the window in all, odd", default=513, minimum=1, odd=True)
    globals: int = parameter("leading tokens that see and are seen by all", default=1, minimum=0)
    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return two spans for each query, the global keys and the rest of the window, or one for a global token."""
        i = np.arange(n)
        g, reach = self.globals, (self.window - 1) // 2
        is_global = i < g
        spans = Spans.of(
            n,
            (0, np.where(is_global, n, g)),
            (np.maximum(i - reach, g), np.where(is_global, 0, i + reach + 1)),
        )
        return spans.causal() if self.causal else spans


VARIANT = Variant(Longformer, source="Beltagy et al. 2020, arXiv 2004.05150", examples=({"window": 9, "globals": 2},))
