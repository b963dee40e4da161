"""torch's `scaled_dot_product_attention` with a dense boolean mask.

It is the control that shows that simulated sparsity saves nothing: it returns what a sparse implementation returns,
but computes all N^2 scores and reads a mask of N^2 values. If a pattern adds to scores, the mask is what it adds, for
each head.
"""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants._pattern import Pattern
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import fused_bytes, query_bytes
from attnbench.variants.kernels._support import bias, itemsize, masks, refusal


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern. It adds to scores, but does not modify them otherwise."""
    return refusal(pattern, setting, scored=isinstance(pattern, Scored) and pattern.adds, padded=True)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: those of torch's fused kernel, and the mask as N^2 numbers.

    The kernel adds its mask to the scores, so each forward call converts booleans to numbers. In `backward` the numbers
    belong to the graph and are not counted. A padded batch has a mask for each sequence. Outputs that are set to 0 are
    copied, and so are their gradients.
    """
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    many = shape.batch if shape.lengths else 1
    mask = 0 if direction == "backward" or isinstance(pattern, Scored) else many * shape.seq_len**2 * itemsize(dtype)
    fused, copy = fused_bytes(shape, dtype, direction, threads) + mask, query_bytes(shape, dtype)
    if not shape.lengths:
        return fused
    return max(fused, 2 * copy) if direction == "forward" else fused + copy * (2 if direction == "training" else 1)


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the mask of allowed pairs, or what is added to scores: see `_support`."""
    shape = setting.shape
    mask, blind = bias(pattern, setting) if isinstance(pattern, Scored) else masks(pattern, setting)
    enable_gqa = shape.kv_heads != shape.heads

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=enable_gqa)
        return out if blind is None else out.masked_fill(blind, 0.0)

    prepared = mask.nbytes + (0 if blind is None else blind.nbytes)
    return Program(attend, shape.batch * shape.heads * shape.seq_len**2, prepared)
