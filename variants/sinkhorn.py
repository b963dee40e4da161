"""Sinkhorn attention: a query sees its own block of keys, and a mixture of all blocks that a soft permutation gives.

    O_a = softmax(Q_a [K'_a, K_a]^T / sqrt(D)) [V'_a, V_a],   K'_a = sum_b P_ab K_b,   V'_a = sum_b P_ab V_b
    P = balance(exp(R / temperature)),   R_ab = mean(Q_a) . mean(K_b) / sqrt(D)

Q_a, K_a and V_a are blocks of `block` rows. `balance` divides rows, then columns, by their sums, `iterations` times. R
has no learned weights and no Gumbel noise. Tokens that a short last block lacks count as zeros in a mixture.

When causal, P_ab is 0 unless b < a, so the first block sees only itself. mean(Q_a) is then the mean of all queries up
to the first one of block a, and the sum of a column ends at the row that is divided, because later rows depend on later
tokens. Cost: 8 N block D FLOPs forward for one head, and 4 N^2 D / block for the mixtures; the same when causal.

R is that of the package sinkhorn-transformer, which balances (max(R, 0) + 1e-6)^(1 / temperature), mixes keys where
values should be, adds Gumbel noise, and does not balance when causal. The paper learns R from sums of blocks.

Source: Tay et al. 2020, arXiv 2002.11296, section 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_HIDDEN = -1e9
"""The logarithm of a forbidden element; -inf would give NaN in a row without any other."""


@dataclass(frozen=True)
class Sinkhorn(Parameters):
    """Queries see their own block and a mixture of all blocks."""

    block: int = parameter("tokens in a block", default=64, minimum=1)
    iterations: int = parameter("times that rows and columns are divided by their sums", default=7, minimum=1)
    temperature: float = parameter("above 0; a lower one makes the permutation harder", default=0.75, minimum=0)
    causal: bool = parameter("hide the keys after the query", default=False)

    def unsupported(self, n: int) -> str | None:
        """Refuse a temperature of 0."""
        del n
        return None if self.temperature > 0 else "a soft permutation needs a temperature above 0"


def reference(
    parameters: Sinkhorn, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Compute the formula block by block; return the outputs `B H R D` of the queries at `rows`."""
    del weights
    import torch
    from torch.nn.functional import pad

    n, block, causal = q.shape[2], min(parameters.block, q.shape[2]), parameters.causal
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    shares = _permutation(parameters, q, k, block)
    padded = (pad(each, (0, 0, 0, -n % block)) for each in (k, v))
    keys, values = (each.reshape(*each.shape[:2], -1, block, each.shape[-1]) for each in padded)
    own = rows // block
    out = torch.zeros_like(q[:, :, rows])
    for a in torch.unique(own).tolist():
        k, v = (
            torch.cat([torch.einsum("bha,bhajd->bhjd", shares[:, :, a], each), each[:, :, a]], dim=2)
            for each in (keys, values)
        )
        mine = rows[own == a][:, None]
        place = a * block + torch.arange(block, device=q.device)
        allowed = (place <= mine) if causal else (place < n).expand(len(mine), -1)
        mixed = torch.full_like(allowed, a > 0 or not causal)
        scores = q[:, :, mine[:, 0]] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~torch.cat([mixed, allowed], dim=1), -torch.inf)
        out[:, :, own == a] = scores.softmax(dim=-1) @ v
    return out


def _permutation(parameters: Sinkhorn, q: "Tensor", k: "Tensor", block: int) -> "Tensor":
    """Return P `B H blocks blocks` by its formula, for as many key heads as query heads."""
    import torch

    firsts = torch.arange(0, q.shape[2], block, device=q.device)
    few_q, few_k = (
        torch.stack([part.mean(dim=2) for part in torch.split(each, block, dim=2)], dim=2) for each in (q, k)
    )
    if parameters.causal:
        few_q = q.cumsum(dim=2)[:, :, firsts] / (firsts[:, None] + 1)
    p = (few_q @ few_k.transpose(-2, -1) / math.sqrt(q.shape[-1]) / parameters.temperature).exp()
    p = p.tril(-1) if parameters.causal else p
    for _ in range(parameters.iterations):
        p = _divided(p, p.sum(dim=-1, keepdim=True))
        p = _divided(p, p.cumsum(dim=-2) if parameters.causal else p.sum(dim=-2, keepdim=True))
    return p


def _divided(p: "Tensor", sums: "Tensor") -> "Tensor":
    """Divide by sums, of which those of no elements are zero."""
    return p / sums.masked_fill(sums == 0, 1)


def work(parameters: Sinkhorn, setting: Setting) -> Work:
    """Count the logits, the mixtures of keys and values, and the products of queries with two blocks of each."""
    shape, block = setting.shape, min(parameters.block, setting.shape.seq_len)
    blocks = -(-shape.seq_len // block)
    sorting = 2 * blocks**2 * (1 + 2 * block)
    attending = 2 * blocks * block * (2 * 2 * block)
    return of_products(shape.batch * shape.heads * shape.head_dim * (sorting + attending), setting.direction)


def build(parameters: Sinkhorn, setting: Setting, weights: Weights) -> Program:
    """Prepare the number of tokens of each block, and a mask of both blocks that a query sees."""
    del weights
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention

    shape, block, causal = setting.shape, min(parameters.block, setting.shape.seq_len), parameters.causal
    blocks = -(-shape.seq_len // block)
    missing, group = blocks * block - shape.seq_len, shape.heads // shape.kv_heads
    # The permutation is small, so in 16 bits it is computed in float32.
    wide = torch.promote_types(getattr(torch, setting.dtype), torch.float32)
    places = torch.arange(blocks * block, device=setting.device).view(blocks, block)
    counts = (places < shape.seq_len).sum(dim=1, keepdim=True)
    later = torch.ones(blocks, blocks, dtype=torch.bool, device=setting.device).triu()
    mask: Tensor | None = None
    if causal:
        own = places[:, None] <= places[..., None]
        mask = torch.cat([(places[:, :1, None] > 0).expand_as(own), own], dim=2)[None]
    elif missing:
        own = (places < shape.seq_len)[:, None]
        mask = torch.cat([torch.ones_like(own), own], dim=2)[None]

    def cut(x: "Tensor") -> "Tensor":
        """Cut `B H N D` into blocks `B H blocks block D`; the last one is filled up with zeros."""
        x = pad(x, (0, 0, 0, missing)) if missing else x
        return x.reshape(shape.batch, -1, blocks, block, shape.head_dim)

    def hidden(logits: "Tensor") -> "Tensor":
        """Forbid later blocks and the own one."""
        return logits.masked_fill(later, _HIDDEN) if causal else logits

    def permutation(q: "Tensor", k: "Tensor") -> "Tensor":
        """Return P `B K group*blocks blocks` for blocks of queries and keys."""
        sums, few_k = (each.sum(dim=3, dtype=wide) for each in (q, k))
        few_q = (sums.cumsum(dim=2) - sums + q[:, :, :, 0]) / (places[:, :1] + 1) if causal else sums / counts
        few_q = few_q.reshape(shape.batch, shape.kv_heads, group * blocks, shape.head_dim)
        logits = few_q @ (few_k / counts).transpose(-2, -1) / (math.sqrt(shape.head_dim) * parameters.temperature)
        logits = hidden(logits.view(shape.batch, shape.heads, blocks, blocks))
        for _ in range(parameters.iterations):
            logits = hidden(logits - logits.logsumexp(dim=-1, keepdim=True))
            sums = logits.logcumsumexp(dim=-2) if causal else logits.logsumexp(dim=-2, keepdim=True)
            logits = hidden(logits - sums)
        return logits.exp().to(q.dtype).view(shape.batch, shape.kv_heads, group * blocks, blocks)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k, v = cut(q), cut(k), cut(v)
        shares = permutation(q, k)
        each = (shape.batch * shape.heads, blocks, block, shape.head_dim)

        def seen(x: "Tensor") -> "Tensor":
            """Return the mixture and the own block of each block of queries, `B*H blocks 2block D`."""
            mixed = (shares @ x.flatten(3)).view(each)
            own = x.unsqueeze(2).expand(-1, -1, group, -1, -1, -1).reshape(each)
            return torch.cat([mixed, own], dim=2)

        out = scaled_dot_product_attention(q.reshape(each), seen(k), seen(v), mask)
        return out.reshape(shape.batch, shape.heads, -1, shape.head_dim)[:, :, : shape.seq_len]

    prepared = sum(each.nbytes for each in (places, counts, later, mask) if each is not None)
    return Program(attend, prepared_bytes=prepared)


VARIANT = Variant(
    Sinkhorn,
    source="Tay et al. 2020, arXiv 2002.11296",
    family="by content",
    build=build,
    reference=reference,
    work=work,
    examples=(
        {"block": 16},
        {"block": 5, "iterations": 2, "temperature": 0.5},
        {"block": 16, "causal": True},
    ),
)
