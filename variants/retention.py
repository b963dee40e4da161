"""Retention: queries read a sum of keys and values that fades with distance, at a rate of the head.

    O = (Q K^T / sqrt(D) * F) V,   F_ij = gamma_h^(i - j) for j <= i, else 0,   gamma_h = 1 - 2^(-5 - h)

h = 0, 1, ... numbers the query heads. It is causal. The paper's rotation of queries and keys, its normalisation of
scores and its group norm belong to the layer. Without them outputs are sums and no means, so `error_vs_full` may be far
above 1. The sequence is cut into chunks of c = 64 tokens, with a state of `D x D` between them. Cost: 4 N D^2 + 4 N c D
FLOPs forward for one head.

Source: Sun et al. 2023, arXiv 2307.08621, section 2.1.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attnbench.variants import Decoding, Parameters, Setting, Variant, Weights, Work, _chunks, of_products
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Retention(Parameters):
    """Retention has no parameters: its number of heads fixes how fast each forgets."""

    causal: ClassVar[bool] = True


def reference(
    parameters: Retention, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Compute the formula pair by pair; return the outputs `B H R D` of the queries at `rows`."""
    del parameters, weights
    import torch

    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    fades = _fades(q.shape[1], rows[:, None] - torch.arange(k.shape[2], device=k.device)).to(q.dtype)
    return (q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) * fades) @ v


def work(parameters: Retention, setting: Setting) -> Work:
    """Count the products within chunks, those of each chunk's sum, and each query's product with a state."""
    del parameters
    shape = setting.shape
    queries = shape.batch * shape.heads * _chunks.padded(shape.seq_len)
    each = 2 * queries * shape.head_dim
    return of_products(2 * each * (_chunks.width(shape.seq_len) + shape.head_dim), setting.direction)


def build(parameters: Retention, setting: Setting, weights: Weights) -> Program:
    """Prepare how much fades between the tokens of a chunk, before them, after them, and over the whole chunk."""
    del parameters, weights
    import torch

    shape, dtype = setting.shape, getattr(torch, setting.dtype)
    n, width = shape.seq_len, _chunks.width(shape.seq_len)
    place = torch.arange(width, device=setting.device)

    def fades(apart: "Tensor", dtype: torch.dtype) -> "Tensor":
        """Return how much fades over distances `[I, J]`, as `k g 1 I J`."""
        return torch.unflatten(_fades(shape.heads, apart), 0, (shape.kv_heads, -1)).unsqueeze(2).to(dtype)

    scale = 1 / math.sqrt(shape.head_dim)
    between, before = (fades(apart, dtype) * scale for apart in (place[:, None] - place, place[:, None] + 1))
    after = fades(width - 1 - place[:, None], dtype)
    over = fades(torch.full((1, 1), width, device=setting.device), torch.promote_types(dtype, torch.float32))

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k, v = _chunks.cut_groups(q, shape.kv_heads), _chunks.cut(k), _chunks.cut(v)
        pairs = torch.einsum("bkgnid,bknjd->bkgnij", q, k) * between
        sums = torch.einsum("bkgnjd,bknje->bkgnde", k.unsqueeze(2) * after, v)
        states = _chunks.states(sums, over.expand(-1, -1, sums.shape[3], -1, -1)).to(dtype)
        out = torch.einsum("bkgnij,bknje->bkgnie", pairs, v)
        return _chunks.join(out + torch.einsum("bkgnid,bkgnde->bkgnie", q * before, states), n)

    return Program(attend, prepared_bytes=sum(each.nbytes for each in (between, before, after, over)))


def _fades(heads: int, apart: "Tensor") -> "Tensor":
    """Return each head's fading over integer distances, `[heads, ...]` in float64; 0 for a negative distance."""
    import torch

    rates = torch.log1p(-(2.0 ** -(5 + torch.arange(heads, dtype=torch.float64, device=apart.device))))
    return torch.where(apart < 0, 0.0, (rates.view(-1, *(1 for _ in apart.shape)) * apart).exp())


def _state(parameters: Retention, q: "Tensor", k: "Tensor", v: "Tensor", weights: Weights) -> State:
    """Return the sum `B H D D` of keys and values, each faded by its distance from the last token."""
    del parameters, weights
    import torch

    k, v = _chunks.wide(k, v)
    fades = _fades(q.shape[1], torch.arange(k.shape[2] - 1, -1, -1, device=k.device)).to(k.dtype)
    keys = k.unsqueeze(2) * torch.unflatten(fades, 0, (k.shape[1], -1)).unsqueeze(-1)
    return ((keys.transpose(-2, -1) @ v.unsqueeze(2)).flatten(1, 2),)


def _step(parameters: Retention, setting: Setting, weights: Weights) -> Step:
    """Prepare how much fades in a step."""
    del parameters, weights
    import torch

    shape = setting.shape
    wide = torch.promote_types(getattr(torch, setting.dtype), torch.float32)
    fades = _fades(shape.heads, torch.ones(1, 1, device=setting.device)).to(wide)
    scale = 1 / math.sqrt(shape.head_dim)

    def step(before: State, after: State, q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map one query `B H 1 D`, key and value `B K 1 D` to its output `B H 1 D`."""
        dtype = q.dtype
        q, k, v = _chunks.wide(q, k, v)
        torch.mul(before[0], fades, out=after[0])
        by_key_head = torch.unflatten(after[0], 1, (shape.kv_heads, -1))
        by_key_head.addcmul_(k.transpose(-2, -1).unsqueeze(2), v.unsqueeze(2))
        return ((q * scale) @ after[0]).to(dtype)

    return step


def _step_work(parameters: Retention, setting: Setting) -> Work:
    """Count each query head's product of key and value, and of the query with its state."""
    del parameters
    return Work(4 * setting.shape.batch * setting.shape.heads * setting.shape.head_dim**2)


VARIANT = Variant(
    Retention,
    source="Sun et al. 2023, arXiv 2307.08621",
    family="recurrent",
    build=build,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work),
)
