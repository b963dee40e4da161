"""Top-k attention: every query sees the keys with its largest scores, wherever they are.

    o_i = sum_j softmax_j(s_ij) v_j   over the `keys` keys j with the largest s_ij = q_i . k_j / sqrt(D)

The choice has no gradient. Cost: 2 N^2 D FLOPs forward for one head to score all keys, and 2 N k D for the values;
backward 8 N k D. Gradients of the scores are written into zeros for all keys here, so that the backward pass computes 4
N^2 D + 4 N k D.

Source: Gupta et al. 2021, arXiv 2106.06899, section 2.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_MOST_SCORES = {"cpu": 2**21, "cuda": 2**26}
"""Most scores that are computed at once. On a CPU they stay in its caches, and with fewer it uses one thread."""
_LEAST_ROWS = 64
"""With fewer rows, products of matrices are slow."""


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
    """Prepare the place of each key head's first value."""
    del weights
    import torch
    from torch.nn.functional import embedding_bag

    shape = setting.shape
    n, keys, heads = shape.seq_len, min(parameters.keys, shape.seq_len), shape.batch * shape.kv_heads
    # Key heads, and rows of each, whose scores are computed at once.
    few = min(heads, max(1, _MOST_SCORES[setting.device] // (_LEAST_ROWS * n)))
    height = max(_LEAST_ROWS, _MOST_SCORES[setting.device] // (few * n))
    first = n * torch.arange(heads, device=setting.device)[:, None, None]

    def scored(q: "Tensor", k: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the largest scores of queries `K R D` over keys `K D N`, and the keys that they belong to."""
        scores = q @ k
        places = largest(scores.detach(), keys)
        return scores.gather(-1, places), places

    # `attend` and `choose` share this function, so that the reported choice is the one that attention uses.
    def chosen(q: "Tensor", k: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return all queries' largest scores, and their keys: `(B K) (G N) k`."""
        q = (q / math.sqrt(shape.head_dim)).reshape(heads, -1, shape.head_dim)
        k = k.transpose(-2, -1).reshape(heads, shape.head_dim, n)
        found = []
        for some_q, some_k in zip(torch.split(q, few), torch.split(k, few), strict=True):
            parts = zip(*(scored(part, some_k) for part in torch.split(some_q, height, dim=1)), strict=True)
            found.append([torch.cat(each, dim=1) for each in parts])
        scores, places = (torch.cat(each) for each in zip(*found, strict=True))
        return scores, places

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the keys `B H N k` that every query chooses."""
        del v
        return chosen(q, k)[1].view(*q.shape[:3], keys)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        scores, places = chosen(q, k)
        # In float32 or wider, because gradients of a value are summed over all queries that see it.
        shares, values = (each.to(torch.promote_types(v.dtype, torch.float32)) for each in (scores, v))
        shares, values = shares.softmax(dim=-1).view(-1, keys), values.reshape(-1, shape.head_dim)
        # A weighted sum of rows of the values, which are not copied for each query.
        out = embedding_bag((places + first).view(-1, keys), values, mode="sum", per_sample_weights=shares)
        return out.view(q.shape).to(v.dtype)

    return Program(attend, prepared_bytes=first.nbytes, choice=choose)


def largest(scores: "Tensor", many: int) -> "Tensor":
    """Return the places of the `many` largest scores along the last dimension, in any order.

    The largest scores lie in the `many` groups whose own largest scores are largest. So only these are searched, and
    the maximum of each group, instead of all scores.
    """
    import torch
    from torch.nn.functional import pad

    n = scores.shape[-1]
    if n == many:
        return torch.arange(n, device=scores.device).expand_as(scores)
    if n < 4 * many:
        return scores.topk(many, sorted=False).indices
    # About sqrt(n / many) scores in a group, so that equally many maxima and scores are searched.
    size = 2 ** (math.isqrt(n // many).bit_length() - 1)
    groups = -(-n // size)
    if n < groups * size:
        scores = pad(scores, (0, groups * size - n), value=-torch.inf)
    # Place j lies in group j mod groups, so that the maxima of all groups are those of contiguous rows.
    grouped: Tensor = torch.unflatten(scores, -1, (size, groups))
    best = grouped.amax(dim=-2).topk(many, sorted=False).indices
    inside = grouped.gather(-1, best.unsqueeze(-2).expand(*best.shape[:-1], size, many)).flatten(-2)
    at = inside.topk(many, sorted=False).indices
    places: Tensor = at // many * groups + best.gather(-1, at % many)
    return places


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
