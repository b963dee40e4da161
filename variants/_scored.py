"""Patterns whose scores are modified before the softmax, and biases that a layer adds to scores.

o_i = sum_j softmax_j(f(s_ij) + b_ij) v_j,   s_ij = q_i . k_j / sqrt(D)   over the keys j that query i may see

f is the pattern's. b is 0, or a[h, clip(j - i, -R, R)] from a layer's table a of R numbers to either side, of head h.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from attnbench.variants._pattern import Pattern, Spans

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scored(Pattern):
    """A pattern whose scores are modified. A variant subclasses it and defines `modified`, which is f, beside `spans`.

    Implementations that do not modify scores refuse it.
    """

    adds: ClassVar[bool] = False
    """Whether f adds to a score what does not depend on it, so that an implementation may prepare it."""

    def modified(self, scores: "Tensor", head: "Tensor", i: "Tensor", j: "Tensor", heads: int) -> "Tensor":
        """Return the modified scores, in their dtype, of queries i and keys j in query head `head` of `heads`.

        All tensors broadcast. Each score is modified by itself, because `flex` compiles this into its kernel.
        """
        raise NotImplementedError

    def attention(self, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", spans: Spans | None = None) -> "Tensor":
        """Return the outputs `B H R D` of the queries at `rows`, as the formula says. This is the oracle.

        In a padded batch, `spans` are those of the pattern within a sequence. A query that sees no key has output 0.
        """
        return attention(self, q, k, v, None, rows, spans)


def attention(
    pattern: Pattern,
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    table: "Tensor | None",
    rows: "Tensor",
    spans: Spans | None = None,
) -> "Tensor":
    """Return the outputs `B H R D` of the queries at `rows`, with the biases of a `table` `[H, 2 R + 1]`, if given.

    This is the oracle. `spans` replace those of the pattern, if given.
    """
    import torch

    heads, n = q.shape[1], k.shape[2]
    k, v = (each.repeat_interleave(heads // each.shape[1], dim=1) for each in (k, v))
    allowed = (spans or pattern.spans(n)).allowed(rows.cpu().numpy()[:, None], np.arange(n))
    hidden = torch.from_numpy(~allowed).to(q.device)
    scores = q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    i, j = rows[:, None], torch.arange(n, device=q.device)
    if isinstance(pattern, Scored):
        scores = pattern.modified(scores, torch.arange(heads, device=q.device)[:, None, None], i, j, heads)
    if table is not None:
        # Gradients of a table are sums over all pairs, so they are summed in float32 or wider.
        wide, reach = table.to(torch.promote_types(table.dtype, torch.float32)), table.shape[1] // 2
        scores = scores + wide[:, (j - i).clamp(-reach, reach) + reach].to(scores.dtype)
    return scores.masked_fill(hidden, -torch.inf).softmax(dim=-1).masked_fill(hidden, 0.0) @ v
