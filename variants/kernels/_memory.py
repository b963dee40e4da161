"""Predicted bytes of calls: the sizes of tensors, and the workspace of torch's fused kernel on a CPU.

The fused kernel works on tiles of R queries by C keys, one per thread. R is 256 for 768 queries and more, 64 for 192
and more, else 32; C is 512. Both are at most the length. With numbers of s bytes, sums of S bytes (float32, or float64
for float64) and head width D, it allocates

- forward: the output, a log-sum-exp of S bytes per query, and per thread (R C + 2 R + R D) S. If s < S, also R C s per
  thread for the rounded weights.
- backward: dQ, dK, dV, a copy like dQ, and per thread 2 R C S. If s < S, also 2 R C s per thread, and what the matrix
  products allocate, which is measured in a small call (`product_bytes`).

On a CPU with a matrix unit (AMX for bfloat16, AMX-FP16 for float16) the forward kernel first packs keys and values if
the call is large enough: at least 64 queries and keys, and for each thread at least 4 queries for every key head; in
float16 16 and 1. Packing takes a copy of keys and values, and per thread a tile of keys C D, in numbers of s bytes. The
matrix unit reads pairs of numbers: an odd D is padded to even in keys and in a tile of queries R D, an odd number of
keys in values and weights. The backward kernel packs nothing, nor does any kernel on ARM.
"""

import ctypes
from functools import cache

import torch

from attnbench.variants._setting import Shape
from attnbench.variants.kernels._peak import peak_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize, sum_itemsize

_KEYS = 512
_BLOCK = 2048
"""Values of a head from which on oneDNN's workspace does not grow."""
_LEAST_TO_PACK = {"float16": (16, 1), "bfloat16": (64, 4)}
"""Calls that are packed: the least queries and keys, and the least queries for each thread and key head."""


def query_bytes(shape: Shape, dtype: str) -> int:
    """Return the bytes of a tensor `B H N D`: queries, outputs, dQ."""
    return shape.batch * shape.heads * shape.seq_len * shape.head_dim * itemsize(dtype)


def key_bytes(shape: Shape, dtype: str) -> int:
    """Return the bytes of a tensor `B K N D`: keys, values, dK, dV."""
    return query_bytes(shape, dtype) * shape.kv_heads // shape.heads


def reordered_bytes(shape: Shape, dtype: str) -> tuple[int, int]:
    """Return the bytes that a contiguous copy of a query tensor and of a key tensor takes; 0 if it is contiguous."""
    copies = [shape.layout != "bhnd" and heads > 1 for heads in (shape.heads, shape.kv_heads)]
    return query_bytes(shape, dtype) * copies[0], key_bytes(shape, dtype) * copies[1]


def sums_bytes(shape: Shape, dtype: str) -> int:
    """Return the bytes of the log-sum-exp `B H N` that the fused kernel keeps for its backward."""
    return shape.batch * shape.heads * shape.seq_len * sum_itemsize(dtype)


def forward_workspace(
    heads: int, key_heads: int, queries: int, keys: int, head_dim: int, dtype: str, threads: int
) -> int:
    """Return the bytes of the fused forward kernel's tiles and packing; heads are counted over the batch."""
    rows, columns = _tile(queries, keys)
    rounded = rows * columns * itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    tiles = threads * ((rows * columns + 2 * rows + rows * head_dim) * sum_itemsize(dtype) + rounded)
    return tiles + _packed_bytes(heads, key_heads, queries, keys, head_dim, dtype, threads)


def _packed_bytes(heads: int, key_heads: int, queries: int, keys: int, head_dim: int, dtype: str, threads: int) -> int:
    """Return the bytes that packing adds to the tiles; `threads` is 0 on other devices, which pack nothing."""
    if not threads or not could_pack(DTYPES[dtype]):
        return 0
    rows, columns = _tile(queries, keys)
    tiles_per_thread = -(-heads * -(-queries // rows) // threads)
    least, queries_per_head = _LEAST_TO_PACK[dtype]
    if min(queries, keys) < least or tiles_per_thread * rows < queries_per_head * key_heads:
        return 0
    odd_width, odd_keys = head_dim % 2, keys % 2
    packed = key_heads * (keys * (head_dim + odd_width) + (keys + odd_keys) * head_dim)
    padded = rows * (head_dim + 1) * odd_width + rows * (columns % 2)
    return (packed + threads * (columns * head_dim + padded)) * itemsize(dtype)


def backward_workspace(key_heads: int, queries: int, keys: int, head_dim: int, dtype: str, threads: int) -> int:
    """Return the bytes of the fused backward kernel's tiles and products; heads are counted over the batch."""
    rows, columns = _tile(queries, keys)
    rounded = itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    tiles = 2 * rows * columns * (sum_itemsize(dtype) + rounded)
    if not threads or not rounded:
        return threads * tiles
    # The fewest queries with tiles of this height: the small call allocates per tile what the large one does.
    few = next((least for least in (768, 192) if queries >= least), rows)
    return threads * tiles + product_bytes(min(key_heads, 2), few, columns, head_dim, DTYPES[dtype], tiles)


def fused_bytes(shape: Shape, dtype: str, direction: str, threads: int, key_count: int | None = None) -> int:
    """Return the bytes of one call of the fused kernel without a mask over whole sequences.

    There are as many keys as queries, or `key_count`. T is a query tensor, U a key tensor and L the log-sum-exp.
    Forward: T + L and its workspace. Backward: 2 T + 2 U and its workspace. Training: T + L and the larger of the
    forward's workspace and the backward. The kernel's own layout is `bnhd`: the backward does not copy an output's
    gradient in that layout, which saves T.
    """
    n = shape.seq_len
    m = key_count or n
    queries, keys = query_bytes(shape, dtype), key_bytes(shape.at(m), dtype)
    out = queries + sums_bytes(shape, dtype)
    heads, key_heads = shape.batch * shape.heads, shape.batch * shape.kv_heads
    workspace = forward_workspace(heads, key_heads, n, m, shape.head_dim, dtype, threads)
    if direction == "forward":
        return out + workspace
    gradients = queries * (2 if shape.layout == "bhnd" else 1) + 2 * keys
    gradients += backward_workspace(key_heads, n, m, shape.head_dim, dtype, threads)
    return gradients if direction == "backward" else out + max(workspace, gradients)


def _tile(queries: int, keys: int) -> tuple[int, int]:
    """Return the queries and keys in a tile of the fused kernel."""
    rows = 256 if queries >= 768 else 64 if queries >= 192 else 32
    return min(rows, queries), min(_KEYS, keys)


def product_bytes(heads: int, queries: int, keys: int, head_dim: int, dtype: torch.dtype, tile_bytes: int) -> int:
    """Return the bytes that one backward call allocates besides its gradients and each thread's tiles.

    Only the calling thread's products are counted, as in a measured peak. A single head is differentiated on one
    thread, whose products may use all threads.
    """
    threads = torch.get_num_threads()
    return _workspace_bytes(heads, queries, keys, head_dim, dtype, threads) - threads * tile_bytes


@cache
def _workspace_bytes(heads: int, queries: int, keys: int, head_dim: int, dtype: torch.dtype, threads: int) -> int:
    """Measure the bytes that one backward call allocates besides its gradients and a copy like dQ, once for each size.

    `threads` is only part of the cache's key.
    """
    del threads
    q, k = (torch.zeros(1, heads, tokens, head_dim, dtype=dtype) for tokens in (queries, keys))
    sums = torch.zeros(1, heads, queries)

    def call() -> object:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(q, q, k, k, q, sums, 0.0, False)

    return peak_bytes(call) - 2 * (q.nbytes + k.nbytes)


def row_products_bytes(heads: int, rows: int, keys: int, head_dim: int, dtype: str, threads: int) -> tuple[int, int]:
    """Return the bytes that products of a few rows with keys, and of their weights with values, take beside results.

    oneDNN computes those of 16-bit numbers. It copies a block of keys or values for each thread, of at most `_BLOCK`
    values, and all keys of a head that is alone.
    """
    if not threads or itemsize(dtype) != 2:
        return 0, 0
    few = min(keys, _BLOCK)
    scores, weighted = _row_products_bytes(min(heads, 2), rows, few, head_dim, DTYPES[dtype], torch.get_num_threads())
    return scores * keys // few if heads == 1 else scores, weighted


@cache
def _row_products_bytes(
    heads: int, rows: int, keys: int, head_dim: int, dtype: torch.dtype, threads: int
) -> tuple[int, int]:
    """Measure this once for each size. `threads` is only part of the cache's key."""
    del threads
    q, k, weights = (
        torch.zeros(1, heads, *each, dtype=dtype) for each in ((rows, head_dim), (keys, head_dim), (rows, keys))
    )
    return peak_bytes(lambda: q @ k.transpose(-2, -1)) - weights.nbytes, peak_bytes(lambda: weights @ k) - q.nbytes


@cache
def projection_bytes(rows: int, width: int, columns: int, dtype: str, threads: int) -> int:
    """Measure the bytes that the projection of a few tokens takes beside its result, once for each size.

    oneDNN computes those of 16-bit numbers. `threads` are those of torch on a CPU, and 0 on other devices.
    """
    if not threads or itemsize(dtype) != 2:
        return 0
    x, weight = (torch.zeros(each, width, dtype=DTYPES[dtype]) for each in (rows, columns))
    bias = torch.zeros(columns, dtype=DTYPES[dtype])
    return peak_bytes(lambda: torch.nn.functional.linear(x[:, None], weight, bias)) - rows * columns * x.itemsize


_SCALAR_TYPES = {torch.float16: 5, torch.bfloat16: 15}
"""The numbers of dtypes in torch's C++ (`c10::ScalarType`)."""


@cache
def could_pack(dtype: torch.dtype) -> bool:
    """Check whether calls in this dtype are packed on this machine if they are large enough.

    This calls torch's own C++ function, which has no Python name. The CPU's features alone do not decide: oneDNN also
    asks the system and `ONEDNN_MAX_CPU_ISA`. If torch has no such function, it packs nothing.
    """
    if dtype not in _SCALAR_TYPES:
        return False
    try:
        asked = ctypes.CDLL("libtorch_cpu.so")._ZN2at6native7cpublas10could_packEN3c1010ScalarTypeE
    except (OSError, AttributeError):
        return False
    asked.restype = ctypes.c_bool
    return bool(asked(ctypes.c_int8(_SCALAR_TYPES[dtype])))
