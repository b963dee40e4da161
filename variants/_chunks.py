"""Chunks of a sequence, for causal mechanisms in which a state sums what earlier keys wrote.

    O_n = Q_n S_n + tril(Q_n K_n^T) V_n,   S_0 = 0,   S_(n+1) = S_n + K_n^T V_n

A query of chunk n reads the state before its chunk, and the keys of its chunk up to itself. Memory is linear in N: a
state `D x D` for each chunk, and as many weights for each query as a chunk has tokens.

Tensors with chunks are named by letters: b batch, k key head, g query head of its group, n chunk, i query and j key of
the chunk, m feature, d and e places in a head.
"""

from typing import TYPE_CHECKING

from attnbench.variants._setting import Shape

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 64
"""Tokens of a chunk. At this head width, the products within chunks cost as much as those with the state."""


def width(n: int) -> int:
    """Return the tokens of a chunk of a sequence of n: a power of two."""
    return min(CHUNK, 1 << (n - 1).bit_length())


def padded(n: int) -> int:
    """Return the tokens of all chunks of a sequence of n."""
    return -(-n // width(n)) * width(n)


def cut(x: "Tensor") -> "Tensor":
    """Cut `B H N D` into chunks `B H n i D`; the last one ends with zeros."""
    import torch

    n = x.shape[2]
    missing = padded(n) - n
    filled = torch.nn.functional.pad(x, (0, 0, 0, missing)) if missing else x
    return torch.unflatten(filled, 2, (-1, width(n)))


def cut_groups(q: "Tensor", kv_heads: int) -> "Tensor":
    """Cut queries `B H N D` into chunks `b k g n i d`, by the key heads that they read."""
    import torch

    return torch.unflatten(cut(q), 1, (kv_heads, -1))


def join(x: "Tensor", n: int) -> "Tensor":
    """Return chunks `b k g n i d` as a sequence `B H N D` of n tokens."""
    return x.flatten(3, 4)[:, :, :, :n].flatten(1, 2)


def wide(*tensors: "Tensor") -> "tuple[Tensor, ...]":
    """Return tensors in float32, or in float64 if they are."""
    import torch

    return tuple(each.to(torch.promote_types(each.dtype, torch.float32)) for each in tensors)


def states(sums: "Tensor", fades: "Tensor") -> "Tensor":
    """Return the state before each chunk: the first is zero, then `S_(n+1) = fades_n S_n + sums_n`.

    Chunks lie along dimension -3. `fades` has the dtype of the states, and broadcasts to them.
    """
    import torch

    found = [torch.zeros_like(sums.select(-3, 0), dtype=fades.dtype)]
    for fade, added in zip(fades.unbind(-3)[:-1], sums.unbind(-3)[:-1], strict=True):
        found.append(fade * found[-1] + added)
    return torch.stack(found, dim=-3)


def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
    """Return `o_i = sum_j (q_i . k_j) v_j / sum_j q_i . k_j` over `j <= i`.

    Queries `B H N M` and keys `B K N M` hold M features of each token; values are `B K N D`, outputs `B H N D`.
    """
    import torch

    n = q.shape[2]
    q, k, v = cut_groups(q, k.shape[1]), cut(k), cut(v)
    weights = torch.einsum("bkgnim,bknjm->bkgnij", q, k).tril()
    sums, totals = _before(torch.einsum("bknjm,bknjd->bknmd", k, v)), _before(k.sum(dim=3))
    out = torch.einsum("bkgnij,bknjd->bkgnid", weights, v) + torch.einsum("bkgnim,bknmd->bkgnid", q, sums)
    total = weights.sum(dim=-1) + torch.einsum("bkgnim,bknm->bkgni", q, totals)
    # Cut off what fills the last chunk before dividing: its totals are zero.
    return join(out, n) / join(total.unsqueeze(-1), n)


def flops(shape: Shape, features: int) -> int:
    """Return the FLOPs forward of `attend`, with this number of features."""
    queries, keys = (shape.batch * heads * padded(shape.seq_len) for heads in (shape.heads, shape.kv_heads))
    inside = width(shape.seq_len) * (features + shape.head_dim)
    return 2 * (queries * (inside + features * (shape.head_dim + 1)) + keys * features * shape.head_dim)


def _before(sums: "Tensor") -> "Tensor":
    """Return the sums over all earlier chunks, along dimension 2."""
    import torch

    earlier = torch.cat([torch.zeros_like(sums[:, :, :1]), sums[:, :, :-1]], dim=2)
    return earlier.cumsum(dim=2, dtype=torch.promote_types(sums.dtype, torch.float32)).to(sums.dtype)


def summed(k: "Tensor", v: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return what `attend` needs of earlier keys `B K N M` and values `B K N D`: `B K M D`, and the sum of keys."""
    k, v = wide(k, v)
    return k.transpose(-2, -1) @ v, k.sum(dim=-2)


def step(before: "tuple[Tensor, ...]", after: "tuple[Tensor, ...]", q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
    """Return `attend`'s output `B H 1 D` of one more token, from what was `summed` before; write the sums with it."""
    import torch

    dtype, heads = v.dtype, q.shape[1]
    q, k, v = wide(q, k, v)
    torch.addcmul(before[0], k.transpose(-2, -1), v, out=after[0])
    torch.add(before[1], k.squeeze(-2), out=after[1])
    q = grouped(q, k.shape[1])
    return (q @ after[0] / (q @ after[1].unsqueeze(-1))).view(-1, heads, 1, v.shape[-1]).to(dtype)


def step_flops(shape: Shape, features: int) -> int:
    """Return the FLOPs of `step`, with this number of features."""
    of_queries, of_keys = shape.heads * (shape.head_dim + 1), shape.kv_heads * shape.head_dim
    return 2 * shape.batch * features * (of_queries + of_keys)


def grouped(q: "Tensor", kv_heads: int) -> "Tensor":
    """Return the queries `B H 1 D` of one token by the key heads that they read: `B K G D`."""
    return q.reshape(q.shape[0], kv_heads, -1, q.shape[-1])
