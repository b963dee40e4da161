"""Document mask: a sequence is packed from documents, and a query sees the keys of its own document.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   document(j) = document(i)

Documents have these `lengths`, in this order, again and again until N is reached; the last one is cut off there. A list
of lists makes several variants: `lengths: [[512, 256, 256], [1024]]` is two. Keys per query: those of its document.
Cost: 4 (sum of l^2) / (sum of l) N D FLOPs forward for one head, l the lengths; half when causal.

Source: Krell et al. 2021, arXiv 2107.02027.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Document(Pattern):
    """Query i sees the keys of its document, when causal those up to i."""

    lengths: tuple[int, ...] = parameter("tokens of each document, in order", default=(512, 256, 256), minimum=1)
    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        lengths = np.array(self.lengths, np.int64)
        ends = np.cumsum(lengths)
        rounds, place = np.divmod(np.arange(n), ends[-1])
        document = np.searchsorted(ends, place, side="right")
        stop = rounds * ends[-1] + ends[document]
        spans = Spans.of(n, (stop - lengths[document], stop))
        return spans.causal() if self.causal else spans


VARIANT = Variant(
    Document, source="Krell et al. 2021, arXiv 2107.02027", examples=({"lengths": (24, 8, 16)}, {"causal": True})
)
