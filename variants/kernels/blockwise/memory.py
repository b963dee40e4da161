"""Predicted bytes of the calls of `blockwise`, from its plan."""

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
    """What a later backward needs: output, log-sum-exp, the mask as numbers, and whatever was copied to be read."""
    forward: int
    """What the call takes besides and gives back."""
    backward: int
    """What its gradients take until they are added."""


def call_bytes(step: Step, shape: Shape, dtype: str, threads: int) -> CallBytes:
    """Bytes of one call of a step.

    The queries are copied where they are gathered, or folded for several query heads a key head, and copied back
    from that where there are several key heads and blocks; what lies like the whole sequence never is. The fused
    backward copies the output's gradient unless it lies so.
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
    gathered = 8 * step.heads * step.keys.copied + copied
    return CallBytes(
        kept,
        max(forward_workspace(heads, heads, height * group, width, shape.head_dim, dtype, threads), unfolded),
        read + queries + 2 * keys + max(workspace, unfolded, gathered + widened),
    )


def _whole(step: Step, shape: Shape) -> bool:
    """Whether the queries of a call lie like the whole sequence: one block, or all of the blocks that interleave."""
    rows, n = step.queries, shape.seq_len
    blocks, height = rows.shape
    interleaved = isinstance(rows, Strided) and rows.step < rows.spacing
    return height == n or (interleaved and blocks * height == n)


def read_in_place(step: Step, shape: Shape) -> tuple[bool, bool]:
    """Whether a call reads queries, and keys, as views: what they are views of is then kept for its gradients."""
    folded = shape.heads > shape.kv_heads and step.queries.shape[1] > 1 and not _whole(step, shape)
    return not (step.queries.copied or folded), not step.keys.copied


def merged_bytes(pieces: Sequence[Piece], shape: Shape, dtype: str, direction: str, device: str, threads: int) -> int:
    """Bytes of a call that merges pieces, with T a query tensor, U a key tensor and L the log-sum-exps.

    Forward: T + L, the keys and values that a piece gathers, and the largest of its calls. Backward: T + 2 U for the
    gradients' sums (float32 at least), a piece's gathered keys, values and their sums, and the largest of its calls.
    Training: T + L, which are kept, and a backward. Tensors in another layout are copied each time: T + 2 U forward,
    and another T for the output's gradient.
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
    """Bytes of the keys and values that a piece gathers, in numbers of `size` bytes."""
    keys = 0 if piece.keys is None else piece.keys.shape[1]
    return 2 * shape.batch * shape.kv_heads * keys * shape.head_dim * size


def _merged_call_bytes(step: Step, shape: Shape, dtype: str, device: str, threads: int) -> CallBytes:
    """Bytes of one call of a piece; it keeps nothing.

    Merging widens reduced numbers, and copies outputs that were folded. Written out, on CUDA, a call holds two matrices
    of scores, and its gradients three.
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
