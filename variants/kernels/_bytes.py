"""What calls allocate: the sizes of tensors, and the workspace of torch's fused kernel on a CPU.

The fused kernel works on tiles of R queries by C keys, one per thread: R is 256 for 768 queries and more, 64 for
192 and more, else 32, and C is 512, both at most what there is. With numbers of s bytes, sums of S bytes
(float32, or float64 for float64) and head width D, it allocates

- forward: the output, a log-sum-exp of S bytes per query, and per thread (R C + 2 R + R D) S, and R C s where
  s < S for the weights as rounded;
- backward: dQ, dK, dV, a copy like dQ, and per thread 2 R C S, and 2 R C s where s < S.

What some CPUs add in bfloat16 to pack their tiles is left out: a few per cent, more at a few hundred queries.
"""

from dataclasses import dataclass

from attnbench.variants._shape import Shape
from attnbench.variants.kernels._steps import Step
from attnbench.variants.kernels._support import itemsize, sum_itemsize

_KEYS = 512


def query_bytes(shape: Shape, dtype: str) -> int:
    """Bytes of a tensor `B H N D`: queries, outputs, dQ."""
    return shape.batch * shape.heads * shape.seq_len * shape.head_dim * itemsize(dtype)


def key_bytes(shape: Shape, dtype: str) -> int:
    """Bytes of a tensor `B K N D`: keys, values, dK, dV."""
    return query_bytes(shape, dtype) * shape.kv_heads // shape.heads


def reordered_bytes(shape: Shape, dtype: str) -> tuple[int, int]:
    """Bytes of the copies of a query tensor and of a key tensor that make them contiguous; 0 where they are."""
    copies = [shape.layout != "bhnd" and heads > 1 for heads in (shape.heads, shape.kv_heads)]
    return query_bytes(shape, dtype) * copies[0], key_bytes(shape, dtype) * copies[1]


def sums_bytes(shape: Shape, dtype: str) -> int:
    """Bytes of the log-sum-exp `B H N` that the fused kernel hands to its backward."""
    return shape.batch * shape.heads * shape.seq_len * sum_itemsize(dtype)


def forward_workspace(queries: int, keys: int, head_dim: int, dtype: str, threads: int) -> int:
    """Bytes of the fused kernel's tiles, forward."""
    rows, columns = _tile(queries, keys)
    rounded = rows * columns * itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    return threads * ((rows * columns + 2 * rows + rows * head_dim) * sum_itemsize(dtype) + rounded)


def backward_workspace(queries: int, keys: int, dtype: str, threads: int) -> int:
    """Bytes of the fused kernel's tiles, backward."""
    rows, columns = _tile(queries, keys)
    rounded = itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    return threads * 2 * rows * columns * (sum_itemsize(dtype) + rounded)


def fused_bytes(shape: Shape, dtype: str, direction: str, threads: int) -> int:
    """Bytes of one call of the fused kernel without a mask over whole sequences.

    With T a query tensor, U a key tensor and L the log-sum-exp: forward T + L, backward 2 T + 2 U, training
    3 T + 2 U + L, each with its workspace. Its own order is `bnhd`: the backward copies no output's gradient that
    has it, which saves T.
    """
    queries, keys, n = query_bytes(shape, dtype), key_bytes(shape, dtype), shape.seq_len
    out = queries + sums_bytes(shape, dtype)
    if direction == "forward":
        return out + forward_workspace(n, n, shape.head_dim, dtype, threads)
    gradients = queries * (2 if shape.layout == "bhnd" else 1) + 2 * keys + backward_workspace(n, n, dtype, threads)
    return gradients if direction == "backward" else out + gradients


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

    The queries are copied where they are gathered, or folded for several query heads a key head; a block that is
    the whole sequence never is. The fused backward copies the output's gradient unless it is the whole sequence.
    """
    size, group = itemsize(dtype), shape.heads // shape.kv_heads
    (blocks, height), (_, width) = step.queries.shape, step.keys.shape
    queries = step.heads * blocks * height * group * shape.head_dim * size
    keys = step.heads * blocks * width * shape.head_dim * size
    part = height < shape.seq_len
    folded = queries * (group > 1 and part)
    read = max(queries * bool(step.queries.copied), folded)
    mask = 0 if step.mask is None else height * group * width * size
    kept = queries + step.heads * blocks * height * group * sum_itemsize(dtype) + mask
    copied = step.heads * step.keys.copied * shape.head_dim * size
    kept += read + 2 * copied
    workspace = backward_workspace(height * group, width, dtype, threads) + queries * part
    added = copied or (keys if blocks == 1 else keys * min(height, width) // width)
    widened = added // size * sum_itemsize(dtype) * (size < 4)
    gathered = 8 * step.heads * step.keys.copied + copied
    return CallBytes(
        kept,
        max(forward_workspace(height * group, width, shape.head_dim, dtype, threads), folded),
        read + queries + 2 * keys + max(workspace, folded, gathered + widened),
    )


def read_in_place(step: Step, shape: Shape) -> tuple[bool, bool]:
    """Whether a call reads queries, and keys, as views: what they are views of is then kept for its gradients."""
    folded = shape.heads > shape.kv_heads and 1 < step.queries.shape[1] < shape.seq_len
    return not (step.queries.copied or folded), not step.keys.copied


def _tile(queries: int, keys: int) -> tuple[int, int]:
    """Queries and keys in a tile of the fused kernel."""
    rows = 256 if queries >= 768 else 64 if queries >= 192 else 32
    return min(rows, queries), min(_KEYS, keys)
