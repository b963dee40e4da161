"""BigBird: neighbouring blocks, a few global blocks and a few random blocks.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   block(j) in window(block(i)) + globals + random(block(i))

Half of the `globals` (rounded up) lead the sequence, the others end it, as in the authors' code. Random blocks come
from a hash of (seed, row), so all machines and heads have the same. Others draw them at random for each head: Hugging
Face only in training (in evaluation it counts the first block again instead), DeepSpeed also among blocks that the row
sees already. The defaults are the paper's base model. Keys per query: (window + globals + random) block, N in a global
block. Cost: 4 (window + 2 globals + random) block N D FLOPs forward for one head.

Source: Zaheer et al. 2020, arXiv 2007.14062, section 2 and appendix D.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnbench.variants import IntArray, Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class BigBird(Pattern):
    """Block row r sees a window of blocks around r, the global blocks, and random blocks."""

    block: int = parameter("tokens in a block", default=64, minimum=1)
    window: int = parameter("neighbouring blocks in all, odd", default=3, minimum=1, odd=True)
    globals: int = parameter("blocks that see and are seen by all", default=2, minimum=0)
    random: int = parameter("random blocks of each row of blocks", default=3, minimum=0)
    seed: int = parameter("seed of the random blocks", default=0, minimum=0)
    causal: bool = parameter("hide the keys after the query", default=False)

    def spans(self, n: int) -> Spans:
        """Return one span for the leading globals, the window, the trailing globals and each random block."""
        rows = -(-n // self.block)
        leading, trailing = self._between(rows)
        r = np.arange(n) // self.block
        is_global = (r < leading) | (r >= trailing)
        reach = self.window // 2
        drawn = self.drawn(rows)[r]
        b = self.block
        spans = Spans.of(
            n,
            (0, np.where(is_global, n, leading * b)),
            (
                np.maximum(r - reach, leading) * b,
                np.where(is_global, 0, np.minimum(r + reach + 1, trailing) * b),
            ),
            (trailing * b, np.where(is_global, 0, n)),
            *((drawn[:, s] * b, np.where(drawn[:, s] < 0, 0, (drawn[:, s] + 1) * b)) for s in range(drawn.shape[1])),
        )
        return spans.causal() if self.causal else spans

    def drawn(self, rows: int) -> IntArray:
        """Draw the random blocks `[rows, R]` of each row of blocks, R at most `random`; -1 marks a missing one."""
        leading, trailing = self._between(rows)
        drawn = np.full((rows, min(self.random, trailing - leading)), -1, np.int64)
        for r in range(leading, trailing):
            low, high = max(r - self.window // 2, leading), min(r + self.window // 2 + 1, trailing)
            unseen = trailing - leading - (high - low)
            seen = [*range(low, high)]
            for draw in range(min(self.random, unseen)):
                # Draw a place among the unseen blocks, then skip the seen ones before it, so that no draw is rejected.
                place = leading + mix(self.seed, r, draw) % (unseen - draw)
                before = bisect_right(range(len(seen)), place, key=lambda i: seen[i] - i)
                drawn[r, draw] = place + before
                seen.insert(before, place + before)
        return drawn

    def _between(self, rows: int) -> tuple[int, int]:
        """Return the first block that is not global, and the end of these blocks."""
        leading = min((self.globals + 1) // 2, rows)
        return leading, max(rows - self.globals // 2, leading)


def mix(*words: Any) -> Any:
    """Return a 64-bit hash of the words: SplitMix64 (Steele et al. 2014) applied to each in turn.

    The last word may be an array of uint64, which gives an array of hashes.
    """
    bits = 2**64 - 1
    state = 0
    for word in words:
        state = (state ^ word) + 0x9E3779B97F4A7C15 & bits
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & bits
        state = (state ^ state >> 27) * 0x94D049BB133111EB & bits
        state ^= state >> 31
    return state


VARIANT = Variant(BigBird, source="Zaheer et al. 2020, arXiv 2007.14062", examples=({"block": 8},))
