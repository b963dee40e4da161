"""flash-linear-attention's softmax attention (`parallel_attn`), a kernel in Triton. It is always causal. CUDA only.

`window_size` counts the keys of a query with itself. Blocks are sequences of one call. The package takes contiguous
tokens `B N H D`, so inputs and the gradient of the output are copied in the layout `bhnd`. If key heads are shared, dK
and dV are computed for each query head in float32 and then summed. Cost: 4 D FLOPs forward for every pair of a tile
that holds a key of some query.

Triton compiles in the first call at a shape.

Source: Yang and Zhang 2024, https://github.com/fla-org/flash-linear-attention, version 0.6.0.
"""

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import key_bytes, query_bytes, sums_bytes
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.peers import FLASH_LINEAR_ATTENTION, _cuda, _sequences

REQUIREMENT = FLASH_LINEAR_ATTENTION
_MOST_WIDTH = 256


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support causal attention, windows that end at the query, and causal blocks, in 16 bits.

    Nothing is tried, because a first call compiles.
    """
    shape = setting.shape
    refused = refusal(pattern, setting) or _cuda.refused_dtype("fla", setting)
    if refused is None and shape.head_dim > _MOST_WIDTH:
        refused = f"fla takes a head_dim of at most {_MOST_WIDTH}, found {shape.head_dim}"
    if refused is None:
        found = _sequences.of(pattern.spans(shape.seq_len))
        # Where every token stands alone, any attention is causal.
        if found is None or (found.right != 0 and max(found.lengths) > 1):
            refused = "fla takes causal attention, causal blocks, and windows without gaps that end at the query"
    return refused or _cuda.refusal_of_fla("fla", setting)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as read in the source.

    T is a query tensor, U a key tensor, L a number in float32 for each query. Forward: T + L. Backward: 3 T + L, or if
    key heads are shared 3 T + 2 U in float32 and L. In `bhnd`, copies of T + 2 U forward and of T backward.
    """
    del pattern, threads
    shape, dtype = setting.shape, setting.dtype
    t, u, sums = query_bytes(shape, dtype), key_bytes(shape, dtype), sums_bytes(shape, dtype)
    copies = shape.layout == "bhnd" and shape.heads > 1
    wide = itemsize("float32") // itemsize(dtype)
    forward = t + sums + copies * (t + 2 * u)
    gradients = 3 * t if shape.kv_heads == shape.heads else wide * (3 * t + 2 * u)
    backward = gradients + sums + copies * t
    return {"forward": forward, "backward": backward, "training": forward + backward}[setting.direction]


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare where sequences begin, if there are several."""
    from fla.ops.attn import parallel_attn

    shape, found = setting.shape, _sequences.known(pattern, setting)
    window = None if found.left is None else found.left + 1
    bounds = found.bounds(shape.batch, setting.device).long() if found.cut else None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        out: Tensor = parallel_attn(*map(found.tokens, (q, k, v)), window_size=window, cu_seqlens=bounds)
        return _sequences.unpacked(torch.flatten(out, 0, 1), shape)

    return Program(attend, None, 0 if bounds is None else bounds.nbytes)
