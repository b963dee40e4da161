"""Nystromformer: softmax attention approximated through landmarks, the means of segments of queries and keys.

    O = softmax(Q K~^T / sqrt(D)) Z softmax(Q~ K^T / sqrt(D)) V,   Z = pinv(softmax(Q~ K~^T / sqrt(D)))

Q~ and K~ hold m = `landmarks` means each; N must be a multiple of m. The pseudoinverse takes `steps` iterations Z <- Z
(13 I - A Z (15 I - A Z (7 I - A Z))) / 4, from Z = A^T / (|A|_1 |A|_inf). The package nystrom-attention, and Hugging
Face's class by default, take the largest norms of all heads and batch entries together; `hf_nystromformer` is that
class with the norms of each head. The paper's convolution of values belongs to the layer. Cost: 8 N m D + 4 m^2 D + 8
steps m^3 FLOPs forward for one head.

Source: Xiong et al. 2021, arXiv 2102.03902, section 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Nystromformer(Parameters):
    """Queries and keys meet at `landmarks` means of segments."""

    landmarks: int = parameter("segments of the sequence, each with one mean", default=64, minimum=1)
    steps: int = parameter("iterations of the pseudoinverse", default=6, minimum=1)

    def unsupported(self, n: int) -> str | None:
        """Refuse lengths that do not split into equal segments."""
        if n % self.landmarks == 0:
            return None
        return f"segments of equal length need seq_len as a multiple of landmarks, found {n} and {self.landmarks}"

    def near(self, n: int) -> tuple[Self, int]:
        """Return a multiple of the landmarks near n."""
        return self, max(1, n // self.landmarks) * self.landmarks


def reference(
    parameters: Nystromformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Multiply the formula out from the left; return the outputs `B H R D` of the queries at `rows`."""
    del weights
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    few_q, few_k = (_means(each, parameters.landmarks) for each in (q, k))
    inverse = _pseudoinverse(_softmax(few_q, few_k), parameters.steps)
    return _softmax(q[:, :, rows], few_k) @ inverse @ _softmax(few_q, k) @ v


def work(parameters: Nystromformer, setting: Setting) -> Work:
    """Count the scores of both sides with the landmarks, the pseudoinverse, and the products of the three with V."""
    shape, m = setting.shape, parameters.landmarks
    tall = 2 * shape.seq_len * m * (4 * shape.head_dim)
    square = 2 * m * m * (2 * shape.head_dim) + parameters.steps * 4 * 2 * m**3
    return of_products(shape.batch * shape.heads * (tall + square), setting.direction)


def build(parameters: Nystromformer, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del weights
    repeats = setting.shape.heads // setting.shape.kv_heads

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        if repeats > 1:
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        few_q, few_k = _means(q, parameters.landmarks), _means(k, parameters.landmarks)
        inverse = _pseudoinverse(_softmax(few_q, few_k), parameters.steps)
        # Multiply from the right: every intermediate result is then only as wide as a head.
        return _softmax(q, few_k) @ (inverse @ (_softmax(few_q, k) @ v))

    return Program(attend)


def _means(x: "Tensor", many: int) -> "Tensor":
    """Return the means of `many` segments of `B H N D`."""
    return x.reshape(*x.shape[:2], many, -1, x.shape[-1]).mean(dim=3)


def _softmax(q: "Tensor", k: "Tensor") -> "Tensor":
    """Return the attention weights of queries over keys."""
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)


def _pseudoinverse(a: "Tensor", steps: int) -> "Tensor":
    """Return an iterated pseudoinverse of `B H m m`."""
    import torch

    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    norms = a.abs().sum(dim=-2).amax(dim=-1) * a.abs().sum(dim=-1).amax(dim=-1)
    z = a.transpose(-2, -1) / norms[..., None, None]
    for _ in range(steps):
        az = a @ z
        z = z @ (13 * identity - az @ (15 * identity - az @ (7 * identity - az))) / 4
    return z


VARIANT = Variant(
    Nystromformer,
    source="Xiong et al. 2021, arXiv 2102.03902",
    family="low rank",
    build=build,
    reference=reference,
    work=work,
    examples=({"landmarks": 16}, {"landmarks": 1, "steps": 2}),
)
