"""Gated linear attention (GLA): a state sums keys and values, and each place of the key forgets by its own gate.

    S_t = diag(alpha_t) S_(t-1) + k_t v_t^T,   o_t = S_t^T q_t / sqrt(D),   alpha_t = sigmoid(k_t A B + b)^(1/16)

A `[D, rank]`, B `[rank, D]` and b `[D]` are learned for each key head; the paper's layer computes gates from its input
instead of its keys. It is causal; the paper's gate of outputs and its norm belong to the layer. Without them outputs
are sums and no means, so `error_vs_full` may be far above 1. The scale 1 / sqrt(D) is that of the authors' code,
flash-linear-attention. Computed in float32.

Within chunks of c = 64 tokens, the weight of a pair is sum_d q_id k_jd exp(g_id - g_jd), with g the running sum of log
alpha. It is split at a token between i and j, by halves of halves of the chunk, so that no exponent is positive. Cost:
4 N D^2 + 3 N c D FLOPs forward for one head, and 4 N D rank for the gates.

Source: Yang et al. 2023, arXiv 2312.06635, sections 4.1 to 4.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attnbench.variants import Decoding, Parameters, Setting, Variant, Weights, Work, _chunks, of_products, parameter
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_TEMPERATURE = 16
"""The root that is taken of a gate, so that it is near 1."""


@dataclass(frozen=True)
class GatedLinear(Parameters):
    """A state forgets by gates that depend on the keys."""

    causal: ClassVar[bool] = True
    rank: int = parameter("width between the two projections of the gates", default=16, minimum=1)


def weights(parameters: GatedLinear, setting: Setting, generator: "Generator") -> Weights:
    """Draw A `[K, D, rank]`, B `[K, rank, D]` and b `[K, D]`, all learned; gates' logits are of order 1."""
    import torch

    heads, d, rank = setting.shape.kv_heads, setting.shape.head_dim, parameters.rank
    sizes = ((heads, d, rank), d), ((heads, rank, d), rank), ((heads, d), 1)
    return tuple(torch.nn.Parameter(torch.randn(size, generator=generator) * many**-0.5) for size, many in sizes)


def reference(
    parameters: GatedLinear, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Follow the recurrence; return the outputs `B H R D` of the queries at `rows`, which must rise.

    Tokens between two rows are added to the state together, each with the product of the gates after it.
    """
    del parameters
    import torch

    dtype = q.dtype
    q, k, v, *learned = _chunks.wide(q, k, v, *weights)
    written = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v, log_gates(k, learned)))
    sizes = rows.diff(prepend=rows.new_tensor([-1])).tolist()
    # Splits, and no slices: the gradient of each slice would be as large as the whole.
    parts = (torch.split(each[:, :, : sum(sizes)], sizes, dim=2) for each in written)
    state = q.new_zeros(*q.shape[:2], q.shape[-1], q.shape[-1])
    outs = []
    for query, keys, values, gates in zip(torch.split(q[:, :, rows], 1, dim=2), *parts, strict=True):
        since = gates.flip(2).cumsum(dim=2).flip(2)
        fading = since[:, :, :1].exp().transpose(-2, -1)
        state = fading * state + (keys * (since - gates).exp()).transpose(-2, -1) @ values
        outs.append(query @ state)
    return (torch.cat(outs, dim=2) / math.sqrt(q.shape[-1])).to(dtype)


def work(parameters: GatedLinear, setting: Setting) -> Work:
    """Count the gates, the products within chunks, each chunk's sum, and each query's product with a state."""
    shape, d = setting.shape, setting.shape.head_dim
    width, padded = _chunks.width(shape.seq_len), _chunks.padded(shape.seq_len)
    # Halves of 1, 2, 4, ... tokens: in all, a query meets half of its chunk's other tokens.
    of_queries = shape.heads * padded * (d * (width - 1) + 2 * d * width + 2 * d * d)
    of_keys = shape.kv_heads * (padded * 2 * d * d + shape.seq_len * 4 * d * parameters.rank)
    return of_products(shape.batch * (of_queries + of_keys), setting.direction)


def build(parameters: GatedLinear, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del parameters
    import torch

    shape = setting.shape

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        dtype = q.dtype
        q, k, v, *learned = _chunks.wide(q, k, v, *weights)
        faded = _chunks.cut(log_gates(k, learned)).cumsum(dim=3)
        q, k, v = _chunks.cut_groups(q / math.sqrt(shape.head_dim), shape.kv_heads), _chunks.cut(k), _chunks.cut(v)
        over = faded[:, :, :, -1:]
        sums = torch.einsum("bknjd,bknje->bknde", k * (over - faded).exp(), v)
        states = _chunks.states(sums, over.exp().transpose(-2, -1))
        out = torch.einsum("bkgnij,bknje->bkgnie", _pairs(q, k, faded), v)
        out = out + torch.einsum("bkgnid,bknde->bkgnie", q * faded.exp().unsqueeze(2), states)
        return _chunks.join(out, shape.seq_len).to(dtype)

    return Program(attend)


def log_gates(k: "Tensor", weights: "Sequence[Tensor]") -> "Tensor":
    """Return the logarithms `B K N D` of the gates of keys."""
    from torch.nn.functional import logsigmoid

    down, up, bias = weights
    return logsigmoid(k @ down @ up + bias.unsqueeze(1)) / _TEMPERATURE


def _pairs(q: "Tensor", k: "Tensor", faded: "Tensor") -> "Tensor":
    """Return `sum_d q_id k_jd exp(faded_id - faded_jd)` for `j <= i`, else 0: `b k g n i j`.

    Begin with blocks of one token, and join two blocks to one of twice the length until a block is the chunk. Between
    the later and the earlier of two blocks, the exponent is split at the last token of the earlier.
    """
    import torch
    from torch.nn.functional import pad

    found = (q * k.unsqueeze(2)).sum(dim=-1)[..., None, None]
    half = 1
    while half < q.shape[-2]:
        (_, queries), (keys, _), (earlier, later) = (_halves(each, half) for each in (q, k, faded))
        split = earlier[..., -1:, :]
        queries, keys = queries * (later - split).exp().unsqueeze(2), keys * (split - earlier).exp()
        across = torch.einsum("bkgnpid,bknpjd->bkgnpij", queries, keys)
        first, second = torch.unflatten(found, -3, (-1, 2)).unbind(-3)
        found = torch.cat([pad(first, (0, half)), torch.cat([across, second], dim=-1)], dim=-2)
        half *= 2
    return found.squeeze(-3)


def _halves(x: "Tensor", tokens: int) -> "tuple[Tensor, ...]":
    """Return the earlier and the later of every two blocks of so many tokens, of `... i D`: twice `... p i D`."""
    import torch

    return torch.unflatten(x, -2, (-1, 2, tokens)).unbind(-3)


def _state(parameters: GatedLinear, q: "Tensor", k: "Tensor", v: "Tensor", weights: Weights) -> State:
    """Return S `B K D D` after the tokens: keys and values, each with the product of the gates after it."""
    del parameters, q
    k, v, *learned = _chunks.wide(k, v, *weights)
    gates = log_gates(k, learned)
    since = gates.flip(2).cumsum(dim=2).flip(2)
    return ((k * (since - gates).exp()).transpose(-2, -1) @ v,)


def _step(parameters: GatedLinear, setting: Setting, weights: Weights) -> Step:
    """Prepare the weights in the dtype of the state."""
    del parameters
    import torch

    learned = _chunks.wide(*weights)
    scale = 1 / math.sqrt(setting.shape.head_dim)

    def step(before: State, after: State, q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map one query `B H 1 D`, key and value `B K 1 D` to its output `B H 1 D`."""
        like = q
        q, k, v = _chunks.wide(q, k, v)
        torch.mul(before[0], log_gates(k, learned).exp().transpose(-2, -1), out=after[0])
        after[0].addcmul_(k.transpose(-2, -1), v)
        return (_chunks.grouped(q * scale, k.shape[1]) @ after[0]).view(like.shape).to(like.dtype)

    return step


def _step_work(parameters: GatedLinear, setting: Setting) -> Work:
    """Count the gates, each key head's product of key and value, and each query's product with a state."""
    shape, d = setting.shape, setting.shape.head_dim
    of_keys = shape.kv_heads * (2 * d * d + 4 * d * parameters.rank)
    return Work(shape.batch * (of_keys + shape.heads * 2 * d * d))


VARIANT = Variant(
    GatedLinear,
    source="Yang et al. 2023, arXiv 2312.06635",
    family="recurrent",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work),
    examples=({}, {"rank": 1}),
)
