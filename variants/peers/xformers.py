"""xFormers' memory-efficient attention, with the kernel that it chooses. CUDA only.

It chooses FlashAttention 3 or 2 if their packages are installed, else torch's FlashAttention 2, and in float32 torch's
memory-efficient kernel. A pattern becomes one of its masks, none of which holds `N x N` numbers: for causal attention
`LowerTriangularMask`, for windows `LocalAttentionFromBottomRightMask`, for those that end at the query
`LowerTriangularFromBottomRightLocalAttentionMask`, for blocks `BlockDiagonalMask` or `BlockDiagonalCausalMask`. The
package takes tokens `B N H D` with any strides; blocks of several batch entries in the layout `bhnd` are copied. Cost:
4 D FLOPs forward for every pair of a tile that holds a key of some query.

Grouped key heads are given as `B N K (H / K) D` without a copy, and have no gradients.

Source: Lefaudeux et al. 2022, https://github.com/facebookresearch/xformers, version 0.0.35.
"""

from typing import Any

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import query_bytes
from attnbench.variants.kernels._support import refusal
from attnbench.variants.peers import _cuda, _sequences
from attnbench.variants.peers._sequences import Sequences

REQUIREMENT = "xformers 0.0.35"
_INSTALL = "pip install xformers==0.0.35"
_DTYPES = ("float32", "float16", "bfloat16")


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support full attention, clipped windows and full or causal blocks, unless the package refuses a call."""
    shape = setting.shape
    refused = refusal(pattern, setting) or _cuda.refused_dtype("xformers", setting, _DTYPES)
    if refused is None and setting.direction != "forward" and shape.kv_heads != shape.heads:
        refused = "xformers has no gradients of grouped key heads, found "
        refused += f"kv_heads {shape.kv_heads} and heads {shape.heads}; measure forward"
    if refused is None and not _takes(_sequences.of(pattern.spans(shape.seq_len))):
        refused = "xformers takes full attention, blocks, and windows without gaps, clipped at the ends"
    refused = refused or _cuda.refusal("xformers", "xformers", REQUIREMENT, _INSTALL, setting)
    return refused or _cuda.tried("xformers", build, pattern, setting)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: those of FlashAttention, and in `bhnd` a copy of the output's gradient."""
    del threads
    shape, found = setting.shape, _sequences.known(pattern, setting)
    copied = found.copied_bytes(shape, setting.dtype) if found.cut else 0
    if setting.direction != "forward" and shape.layout == "bhnd":
        copied += query_bytes(shape, setting.dtype)
    return _cuda.flash_bytes(setting, copied=copied, sequences=len(found.lengths))


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the package's mask."""
    from xformers.ops import memory_efficient_attention

    shape, found = setting.shape, _sequences.known(pattern, setting)
    b, n, grouped = shape.batch, shape.seq_len, shape.heads // shape.kv_heads
    mask = _mask(found, setting)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        given = [*map(found.tokens, (q, k, v))]
        if grouped > 1:
            given = [torch.unflatten(given[0], 2, (-1, grouped))] + [
                each[:, :, :, None].expand(-1, -1, -1, grouped, -1) for each in given[1:]
            ]
        out: Tensor = memory_efficient_attention(*given, attn_bias=mask)
        return out.reshape(b, n, shape.heads, shape.head_dim).transpose(1, 2)

    return Program(attend, None, mask.q_seqinfo.seqstart.nbytes if found.cut else 0)


def _takes(found: Sequences | None) -> bool:
    """Check whether the package has a mask of these sequences."""
    return found is not None and (not found.cut or found.causal or found.window == (-1, -1))


def _mask(found: Sequences, setting: Setting) -> Any:
    """Return the package's mask of the sequences; None for full attention."""
    from xformers.ops.fmha import attn_bias

    left, right = found.left, found.right
    if found.cut:
        kind = attn_bias.BlockDiagonalCausalMask if found.causal else attn_bias.BlockDiagonalMask
        return kind.from_seqlens([*found.lengths * setting.shape.batch], device=torch.device(setting.device))
    if found.causal:
        return attn_bias.LowerTriangularMask()
    if left is None and right is None:
        return None
    # The package has no window that is open to one side.
    n = setting.shape.seq_len
    left, right = (n if each is None else each for each in (left, right))
    if right == 0:
        return attn_bias.LowerTriangularFromBottomRightLocalAttentionMask(left + 1)
    return attn_bias.LocalAttentionFromBottomRightMask(window_left=left, window_right=right)
