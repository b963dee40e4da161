"""Batch and heads laid end to end, and query heads that share a key head folded into the rows of its blocks.

So keys are read once for all the G query heads that share them, without being repeated.
"""

from torch import Tensor


def flat(tensor: Tensor) -> Tensor:
    """`B H N D` as `(B H) N D`."""
    return tensor.contiguous().flatten(0, 1)


def fold(queries: Tensor, few: slice) -> Tensor:
    """Blocks `(K G) blocks height D` as `K blocks (G height) D`, for the key heads `few`."""
    heads = few.stop - few.start
    many, blocks, height, d = queries.shape
    if many == heads:
        return queries
    return queries.view(heads, many // heads, blocks, height, d).transpose(1, 2).reshape(heads, blocks, -1, d)


def unfold(out: Tensor, many: slice) -> Tensor:
    """Blocks `K blocks (G height) D` as `(K G) blocks height D`, for the query heads `many`."""
    heads, blocks, rows, d = out.shape
    group = (many.stop - many.start) // heads
    if group == 1:
        return out
    return out.reshape(heads, blocks, group, rows // group, d).transpose(1, 2).reshape(heads * group, blocks, -1, d)
