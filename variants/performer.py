"""Performer (FAVOR+): positive random features approximate the softmax, so keys and values are summed once.

    O = diag(Q' (K'^T 1))^-1 Q' (K'^T V),   x' = (exp(W x - |x|^2 / 2 - c) + eps) / sqrt(m),   x scaled by D^-1/4

W holds m = `features` random rows, orthogonal in blocks of D, with the lengths of Gaussian rows; it is not learned. c,
the largest exponent of each query and of all keys, prevents overflow and cancels except for eps = 1e-4. Cost: 4 N m D
FLOPs forward for one head, and 2 N m D each for the features of queries and keys.

Source: Choromanski et al. 2021, arXiv 2009.14794, sections 2.3 and 2.4.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_EPS = 1e-4


@dataclass(frozen=True)
class Performer(Parameters):
    """The weight of a pair is a dot product of `features` random features."""

    features: int = parameter("random features", default=256, minimum=1)


def weights(parameters: Performer, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[m, D]`: blocks of orthogonal rows, each as long as a Gaussian row; not learned."""
    import torch

    d, m = setting.shape.head_dim, parameters.features
    blocks = [torch.linalg.qr(torch.randn(d, d, generator=generator))[0] for _ in range(-(-m // d))]
    lengths = torch.randn(m, d, generator=generator).norm(dim=1, keepdim=True)
    return (torch.cat(blocks)[:m] * lengths,)


def reference(
    parameters: Performer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Compute the formula pair by pair; return the outputs `B H R D` of the queries at `rows`."""
    del parameters
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    (w,) = weights
    pairs = _features(q[:, :, rows], w, (-1,)) @ _features(k, w, (-2, -1)).transpose(-2, -1)
    return pairs @ v / pairs.sum(dim=-1, keepdim=True)


def work(parameters: Performer, setting: Setting) -> Work:
    """Count the features of queries and keys, the sums of keys and values, and the queries' products with them."""
    shape = setting.shape
    queries, keys = (shape.batch * heads * shape.seq_len for heads in (shape.heads, shape.kv_heads))
    features = 2 * parameters.features * shape.head_dim * (queries + keys)
    return of_products(features + 2 * parameters.features * queries, setting.direction, fixed_flops=features)


def build(parameters: Performer, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del parameters
    if setting.dtype == "float16":
        raise NotImplementedError("sums over all keys overflow in float16")
    (w,) = weights
    shape = setting.shape

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k = _features(q, w, (-1,)), _features(k, w, (-2, -1))
        q = q.reshape(shape.batch, shape.kv_heads, -1, q.shape[-1])
        summed, total = k.transpose(-2, -1) @ v, k.sum(dim=-2).unsqueeze(-1)
        return (q @ summed / (q @ total)).view(shape.batch, shape.heads, shape.seq_len, shape.head_dim)

    return Program(attend)


def _features(x: "Tensor", w: "Tensor", over: tuple[int, ...]) -> "Tensor":
    """Return features `B H N m` of vectors `B H N D`; the largest exponent over the dimensions `over` becomes 0."""
    x = x / math.sqrt(math.sqrt(x.shape[-1]))
    exponents = x @ w.transpose(0, 1)
    largest = exponents.detach().amax(dim=over, keepdim=True)
    positive = (exponents - (x**2).sum(dim=-1, keepdim=True) / 2 - largest).exp() + _EPS
    return positive / math.sqrt(w.shape[0])


VARIANT = Variant(
    Performer,
    source="Choromanski et al. 2021, arXiv 2009.14794",
    family="kernel",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    examples=({"features": 32}, {"features": 7}),
)
