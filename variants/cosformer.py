"""cosFormer: linear attention with ReLU features, in which the weight of a pair falls with its distance like a cosine.

    o_i = sum_j w_ij v_j / max(sum_j w_ij, eps),   w_ij = relu(q_i) . relu(k_j) cos(pi (i - j) / 2N)

cos(a - b) = cos a cos b + sin a sin b, so w_ij is a dot product of vectors of width 2D, and keys and values are summed
once. If all w_ij of a query are 0, its output is 0; eps = 1e-6, as in the released code. When causal, j <= i, and sums
run over chunks of c = 64 tokens. The ReLU is no choice to be checked: rounding cannot change the sign of an input.
Inputs of 16 bits are computed in float32, because sums over all keys overflow in float16, and gradients of queries with
few positive elements are inexact in bfloat16. Cost: 8 N D^2 FLOPs forward for one head, when causal 6 N c D more.

Source: Qin et al. 2022, arXiv 2202.08791, section 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-6
_CHUNK = 64
"""Tokens of a causal chunk, within which every pair is computed."""


@dataclass(frozen=True)
class Cosformer(Parameters):
    """The weight of a pair is a dot product of ReLU features, times a cosine of its distance."""

    causal: bool = parameter("hide the keys after the query", default=False)


def options(
    parameters: Cosformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return both sides of each number of queries and keys, `B H R 2D 2`: the ReLU keeps the first or none."""
    del parameters, v, weights
    import torch

    both = torch.cat([q, k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)], dim=-1)[:, :, rows]
    return torch.stack([both, -both], dim=-1), 1


def reference(
    parameters: Cosformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula pair by pair with the sides in `choice` `B H N 2D 1`.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    del weights
    import torch

    dtype, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
    q, k, v = (each.to(wide).repeat_interleave(q.shape[1] // each.shape[1], dim=1) for each in (q, k, v))
    apart = rows[:, None] - torch.arange(q.shape[2], device=q.device)
    near = (apart.double() * (math.pi / 2 / q.shape[2])).cos().to(wide)
    kept_q, kept_k = (choice[..., 0] == 0).to(wide).chunk(2, dim=-1)
    pairs = (q * kept_q)[:, :, rows] @ (k * kept_k).transpose(-2, -1) * near
    if parameters.causal:
        pairs = pairs.masked_fill(apart < 0, 0)
    return (pairs @ v / pairs.sum(dim=-1, keepdim=True).clamp(min=_EPS)).to(dtype)


def work(parameters: Cosformer, setting: Setting) -> Work:
    """Count the sums of keys and values, the queries' products with them, and pairs within causal chunks."""
    shape, width = setting.shape, 2 * setting.shape.head_dim
    chunk = min(_CHUNK, shape.seq_len) if parameters.causal else shape.seq_len
    tokens = -(-shape.seq_len // chunk) * chunk
    queries, keys = (shape.batch * heads * tokens for heads in (shape.heads, shape.kv_heads))
    within = queries * chunk * (width + shape.head_dim) if parameters.causal else 0
    summed = keys * width * shape.head_dim + queries * width * (shape.head_dim + 1)
    return of_products(2 * (summed + within), setting.direction)


def build(parameters: Cosformer, setting: Setting, weights: Weights) -> Program:
    """Prepare the cosines and sines of all positions, and a causal mask of a chunk."""
    del weights
    import torch
    from torch.nn.functional import pad

    shape, n, dtype = setting.shape, setting.shape.seq_len, getattr(torch, setting.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    group, chunk = shape.heads // shape.kv_heads, min(_CHUNK, n)
    many = -(-n // chunk)
    angles = torch.arange(n, dtype=torch.float64, device=setting.device)[:, None] * (math.pi / 2 / n)
    cosines, sines = angles.cos().to(wide), angles.sin().to(wide)
    earlier = torch.ones(chunk, chunk, dtype=wide, device=setting.device).tril().repeat(group, 1)

    def features(x: "Tensor") -> "Tensor":
        """Return features `B H N 2D` of vectors `B H N D`."""
        x = x.to(wide).relu()
        return torch.cat([x * cosines, x * sines], dim=-1)

    def cut(x: "Tensor") -> "Tensor":
        """Cut `B H N F` into chunks `B K chunks group*chunk F`, with the queries of a key head together."""
        x = pad(x, (0, 0, 0, many * chunk - n)) if many * chunk > n else x
        x = x.reshape(shape.batch, shape.kv_heads, -1, many, chunk, x.shape[-1])
        return x.transpose(2, 3).flatten(3, 4)

    def before(sums: "Tensor") -> "Tensor":
        """Return the sum over all earlier chunks, `B K chunks 2D F`."""
        return pad(sums[:, :, :-1].cumsum(dim=2), (0, 0, 0, 0, 1, 0))

    def causally(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Attend within chunks and to the sums over earlier ones."""
        q, k, v = cut(features(q)), cut(features(k)), cut(v.to(wide))
        turned = k.transpose(-2, -1)
        pairs = q @ turned * earlier
        summed, total = before(turned @ v), before(turned.sum(dim=-1, keepdim=True))
        share = (pairs.sum(dim=-1, keepdim=True) + q @ total).clamp(min=_EPS)
        out = ((pairs @ v + q @ summed) / share).view(shape.batch, shape.kv_heads, many, group, chunk, shape.head_dim)
        return out.transpose(2, 3).reshape(shape.batch, shape.heads, -1, shape.head_dim)[:, :, :n].to(dtype)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k = features(q), features(k)
        q = q.reshape(shape.batch, shape.kv_heads, -1, q.shape[-1])
        summed, total = k.transpose(-2, -1) @ v.to(wide), k.sum(dim=-2).unsqueeze(-1)
        out = q @ summed / (q @ total).clamp(min=_EPS)
        return out.view(shape.batch, shape.heads, n, shape.head_dim).to(dtype)

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the sides `B H N 2D 1` of the ReLU."""
        del v
        return (torch.cat([q, k.repeat_interleave(group, dim=1)], dim=-1) <= 0).long().unsqueeze(-1)

    prepared = cosines.nbytes + sines.nbytes + parameters.causal * earlier.nbytes
    return Program(causally if parameters.causal else attend, prepared_bytes=prepared, choice=choose)


VARIANT = Variant(
    Cosformer,
    source="Qin et al. 2022, arXiv 2202.08791",
    family="kernel",
    build=build,
    reference=reference,
    work=work,
    options=options,
    examples=({}, {"causal": True}),
)
