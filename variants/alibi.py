"""ALiBi: the score of a pair falls linearly with its distance, in each head with another slope.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D) - m_h |i - j|) v_j,   m_h = 2^(-8 h / H),   h = 1 .. H

The slopes are not learned. The authors' code takes others if H is not a power of two. The paper's attention is causal.
`eager`, `compiled` and `sdpa_masked` prepare a bias for each pair, H N^2 numbers; `flex` computes them in its kernel.
Keys per query: N, or i + 1 when causal. Cost: 4 N^2 D FLOPs forward for one head, half when causal.

Source: Press et al. 2021, arXiv 2108.12409, section 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attnbench.variants import Scored, Spans, Variant, parameter
from attnbench.variants.full import Full

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Alibi(Scored):
    """Query i sees all keys, or those up to i when causal, with scores that fall with the distance."""

    causal: bool = parameter("hide the keys after the query", default=False)
    adds: ClassVar[bool] = True

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        return Full(self.causal).spans(n)

    def modified(self, scores: "Tensor", head: "Tensor", i: "Tensor", j: "Tensor", heads: int) -> "Tensor":
        """Subtract the slope of the head times the distance, in float32 or wider."""
        import torch

        wide = torch.promote_types(scores.dtype, torch.float32)
        slopes = torch.exp2((head + 1).to(wide) * (-8 / heads))
        return scores - (slopes * (i - j).abs()).to(scores.dtype)


VARIANT = Variant(
    Alibi,
    source="Press et al. 2021, arXiv 2108.12409",
    implementation="sdpa_masked",
    examples=({}, {"causal": True}),
)
