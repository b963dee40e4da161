"""Soft-capped attention: scores are squashed into (-cap, cap).

    o_i = sum_j softmax_j(cap tanh(q_i . k_j / (cap sqrt(D)))) v_j

Gemma 2 caps the scores of attention at 50. Small scores hardly change: with standard normal inputs a cap of 50 changes
outputs little. Keys per query: N, or i + 1 when causal. Cost: 4 N^2 D FLOPs forward for one head, half when causal.

Source: Gemma Team 2024, arXiv 2408.00118, section 2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Scored, Spans, Variant, parameter
from attnbench.variants.full import Full

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Softcap(Scored):
    """Query i sees all keys, or those up to i when causal, with capped scores."""

    cap: float = parameter("bound of scores, at least 1", default=50.0, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        return Full(self.causal).spans(n)

    def modified(self, scores: "Tensor", head: "Tensor", i: "Tensor", j: "Tensor", heads: int) -> "Tensor":
        """Cap the scores."""
        del head, i, j, heads
        return self.cap * (scores / self.cap).tanh()


VARIANT = Variant(
    Softcap,
    source="Gemma Team 2024, arXiv 2408.00118",
    implementation="eager",
    examples=({"cap": 1.5}, {"cap": 2.0, "causal": True}),
)
