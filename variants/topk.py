"""Top-k attention: every query sees the keys with its largest scores, wherever they are.

    o_i = sum_j softmax_j(s_ij) v_j   over the `keys` keys j with the largest s_ij = q_i . k_j / sqrt(D)

The choice has no gradient. This version computes attention over all keys with a mask of the chosen ones. Cost: 2 N^2 D
FLOPs forward for one head to score all keys, and 2 N k D for the values; backward 8 N k D.

Source: Gupta et al. 2021, arXiv 2106.06899, section 2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_MOST_SCORES = 2**22
"""Most scores that are computed at once for the choice, which bounds its memory."""


@dataclass(frozen=True)
class TopK(Parameters):
    """Every query sees the `keys` keys that score highest."""

    keys: int = parameter("keys that a query sees; all of them where there are fewer", default=64, minimum=1)


def options(
    parameters: TopK, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return the scores `B H R N` of all keys, and how many keys are chosen."""
    del v, weights
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    return q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), min(parameters.keys, k.shape[2])


def reference(
    parameters: TopK, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula over the keys in `choice` `B H N k`; return outputs `B H R D` of the queries at `rows`."""
    import torch

    scores, _ = options(parameters, q, k, v, rows, weights)
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, choice[:, :, rows], True)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    return scores.masked_fill(~chosen, -torch.inf).softmax(dim=-1) @ v


def work(parameters: TopK, setting: Setting) -> Work:
    """Count one product for all scores, one for the values of chosen keys, and four backward over chosen keys."""
    shape = setting.shape
    each = 2 * shape.batch * shape.heads * shape.seq_len * shape.head_dim
    keys = min(parameters.keys, shape.seq_len)
    forward, backward = setting.direction != "backward", setting.direction != "forward"
    return Work(each * ((shape.seq_len + keys) * forward + 4 * keys * backward))


def build(parameters: TopK, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del weights
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    shape = setting.shape
    group, keys = shape.heads // shape.kv_heads, min(parameters.keys, shape.seq_len)
    height = max(1, _MOST_SCORES // (shape.batch * shape.heads * shape.seq_len))

    def parts(q: "Tensor") -> "Iterator[Tensor]":
        """Yield the queries, a few rows at a time."""
        return (q[:, :, at : at + height] for at in range(0, shape.seq_len, height))

    # `attend` and `choose` share this function, so that the reported choice is the one that attention uses.
    def chosen(q: "Tensor", k: "Tensor") -> "Tensor":
        """Return the keys `B H R k` that queries `B H R D` choose."""
        with torch.no_grad():
            by_key_head = q.reshape(shape.batch, shape.kv_heads, -1, shape.head_dim)
            scores = (by_key_head @ k.transpose(-2, -1)).view(*q.shape[:3], -1)
            return scores.topk(keys, sorted=False).indices

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the keys `B H N k` that every query chooses."""
        del v
        return torch.cat([chosen(part, k) for part in parts(q)], dim=2)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        outs = []
        for part in parts(q):
            mask = q.new_full((*part.shape[:3], k.shape[2]), -torch.inf).scatter_(-1, chosen(part, k), 0.0)
            outs.append(scaled_dot_product_attention(part, k, v, mask, enable_gqa=group > 1))
        return torch.cat(outs, dim=2)

    return Program(attend, choice=choose)


VARIANT = Variant(
    TopK,
    source="Gupta et al. 2021, arXiv 2106.06899",
    family="by content",
    build=build,
    reference=reference,
    work=work,
    options=options,
    examples=({"keys": 8}, {"keys": 1}),
)
