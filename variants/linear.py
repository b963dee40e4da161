"""Linear attention: feature maps replace the softmax, so keys and values are summed once for all queries.

    o_i = sum_j phi(q_i) . phi(k_j) v_j / sum_j phi(q_i) . phi(k_j),   phi(x) = elu(x) + 1,   j <= i if causal

The package linear-attention-transformer takes other features: a softmax over the places of a query, and over the keys.

Queries of a key head share one `D x D` matrix of sums, in causal attention one for each chunk of c = 64 tokens. Cost:
4 N D^2 FLOPs forward for one head, and 4 N c D more when causal.

Source: Katharopoulos et al. 2020, arXiv 2006.16236, sections 3.2 and 3.3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import (
    Decoding,
    Parameters,
    Setting,
    Variant,
    Weights,
    Work,
    _chunks,
    levels,
    of_products,
    parameter,
)
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Linear(Parameters):
    """Every query reads sums over all keys, or over those up to itself."""

    causal: bool = parameter("hide the keys after the query", default=False, later=True)

    def can_cross(self) -> bool:
        """Return whether it is not causal."""
        return not self.causal


def reference(parameters: Linear, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Compute the formula pair by pair; return the outputs `B H R D` of the queries at `rows`."""
    del weights
    import torch
    from torch.nn.functional import elu

    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    pairs = (elu(q[:, :, rows]) + 1) @ (elu(k) + 1).transpose(-2, -1)
    if parameters.causal:
        pairs = pairs.masked_fill(torch.arange(k.shape[2], device=k.device) > rows[:, None], 0.0)
    return pairs @ v / pairs.sum(dim=-1, keepdim=True)


def work(parameters: Linear, setting: Setting) -> Work:
    """Count the sums of each key's `D x D` products, each query's product with them, and its normalisation."""
    shape = setting.shape
    if parameters.causal:
        return of_products(_chunks.flops(shape, shape.head_dim), setting.direction)
    queries = shape.batch * shape.heads * shape.seq_len
    keys = shape.batch * shape.kv_heads * levels.keys(setting)
    return of_products(2 * shape.head_dim * (keys * shape.head_dim + queries * (shape.head_dim + 1)), setting.direction)


def build(parameters: Linear, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del weights
    from torch.nn.functional import elu

    if setting.dtype == "float16":
        raise NotImplementedError("sums over all keys overflow in float16")
    shape = setting.shape
    shared = (shape.batch, shape.kv_heads, -1, shape.head_dim)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k = elu(q) + 1, elu(k) + 1
        if parameters.causal:
            return _chunks.attend(q, k, v)
        summed, total = k.transpose(-2, -1) @ v, k.sum(dim=-2).unsqueeze(-1)
        q = q.reshape(shared)
        return (q @ summed / (q @ total)).view(shape.batch, shape.heads, shape.seq_len, shape.head_dim)

    return Program(attend)


def _state(parameters: Linear, q: "Tensor", k: "Tensor", v: "Tensor", weights: Weights) -> State:
    """Return the sums over tokens: `B K D D` of keys and values, `B K D` of keys."""
    del parameters, q, weights
    from torch.nn.functional import elu

    return _chunks.summed(elu(k) + 1, v)


def _step(parameters: Linear, setting: Setting, weights: Weights) -> Step:
    """Prepare nothing."""
    del parameters, weights
    from torch.nn.functional import elu

    if setting.dtype == "float16":
        raise NotImplementedError("sums over all keys overflow in float16")

    def step(before: State, after: State, q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map one query `B H 1 D`, key and value `B K 1 D` to its output `B H 1 D`."""
        return _chunks.step(before, after, elu(q) + 1, elu(k) + 1, v)

    return step


def _step_work(parameters: Linear, setting: Setting) -> Work:
    """Count what a token adds to the sums, and its query's product with them."""
    del parameters
    return Work(_chunks.step_flops(setting.shape, setting.shape.head_dim))


VARIANT = Variant(
    Linear,
    source="Katharopoulos et al. 2020, arXiv 2006.16236",
    family="kernel",
    build=build,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work),
    examples=({}, {"causal": True}),
)
