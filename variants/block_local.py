"""Block-local attention: a query sees the keys of its own block.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   floor(j / block) = floor(i / block)

Blocks are contiguous. (Long Range Arena's "local attention" groups positions that are N / block apart.) Keys per query:
`block`. Cost: 4 block N D FLOPs forward for one head, half when causal.

Source: Parmar et al. 2018, arXiv 1802.05751, section 3.3; as a baseline: Tay et al. 2020, arXiv 2011.04006, section 3.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class BlockLocal(Pattern):
    """Query i sees the keys of block `floor(i / block)`, when causal those up to i."""

    block: int = parameter("tokens in a block", default=512, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        start = np.arange(n) // self.block * self.block
        spans = Spans.of(n, (start, start + self.block))
        return spans.causal() if self.causal else spans


VARIANT = Variant(
    BlockLocal,
    source="Parmar et al. 2018, arXiv 1802.05751; Tay et al. 2020, arXiv 2011.04006",
    examples=({"block": 16},),
)
