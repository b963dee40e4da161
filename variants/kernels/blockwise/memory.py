"""Predicted bytes of the calls of `blockwise`, computed from its plan."""

from collections.abc import Sequence
from dataclasses import dataclass

from attnbench.variants._setting import Shape
from attnbench.variants.kernels._memory import (
    backward_workspace,
    forward_workspace,
    key_bytes,
    query_bytes,
    reordered_bytes,
    sums_bytes,
)
from attnbench.variants.kernels._support import itemsize, sum_itemsize
from attnbench.variants.kernels.blockwise.merge import Piece
from attnbench.variants.kernels.blockwise.rows import Strided
from attnbench.variants.kernels.blockwise.steps import Step


@dataclass(frozen=True)
class CallBytes:
    """Bytes of one of the calls of `blockwise`."""

    kept: int
    """What a later backward needs: output, log-sum-exp, the mask as numbers, and copies made for reading."""
    forward: int
    """What the call allocates in addition, and frees at its end."""
    backward: int
    """What its gradients allocate until they are added."""


def call_bytes(step: Step, shape: Shape, dtype: str, threads: int) -> CallBytes:
    """Return the bytes of one call of a step.

    Queries are copied if they are gathered, or if several query heads of a key head are folded. Folded outputs are
    copied back if there are several key heads and several blocks. Queries that lie in memory like the whole sequence
    are not copied. The fused backward copies the output's gradient unless it lies like the whole sequence.
    """
    size, group = itemsize(dtype), shape.heads // shape.kv_heads
    (blocks, height), (_, width) = step.queries.shape, step.keys.shape
    heads = step.heads * blocks
    queries = heads * height * group * shape.head_dim * size
    keys = heads * width * shape.head_dim * size
    part = not _whole(step, shape)
    folded = queries * (group > 1 and part)
    unfolded = folded * (step.heads > 1 and blocks > 1)
    read = max(queries * bool(step.queries.copied), folded)
    mask = 0 if step.mask is None else height * group * width * size
    kept = queries + heads * height * group * sum_itemsize(dtype) + mask
    copied = step.heads * step.keys.copied * shape.head_dim * size
    kept += read + 2 * copied
    workspace = backward_workspace(heads, height * group, width, shape.head_dim, dtype, threads) + queries * part
    added = copied or keys * step.keys.at_once // width
    widened = added // size * sum_itemsize(dtype) * (size < 4)
    # Adding gathered gradients needs the int64 index of every row, 8 bytes each.
    gathered = 8 * step.heads * step.keys.copied + copied
    return CallBytes(
        kept,
        max(forward_workspace(heads, heads, height * group, width, shape.head_dim, dtype, threads), unfolded),
        read + queries + 2 * keys + max(workspace, unfolded, gathered + widened),
    )


def _whole(step: Step, shape: Shape) -> bool:
    """Check whether the queries of a call lie in memory like the whole sequence.

    That is so for one block of all queries, and for interleaved blocks that hold all queries together.
    """
    rows, n = step.queries, shape.seq_len
    blocks, height = rows.shape
    interleaved = isinstance(rows, Strided) and rows.step < rows.spacing
    return height == n or (interleaved and blocks * height == n)


def read_in_place(step: Step, shape: Shape) -> tuple[bool, bool]:
    """Return whether a call reads its queries, and its keys, as views; it then keeps the tensors they are views of."""
    folded = shape.heads > shape.kv_heads and step.queries.shape[1] > 1 and not _whole(step, shape)
    return not (step.queries.copied or folded), not step.keys.copied


def merged_bytes(pieces: Sequence[Piece], shape: Shape, dtype: str, direction: str, device: str, threads: int) -> int:
    """Return the bytes of a call that merges pieces; T is a query tensor, U a key tensor, L the log-sum-exps.

    Forward: T + L, the keys and values that a piece gathers, and the largest of its calls. Backward: T + 2 U for the
    sums of the gradients (float32 or wider), a piece's gathered keys, values and their sums, and the largest of its
    calls. Training: T + L, which are kept, and a backward. Tensors in another layout are copied each time: T + 2 U
    forward, and another T for the output's gradient.
    """
    queries, keys = query_bytes(shape, dtype), key_bytes(shape, dtype)
    copied_queries, copied_keys = reordered_bytes(shape, dtype)
    kept = queries + sums_bytes(shape, dtype)
    if direction == "forward":
        return (
            kept
            + copied_queries
            + 2 * copied_keys
            + max(
                _gathered_bytes(piece, shape, itemsize(dtype))
                + max(_merged_call_bytes(step, shape, dtype, device, threads).forward for step in piece.steps)
                for piece in pieces
            )
        )
    wider = sum_itemsize(dtype) // itemsize(dtype)
    rounded = queries + 2 * keys if wider > 1 else 0
    backward = (
        2 * copied_queries
        + 2 * copied_keys
        + (queries + 2 * keys) * wider
        + max(
            rounded,
            *(
                _gathered_bytes(piece, shape, itemsize(dtype) + sum_itemsize(dtype))
                + max(_merged_call_bytes(step, shape, dtype, device, threads).backward for step in piece.steps)
                for piece in pieces
            ),
        )
    )
    return backward if direction == "backward" else kept + backward


def _gathered_bytes(piece: Piece, shape: Shape, size: int) -> int:
    """Return the bytes of the keys and values that a piece gathers, in numbers of `size` bytes."""
    keys = 0 if piece.keys is None else piece.keys.shape[1]
    return 2 * shape.batch * shape.kv_heads * keys * shape.head_dim * size


def _merged_call_bytes(step: Step, shape: Shape, dtype: str, device: str, threads: int) -> CallBytes:
    """Return the bytes of one call of a piece, which keeps nothing.

    Merging widens float16 and bfloat16 numbers, and copies folded outputs. On CUDA the scores are written out: a call
    holds two score matrices, and its gradients three.
    """
    size, total, group = itemsize(dtype), sum_itemsize(dtype), shape.heads // shape.kv_heads
    (blocks, height), (_, width) = step.queries.shape, step.keys.shape
    heads = step.heads * blocks
    rows = heads * height * group
    queries = rows * shape.head_dim * size
    keys = heads * width * shape.head_dim * size
    part = not _whole(step, shape)
    copied = bool(step.queries.copied)
    read = queries * (copied or (group > 1 and part))
    gathered = 2 * step.heads * step.keys.copied * shape.head_dim * size
    widened = 2 * rows * shape.head_dim * total * (size < total)
    scores = rows * width * total * (device != "cpu")
    sizes = height * group, width, shape.head_dim
    forward = read + gathered + forward_workspace(heads, heads, *sizes, dtype, threads) + 2 * scores
    backward = 3 * read + gathered + queries * part + backward_workspace(heads, *sizes, dtype, threads)
    merging = 2 * rows * total + queries * (copied + (group > 1 and step.heads > 1 and blocks > 1)) + widened
    at_once = keys * step.keys.at_once // width
    adding = 8 * step.heads * step.keys.copied + at_once // size * total * (size < total)
    return CallBytes(
        kept=0,
        forward=queries + rows * total + max(forward, merging),
        backward=queries + 2 * keys + max(backward + 3 * scores, adding),
    )
