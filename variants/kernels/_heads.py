"""Reshaping of heads: batch and heads laid end to end, and query heads folded into the rows of their key head.

Folding lets all G query heads of a key head read its keys once, without repeating the keys in memory.
"""

from torch import Tensor


def flat(tensor: Tensor) -> Tensor:
    """Reshape `B H N D` to `(B H) N D`."""
    return tensor.contiguous().flatten(0, 1)


def fold(queries: Tensor, few: slice) -> Tensor:
    """Reshape blocks `(K G) blocks height D` to `K blocks (G height) D`; `few` are the K key heads."""
    heads = few.stop - few.start
    many, blocks, height, d = queries.shape
    if many == heads:
        return queries
    return queries.view(heads, many // heads, blocks, height, d).transpose(1, 2).reshape(heads, blocks, -1, d)


def unfold(out: Tensor, many: slice) -> Tensor:
    """Reshape blocks `K blocks (G height) D` to `(K G) blocks height D`; `many` are the K G query heads."""
    heads, blocks, rows, d = out.shape
    group = (many.stop - many.start) // heads
    if group == 1:
        return out
    return out.reshape(heads, blocks, group, rows // group, d).transpose(1, 2).reshape(heads * group, blocks, -1, d)
