"""Fixed attention: a query sees its own block, and the last `summary` keys of every other block.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   floor(j / block) = floor(i / block)
    or  j mod block >= block - summary

The paper's l is `block` and its c is `summary`. Every head sees both parts; in the paper different heads do. In the
code of Long Range Arena the first key of each block is a summary too. Keys per query when causal: (i mod block) + 1 +
summary floor(i / block), otherwise about block + summary N / block. Cost: 2 (block + summary N / block) N D FLOPs
forward for one head, twice that when not causal.

Source: Child et al. 2019, arXiv 1904.10509, sections 4.2 and 4.3.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Fixed(Pattern):
    """Query i sees block `floor(i / block)` and the last `summary` keys of every other block, up to i when causal."""

    block: int = parameter("tokens in a block", default=128, minimum=1)
    summary: int = parameter("keys at the end of a block that other blocks see", default=8, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=True)

    def spans(self, n: int) -> Spans:
        """Return one span for the query's own block, and one for each place in a block that holds a summary key."""
        if self.summary >= self.block:
            return Spans.of(n, (0, n)).causal() if self.causal else Spans.of(n, (0, n))
        first = np.arange(n) // self.block * self.block
        plain = self.block - self.summary
        places = range(min(plain, n), min(self.block, n))
        if self.causal:
            return Spans.of(n, (first, first + self.block), *((place, first, self.block) for place in places)).causal()
        # The first span leaves out the own block's summary keys: the other spans hold those of every block.
        return Spans.of(n, (first, first + plain), *((place, n, self.block) for place in places))


VARIANT = Variant(Fixed, source="Child et al. 2019, arXiv 1904.10509")
