"""Strided attention: a query sees its neighbours, and every `stride`-th key beyond them.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   |i - j| < stride  or  (i - j) mod stride = 0

Every head sees both parts; in the paper different heads do. Keys per query when causal: stride + floor(i / stride),
fewer at the start, otherwise about 2 stride + N / stride: of order sqrt(N) if the stride is near it. Cost: 4 (stride +
N / (2 stride)) N D FLOPs forward for one head, twice that when not causal.

Source: as `fixed`.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Strided(Pattern):
    """Query i sees the keys less than `stride` away, and those a multiple of `stride` away."""

    stride: int = parameter("neighbours, and the distance between the keys beyond them", default=128, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=True)

    def spans(self, n: int) -> Spans:
        """Return three spans for each query: its neighbours before and after, and its residue class modulo `stride`."""
        i = np.arange(n)
        spans = Spans.of(n, (i - self.stride + 1, i), (i + 1, i + self.stride), (i % self.stride, n, self.stride))
        return spans.causal() if self.causal else spans


VARIANT = Variant(Strided, source="Child et al. 2019, arXiv 1904.10509")
