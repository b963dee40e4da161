"""YOSO-E: the weight of a pair is the probability that a random hash puts query and key into one bucket.

    o_i = u_i / |u_i|,   u_i = sum_j w_ij v_j,   w_ij = (1 - arccos(cos_ij) / pi)^tau
    cos_ij = q_i . k_j / (|q_i| |k_j|)

A hash says on which side of tau random planes a vector lies. The weights are no softmax, so outputs are divided by
their length. This is the expectation, which computes all pairs. YOSO itself hashes queries and keys some dozen times
and adds values up by bucket, in linear time, with kernels for CUDA that are not here. tau = 9 is the default of Hugging
Face, and of the authors' BERT; for Long Range Arena they take 10 to 12.

The derivative of arccos has no bound at -1 and 1. Gradients are those of the formula, with cosines cut at 1e-6 from
both. Hugging Face's have tau / 2 times the weight in place of the weight's derivative, the paper's lower bound of it;
the authors' second version multiplies cosines by 0.98. Keys per query: N. Cost: 4 N^2 D FLOPs forward for one head;
arccos and the power take longer.

Source: Zeng et al. 2021, arXiv 2111.09714, section 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_MOST = 1 - 1e-6
"""The largest cosine."""
_MOST_SCORES = {"cpu": 2**19, "cuda": 2**26}
"""Most weights that are computed at once. On a CPU they stay in its caches."""


@dataclass(frozen=True)
class Yoso(Parameters):
    """Every query sees every key, by the angle between them."""

    tau: int = parameter("planes of a hash", default=9, minimum=1)


def reference(parameters: Yoso, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Compute the formula; return the outputs `B H R D` of the queries at `rows`."""
    del weights
    k, v = (each.repeat_interleave(q.shape[1] // each.shape[1], dim=1) for each in (k, v))
    q = q[:, :, rows]
    cosines = (q / q.norm(dim=-1, keepdim=True)) @ (k / k.norm(dim=-1, keepdim=True)).mT
    near = 1 - cosines.clamp(-_MOST, _MOST).arccos() / math.pi
    summed = (near / _largest(near)) ** parameters.tau @ v
    out: Tensor = summed / summed.norm(dim=-1, keepdim=True)
    return out


def work(parameters: Yoso, setting: Setting) -> Work:
    """Count the products of all pairs, and of their weights with values."""
    del parameters
    shape = setting.shape
    return of_products(4 * shape.batch * shape.heads * shape.seq_len**2 * shape.head_dim, setting.direction)


def build(parameters: Yoso, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del weights
    import torch
    from torch.nn.functional import normalize

    shape, n = setting.shape, setting.shape.seq_len
    dtype = getattr(torch, setting.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    height = max(1, _MOST_SCORES[setting.device] // (shape.batch * shape.heads * n))

    def weighted(q: "Tensor", k: "Tensor") -> "Tensor":
        """Return the weights `B K GR N` of queries `B K GR D` and keys `B K N D` of length 1."""
        cosines = (q @ k.mT).to(wide).clamp(-_MOST, _MOST)
        near = 1 - cosines.arccos() / math.pi
        return (near / _largest(near)).pow(parameters.tau).to(dtype)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k = normalize(q, dim=-1), normalize(k, dim=-1)
        q = torch.unflatten(q, 1, (shape.kv_heads, -1))
        outs = []
        for first in range(0, n, height):
            part = q[:, :, :, first : first + height]
            summed = weighted(part.flatten(2, 3), k) @ v
            outs.append(torch.unflatten(summed, 2, part.shape[2:4]))
        return normalize(torch.cat(outs, dim=3).flatten(1, 2), dim=-1)

    return Program(attend)


def _largest(near: "Tensor") -> "Tensor":
    """Return the largest number of each row. Divided by it, which cancels, a row keeps weights when tau is large."""
    return near.detach().amax(dim=-1, keepdim=True)


VARIANT = Variant(
    Yoso,
    source="Zeng et al. 2021, arXiv 2111.09714",
    build=build,
    reference=reference,
    work=work,
    examples=({}, {"tau": 1}),
)
