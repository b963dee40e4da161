"""Truncated (time-restricted) self-attention: a query sees `left` keys back and `right` keys ahead.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   c - left <= j < c + chunk + right,   c = chunk floor(i / chunk)

With chunk = 1, the default, c is the query: i - left <= j <= i + right. Streaming speech recognition computes a chunk
of frames at once, with `left` frames before the chunk and `right` frames after it. All three count tokens, as in
Emformer (segment, left and right context) and in icefall (`--chunk-size 16 --left-context-frames 128` is `chunk: 16,
left: 128, right: 0`). WeNet counts its left context in chunks: multiply by `chunk`. Emformer's memory vectors belong to
its layer. Keys per query: left + chunk + right. Cost: 4 (left + chunk + right) N D FLOPs forward for one head. A stack
of E layers looks E right ahead, with chunks further: each layer then sees whole chunks.

Source: Povey et al. 2018, "A time-restricted self-attention layer for ASR", section 2; Yeh et al. 2019, arXiv
1910.12977, section 2.4; chunks: Shi et al. 2021, arXiv 2010.10759, section 2.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Truncated(Pattern):
    """Query i sees its chunk, `left` keys before the chunk and `right` keys after it."""

    # By default a query sees 512 keys, as in local_window and block_local.
    left: int | None = parameter("keys before the query's chunk; null: all of them", default=448, minimum=0)
    right: int | None = parameter("keys after the query's chunk; null: all of them", default=63, minimum=0)
    chunk: int = parameter("tokens that see the same keys; 1: each query by itself", default=1, minimum=1, later=True)

    def spans(self, n: int) -> Spans:
        """Return one span for each query."""
        first = np.arange(n) // self.chunk * self.chunk
        start = 0 if self.left is None else first - self.left
        stop = n if self.right is None else first + self.chunk + self.right
        return Spans.of(n, (start, stop))


VARIANT = Variant(
    Truncated,
    source="Povey et al. 2018; Yeh et al. 2019, arXiv 1910.12977; Shi et al. 2021, arXiv 2010.10759",
    examples=({"left": 12, "right": 4}, {"left": 16, "right": 2, "chunk": 8}),
)
