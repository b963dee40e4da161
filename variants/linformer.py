"""Linformer: keys and values are projected along the sequence to a fixed number.

    O = softmax(Q (E K)^T / sqrt(D)) F V,   E, F in R^{k x N}

E and F are learned, shared by all heads, and fixed to one length; k is `projected`. Here they are drawn with variance 1
/ N. Cost: 8 N k D FLOPs forward for one head, half of it for the projections.

Source: Wang et al. 2020, arXiv 2006.04768, section 4.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Linformer(Parameters):
    """Every query sees `projected` mixtures of all keys."""

    projected: int = parameter("keys and values that are left", default=256, minimum=1)


def weights(parameters: Linformer, setting: Setting, generator: "Generator") -> Weights:
    """Draw E and F `[k, N]`, both learned."""
    import torch

    size = parameters.projected, setting.shape.seq_len
    drawn = (torch.randn(size, generator=generator) * setting.shape.seq_len**-0.5 for _ in range(2))
    return tuple(map(torch.nn.Parameter, drawn))


def reference(
    parameters: Linformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Compute the formula; return the outputs `B H R D` of the queries at `rows`."""
    del parameters
    e, f = weights
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (e @ k, f @ v))
    return (q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def work(parameters: Linformer, setting: Setting) -> Work:
    """Count two projections along the sequence, and attention of N queries over `projected` keys."""
    shape = setting.shape
    each = 4 * shape.batch * shape.seq_len * parameters.projected * shape.head_dim
    return of_products(each * (shape.kv_heads + shape.heads), setting.direction)


def build(parameters: Linformer, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del parameters
    from torch.nn.functional import scaled_dot_product_attention

    e, f = weights
    enable_gqa = setting.shape.kv_heads != setting.shape.heads

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return scaled_dot_product_attention(q, e @ k, f @ v, enable_gqa=enable_gqa)

    return Program(attend)


VARIANT = Variant(
    Linformer,
    source="Wang et al. 2020, arXiv 2006.04768",
    family="low rank",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    examples=({"projected": 16}, {"projected": 1}),
)
