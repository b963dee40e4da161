"""Routing Transformer: centroids take the queries and the keys nearest to them, and attention stays within a cluster.

    o_i = mean over the clusters c that took query i of sum_j softmax_j(s_ij) v_j   over the keys j that c took
    s_ij = q^_i . k^_j / sqrt(D),   x^ = LayerNorm(x) without scale and bias

Each of the `clusters` centroids takes the `window` queries x, and as many keys x, with the largest centroid . x^. So
clusters are equally large, and may overlap. The output of a query that none took is 0. Centroids are unit vectors, are
shared by the query heads of a key head, and are not learned from the output (in training they follow the means of their
tokens). If `causal`, queries are their own keys and see none after themselves. K is then ignored, and which tokens a
centroid takes still depends on later ones. Cost: 4 C w^2 D FLOPs forward for one head, C the clusters and w the window
(half if causal), and 2 N C D each for the choices of queries and keys.

The released code divides the sum over clusters by their number plus 0.01, and does not divide scores by sqrt(D). The
package routing-transformer adds 1e-5 to the number, scores queries and keys that are not normalised, and finds its
first centroids from its first inputs.

Source: Roy et al. 2020, arXiv 2003.05997, section 4.1 and algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Routing(Parameters):
    """Queries see the keys of the clusters that took them."""

    window: int = parameter("queries, and keys, of a cluster; all where there are fewer", default=128, minimum=1)
    clusters: int | None = parameter("centroids; null: N / window, rounded up", default=None, minimum=1)
    causal: bool = parameter("queries are their own keys and see none after themselves", default=False)

    def count(self, n: int) -> int:
        """Return the number of centroids of a head at length n."""
        return self.clusters or -(-n // self.window)


def weights(parameters: Routing, setting: Setting, generator: "Generator") -> Weights:
    """Draw centroids `[kv_heads, clusters, D]`, unit vectors; not learned."""
    import torch

    shape = setting.shape
    drawn = torch.randn(shape.kv_heads, parameters.count(shape.seq_len), shape.head_dim, generator=generator)
    return (torch.nn.functional.normalize(drawn, dim=-1),)


def options(
    parameters: Routing, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return how near queries and keys are to the centroids at `rows`, `B H R 2 N`, and how many of either are taken.

    If causal, only queries are taken: `B H R 1 N`.
    """
    del v
    import torch

    group = q.shape[1] // k.shape[1]
    centroids = weights[0][:, rows].repeat_interleave(group, dim=0)
    tokens = (q,) if parameters.causal else (q, k.repeat_interleave(group, dim=1))
    near = [centroids @ _normal(each).transpose(-2, -1) for each in tokens]
    return torch.stack(near, dim=3), min(parameters.window, q.shape[2])


def reference(
    parameters: Routing, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula with the tokens in `choice` `B H clusters 2 window`.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    del weights
    import torch

    group = q.shape[1] // v.shape[1]
    q = _normal(q)
    k = q if parameters.causal else _normal(k).repeat_interleave(group, dim=1)
    scores = q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    took = (choice[:, :, :, 0, :, None] == rows).any(dim=3).transpose(-2, -1)[..., None]
    # The keys of all clusters side by side, `B H R clusters window`.
    keys = choice[:, :, None, :, -1].expand(-1, -1, len(rows), -1, -1)
    inside = scores.gather(-1, keys.flatten(-2)).view(keys.shape)
    if parameters.causal:
        inside = inside.masked_fill(took & (keys > rows[:, None, None]), -torch.inf)
    shares = inside.softmax(dim=-1) * took / took.sum(dim=3, keepdim=True).clamp(min=1)
    by_key = torch.zeros_like(scores).scatter_add(-1, keys.flatten(-2), shares.flatten(-2))
    return by_key @ v.repeat_interleave(group, dim=1)


def choosers(parameters: Routing, n: int) -> int:
    """Clusters choose, and not queries."""
    return parameters.count(n)


def work(parameters: Routing, setting: Setting) -> Work:
    """Count the products of queries and keys within clusters, and in the forward those of tokens with centroids."""
    shape = setting.shape
    count, taken = parameters.count(shape.seq_len), min(parameters.window, shape.seq_len)
    pairs = taken * (taken + 1) // 2 if parameters.causal else taken**2
    attended = of_products(4 * shape.batch * shape.heads * count * pairs * shape.head_dim, setting.direction)
    heads = shape.heads + (0 if parameters.causal else shape.kv_heads)
    compared = 2 * shape.batch * heads * shape.seq_len * count * shape.head_dim
    return Work(attended.flops + compared * (setting.direction != "backward"))


def build(parameters: Routing, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    import torch
    from torch.nn.functional import embedding, scaled_dot_product_attention

    shape, (centroids,) = setting.shape, weights
    n, width, causal = shape.seq_len, shape.head_dim, parameters.causal
    count, taken = parameters.count(n), min(parameters.window, n)
    heads = shape.heads if causal else shape.kv_heads
    group = shape.heads // heads

    def nearest(x: "Tensor") -> "Tensor":
        """Return the tokens `B H clusters window` of normalised `B H N D` that the centroids take, in order."""
        with torch.no_grad():
            by_key_head = torch.unflatten(x, 1, (shape.kv_heads, -1))
            near: Tensor = centroids[:, None] @ by_key_head.transpose(-2, -1)
            return near.flatten(1, 2).topk(taken, sorted=False).indices.sort(dim=-1).values

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the tokens `B H clusters 2 window` that the centroids take, queries and keys."""
        del v
        with torch.no_grad():
            queries = nearest(_normal(q))
            if causal:
                return queries.unsqueeze(3)
            return torch.stack([queries, nearest(_normal(k)).repeat_interleave(group, dim=1)], dim=3)

    def rows(places: "Tensor") -> "Tensor":
        """Number tokens `B H clusters window` over batch and heads."""
        first = n * torch.arange(places[..., 0, 0].numel(), device=places.device)
        return places + first.view(*places.shape[:2], 1, 1)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q = _normal(q)
        queries = rows(nearest(q))
        if causal:
            k, v, keys = q, v.repeat_interleave(shape.heads // shape.kv_heads, dim=1), queries
        else:
            k = _normal(k)
            keys = rows(nearest(k))
        # Query heads of a group lie below each other: `(B K) clusters (G window) D`.
        grouped = torch.unflatten(queries, 1, (heads, group)).transpose(2, 3)
        some = embedding(grouped.flatten(0, 1), q.reshape(-1, width))
        few_k, few_v = (embedding(keys.flatten(0, 1), each.reshape(-1, width)) for each in (k, v))
        outs = scaled_dot_product_attention(some.flatten(2, 3), few_k, few_v, is_causal=causal)
        outs = outs.view(shape.batch, heads, count, group, taken, width).transpose(2, 3).reshape(-1, width)
        flat = queries.flatten()
        sums = q.new_zeros(q.numel() // width, width).index_add(0, flat, outs)
        times = flat.bincount(minlength=len(sums)).clamp(min=1)[:, None]
        return (sums / times).view(q.shape)

    return Program(attend, choice=choose)


def _normal(x: "Tensor") -> "Tensor":
    """Return tokens `... D` with mean 0 and length sqrt(D)."""
    from torch.nn.functional import layer_norm

    return layer_norm(x, x.shape[-1:])


VARIANT = Variant(
    Routing,
    source="Roy et al. 2020, arXiv 2003.05997",
    family="by content",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    choosers=choosers,
    examples=({"window": 16}, {"window": 8, "causal": True}, {"window": 10, "clusters": 3}),
)
