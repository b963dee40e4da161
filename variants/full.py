"""Full attention: every query sees every key.

    O = softmax(Q K^T / sqrt(D)) V

Keys per query: N, or i + 1 when causal. Cost: 4 N^2 D FLOPs forward for one head, half when causal. A score matrix
takes N^2 numbers, a tiled kernel none.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.1.
"""

from dataclasses import dataclass

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Full(Pattern):
    """Query i sees keys `0 .. N-1`, or `0 .. i` when causal."""

    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        spans = Spans.of(n, (0, n))
        return spans.causal() if self.causal else spans

    def can_cross(self) -> bool:
        """Return whether it is not causal."""
        return not self.causal


VARIANT = Variant(Full, source="Vaswani et al. 2017, arXiv 1706.03762", implementation="sdpa")
