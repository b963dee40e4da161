"""Truncated (time-restricted) self-attention: a query sees `left` keys back and `right` keys ahead.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   i - left <= j <= i + right

Both ends are included: left + right + 1 keys per query. Cost: 4 (left + right + 1) N D FLOPs forward for one head. A
stack of E such layers looks E right ahead.

Source: Povey et al. 2018, "A time-restricted self-attention layer for ASR", section 2; Yeh et al. 2019, arXiv
1910.12977, section 2.4.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Truncated(Pattern):
    """Query i sees keys `i - left .. i + right`, both included."""

    left: int | None = parameter("keys before the query; null: all of them", minimum=0)
    right: int | None = parameter("keys after the query; null: all of them, 0: causal", minimum=0)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        i = np.arange(n)
        start = 0 if self.left is None else i - self.left
        stop = n if self.right is None else i + self.right + 1
        return Spans.of(n, (start, stop))


VARIANT = Variant(
    Truncated, source="Povey et al. 2018; Yeh et al. 2019, arXiv 1910.12977", examples=({"left": 12, "right": 4},)
)
