"""torch's `scaled_dot_product_attention` with a dense boolean mask.

It is the control that shows that simulated sparsity saves nothing: it returns what a sparse implementation returns,
but computes all N^2 scores and reads a mask of N^2 values. If a pattern or a level adds to scores, the mask is what it
adds, for each head. torch's fused kernel for CPUs has no gradient of a mask, so what a level adds is differentiated by
torch's textbook.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants import levels
from attnbench.variants._pattern import Pattern
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import fused_bytes, key_bytes, query_bytes
from attnbench.variants.kernels._support import bias, by_distance, itemsize, masks, refusal, sum_itemsize


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern. It adds to scores, but does not modify them otherwise."""
    return refusal(pattern, setting, scored=isinstance(pattern, Scored) and pattern.adds, biased=True, padded=True)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: those of torch's fused kernel, and the mask as N^2 numbers.

    The kernel adds its mask to the scores, so each forward call converts booleans to numbers. In `backward` the numbers
    belong to the graph and are not counted. A padded batch has a mask for each sequence. Outputs that are set to 0 are
    copied, and so are their gradients.
    """
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    if levels.has_bias(setting):
        return _biased_bytes(pattern, setting, threads)
    many = shape.batch if shape.lengths else 1
    mask = 0 if direction == "backward" or isinstance(pattern, Scored) else many * shape.seq_len**2 * itemsize(dtype)
    fused, copy = fused_bytes(shape, dtype, direction, threads) + mask, query_bytes(shape, dtype)
    if not shape.lengths:
        return fused
    return max(fused, 2 * copy) if direction == "forward" else fused + copy * (2 if direction == "training" else 1)


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the mask of allowed pairs, or what is added to scores: see `_support`."""
    shape = setting.shape
    mask: Tensor | None = None
    blind: Tensor | None = None
    if isinstance(pattern, Scored):
        mask, blind = bias(pattern, setting)
    elif not levels.has_bias(setting) or _masks(pattern, shape.seq_len):
        mask, blind = masks(pattern, setting)
    enable_gqa = shape.kv_heads != shape.heads

    def attend(q: Tensor, k: Tensor, v: Tensor, table: Tensor | None = None) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`; a level's bias comes as a table."""
        added = mask if table is None else _with(mask, by_distance(table, shape.seq_len))
        out = scaled_dot_product_attention(q, k, v, attn_mask=added, enable_gqa=enable_gqa)
        return out if blind is None else out.masked_fill(blind, 0.0)

    prepared = sum(each.nbytes for each in (mask, blind) if each is not None)
    return Program(attend, shape.batch * shape.heads * shape.seq_len**2, prepared)


def _biased_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call with a level's bias; A is its size `H N N`, S that of the scores.

    Forward: 2 A while it is made, if it is masked or narrower than float32, or A and the fused kernel. On a CPU torch's
    textbook has the gradients, in float32 or wider: 2 S in backward, and in training 3 S, or 2.25 S + A; if the dtype
    is narrower, with copies of queries, keys and values. Elsewhere the fused kernel returns a gradient like S, of which
    A and A in float32 or wider are made.
    """
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    ratio = sum_itemsize(dtype) // itemsize(dtype)
    added = shape.heads * shape.seq_len**2 * itemsize(dtype)
    scores, fused = shape.batch * added, fused_bytes(shape, dtype, direction, threads)
    made = 2 * added if ratio > 1 or isinstance(pattern, Scored) or _masks(pattern, shape.seq_len) else added
    if direction == "forward":
        return max(made, added + fused)
    if setting.device != "cpu":
        return fused + scores + added * (1 + ratio) + (added if direction == "training" else 0)
    wide, keys = ratio * scores, key_bytes(shape, dtype)
    if direction == "backward":
        return 2 * wide + keys
    copied = ratio * (query_bytes(shape, dtype) + 2 * keys) if ratio > 1 else 0
    return max(2 * wide + wide // 4 + added, 3 * wide) + copied


def _masks(pattern: Pattern, n: int) -> bool:
    """Check whether a pattern forbids pairs."""
    return pattern.spans(n).pairs() < n**2


def _with(mask: Tensor | None, added: Tensor) -> Tensor:
    """Return what a level adds to scores, `1 H N N`, with a pattern's mask."""
    if mask is None:
        return added[None]
    return added + mask if mask.is_floating_point() else added.where(mask, -torch.inf)[None]
