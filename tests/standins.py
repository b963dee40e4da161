"""Stand-ins for packages that need a GPU: the same functions and signatures, computed on the CPU in dense attention."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import torch
from definitions import local_window
from torch import Tensor


def dense(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scale: float | None = None) -> Tensor:
    """Attention of tokens `B N H D` over the keys that a mask `N M` shows, in float32."""
    k, v = (each.repeat_interleave(q.shape[2] // k.shape[2], dim=2) for each in (k, v))
    scores = torch.einsum("bnhd,bmhd->bhnm", q.float(), k.float()) * (scale or q.shape[-1] ** -0.5)
    weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
    return torch.einsum("bhnm,bmhd->bnhd", weights, v.float()).to(q.dtype)


def window(n: int, left: int, right: int) -> Tensor:
    """The mask of keys `i - left .. i + right`; -1 is all of them."""
    apart = torch.arange(n) - torch.arange(n)[:, None]
    return (apart >= (-left if left >= 0 else -n)) & (apart <= (right if right >= 0 else n))


def blocks(ends: Sequence[int], left: int, right: int) -> Tensor:
    """The same within sequences that begin and end at `ends`."""
    seen = torch.zeros(ends[-1], ends[-1], dtype=torch.bool)
    for a, b in pairwise(ends):
        seen[a:b, a:b] = window(b - a, left, right)
    return seen


class Flash:
    """The functions of flash-attn; it keeps what it was given."""

    def __init__(self, returns_sums: bool = False) -> None:
        self.given: tuple[Tensor, ...] = ()
        self.told: dict[str, Any] = {}
        self._returns_sums = returns_sums

    def flash_attn_func(
        self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, window_size: tuple[int, int] = (-1, -1)
    ) -> Any:
        self.given, self.told = (q, k, v), {"causal": causal, "window_size": window_size}
        left, right = window_size
        out = dense(q, k, v, window(q.shape[1], left, 0 if causal else right))
        return (out, out.new_zeros(1)) if self._returns_sums else out

    def flash_attn_varlen_func(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
        *,
        causal: bool = False,
        window_size: tuple[int, int] = (-1, -1),
    ) -> Any:
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        assert max_seqlen_q == max_seqlen_k == int(cu_seqlens_q.diff().max())
        self.given = q, k, v
        left, right = window_size
        seen = blocks(cu_seqlens_q.tolist(), left, 0 if causal else right)
        return dense(q[None], k[None], v[None], seen)[0]


class BatchPrefillWithRaggedKVCacheWrapper:
    """That of flashinfer."""

    def __init__(self, float_workspace_buffer: Tensor, kv_layout: str = "NHD") -> None:
        assert (float_workspace_buffer.dtype, kv_layout) == (torch.uint8, "NHD")

    def plan(
        self,
        qo_indptr: Tensor,
        kv_indptr: Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        *,
        causal: bool = False,
        window_left: int = -1,
        q_data_type: torch.dtype = torch.float16,
    ) -> None:
        assert qo_indptr.dtype == kv_indptr.dtype == torch.int32
        self._seen = blocks(qo_indptr.tolist(), window_left, 0 if causal else -1)
        self._planned = num_qo_heads, num_kv_heads, head_dim_qk, q_data_type

    def run(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        assert self._planned == (q.shape[1], k.shape[1], q.shape[2], q.dtype)
        return dense(q[None], k[None], v[None], self._seen)[0].contiguous()


def parallel_attn(
    q: Tensor, k: Tensor, v: Tensor, *, window_size: int | None = None, cu_seqlens: Tensor | None = None
) -> Tensor:
    """That of flash-linear-attention."""
    assert cu_seqlens is None or (len(q), cu_seqlens.dtype) == (1, torch.int64)
    ends = [0, q.shape[1]] if cu_seqlens is None else cu_seqlens.tolist()
    return dense(q, k, v, blocks(ends, -1 if window_size is None else window_size - 1, 0)).contiguous()


def chunk_linear_attn(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, *, normalize: bool = True
) -> tuple[Tensor, None]:
    """That of flash-linear-attention: `q` and `k` are features."""
    assert q.is_contiguous()
    assert k.is_contiguous()
    assert normalize
    pairs = (torch.einsum("bnhd,bmhd->bhnm", q.float(), k.float()) * (scale or q.shape[-1] ** -0.5)).tril()
    out = torch.einsum("bhnm,bmhd->bnhd", pairs / pairs.sum(dim=-1, keepdim=True), v.float())
    return out.to(q.dtype), None


def chunk_retention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, None]:
    """That of flash-linear-attention."""
    n, heads = q.shape[1:3]
    apart = torch.arange(n)[:, None] - torch.arange(n)
    fades = (1 - 2.0 ** (-5 - torch.arange(heads))).view(-1, 1, 1) ** apart.clamp(min=0)
    pairs = torch.einsum("bnhd,bmhd->bhnm", q.float(), k.float()) * q.shape[-1] ** -0.5 * fades.tril()
    return torch.einsum("bhnm,bmhd->bnhd", pairs, v.float()).to(q.dtype), None


def chunk_gla(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, None]:
    """That of flash-linear-attention: `g` are logarithms of gates."""
    assert q.shape == k.shape == g.shape
    state = q.new_zeros(len(q), *q.shape[2:], v.shape[-1], dtype=torch.float32)
    outs = []
    for i in range(q.shape[1]):
        query, key, value = (each[:, i].float() for each in (q, k, v))
        state = state * g[:, i].exp()[..., None] + torch.einsum("bhd,bhe->bhde", key, value)
        outs.append(torch.einsum("bhd,bhde->bhe", query, state) * q.shape[-1] ** -0.5)
    return torch.stack(outs, dim=1).to(q.dtype), None


def chunk_gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, scale: float | None = None
) -> tuple[Tensor, None]:
    """That of flash-linear-attention: `g` are logarithms, `B N H`."""
    assert g.shape == beta.shape == q.shape[:3]
    state = q.new_zeros(len(q), *q.shape[2:], v.shape[-1], dtype=torch.float32)
    outs = []
    for i in range(q.shape[1]):
        query, key, value = (each[:, i].float() for each in (q, k, v))
        state = state * g[:, i, :, None, None].exp()
        written = beta[:, i, :, None] * (value - torch.einsum("bhd,bhde->bhe", key, state))
        state = state + torch.einsum("bhd,bhe->bhde", key, written)
        outs.append(torch.einsum("bhd,bhde->bhe", query, state) * (scale or q.shape[-1] ** -0.5))
    return torch.stack(outs, dim=1).to(q.dtype), None


def neighbourhoods(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kernel_size: tuple[int, ...],
    *,
    dilation: tuple[int, ...] = (1,),
    is_causal: tuple[bool, ...] = (False,),
) -> Tensor:
    """`na1d` and `na2d` of natten."""
    sides = query.shape[1:-2]
    seen = torch.ones(1, 1, dtype=torch.bool)
    for side, size, apart, causal in zip(sides, kernel_size, dilation, is_causal, strict=True):
        assert size > 1
        assert size * apart <= side
        kind = size, apart, "clip" if causal else "slide", causal
        mask = np.array([[local_window(i, j, side, *kind) for j in range(side)] for i in range(side)])
        seen = torch.kron(seen, torch.from_numpy(mask))
    q, k, v = (each.flatten(1, len(sides)) for each in (query, key, value))
    return dense(q, k, v, seen).view(query.shape)


@dataclass
class Mask:
    """A mask of xformers, as the two numbers of its window."""

    window_left: int = -1
    window_right: int = -1


def ending_mask(window_size: int) -> Mask:
    return Mask(window_size - 1, 0)


@dataclass
class Blocks:
    """`BlockDiagonalMask` of xformers."""

    q_seqinfo: Any
    right: int = -1

    @classmethod
    def from_seqlens(cls, q_seqlen: list[int], *, device: torch.device) -> Self:
        return cls(SimpleNamespace(seqstart=torch.tensor([0, *np.cumsum(q_seqlen)], dtype=torch.int32, device=device)))


class CausalBlocks(Blocks):
    """`BlockDiagonalCausalMask` of xformers."""

    right = 0


def memory_efficient_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_bias: Mask | Blocks | None = None
) -> Tensor:
    """That of xformers: it takes as many key heads as heads, or both as groups."""
    assert query.shape == key.shape == value.shape
    q, k, v = (each.flatten(2, -2) for each in (query, key, value))
    if isinstance(attn_bias, Blocks):
        assert len(q) == 1
        right = 0 if isinstance(attn_bias, CausalBlocks) else -1
        seen = blocks(attn_bias.q_seqinfo.seqstart.tolist(), -1, right)
    else:
        mask = attn_bias or Mask()
        seen = window(q.shape[1], mask.window_left, mask.window_right)
    return dense(q, k, v, seen).view(query.shape)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every package and a GPU for Hopper's kernels seem to be there; none is loaded."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))


def install(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a stand-in in the place of each package, and return them."""
    masks = {
        "LowerTriangularMask": lambda: Mask(-1, 0),
        "LowerTriangularFromBottomRightLocalAttentionMask": ending_mask,
        "LocalAttentionFromBottomRightMask": Mask,
        "BlockDiagonalMask": Blocks,
        "BlockDiagonalCausalMask": CausalBlocks,
    }
    made: dict[str, Any] = {
        "flash_attn": Flash(),
        "flash_attn_interface": Flash(returns_sums=True),
        "fla": _module("fla"),
        "fla.ops": _module("fla.ops"),
        "fla.ops.attn": _module("fla.ops.attn", parallel_attn=parallel_attn),
        "fla.ops.gated_delta_rule": _module("fla.ops.gated_delta_rule", chunk_gated_delta_rule=chunk_gated_delta_rule),
        "fla.ops.gla": _module("fla.ops.gla", chunk_gla=chunk_gla),
        "fla.ops.linear_attn": _module("fla.ops.linear_attn", chunk_linear_attn=chunk_linear_attn),
        "fla.ops.retention": _module("fla.ops.retention", chunk_retention=chunk_retention),
        "flashinfer": _module("flashinfer", BatchPrefillWithRaggedKVCacheWrapper=BatchPrefillWithRaggedKVCacheWrapper),
        "natten": _module("natten", na1d=neighbourhoods, na2d=neighbourhoods, HAS_LIBNATTEN=True),
        "xformers": _module("xformers"),
        "xformers.ops": _module("xformers.ops", memory_efficient_attention=memory_efficient_attention),
        "xformers.ops.fmha": _module("xformers.ops.fmha", attn_bias=SimpleNamespace(**masks)),
    }
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def _module(name: str, **attributes: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(attributes)
    return module
