"""Predicted bytes of calls: the sizes of tensors, and the workspace of torch's fused kernel on a CPU.

The fused kernel works on tiles of R queries by C keys, one per thread: R is 256 for 768 queries and more, 64 for
192 and more, else 32, and C is 512, both at most what there is. With numbers of s bytes, sums of S bytes
(float32, or float64 for float64) and head width D, it allocates

- forward: the output, a log-sum-exp of S bytes per query, and per thread (R C + 2 R + R D) S, and R C s where
  s < S for the weights as rounded;
- backward: dQ, dK, dV, a copy like dQ, and per thread 2 R C S, and where s < S also 2 R C s, and what the matrix
  products take for themselves, which is learned from a small call (`product_bytes`).

On a CPU with a matrix unit (AMX for bfloat16, AMX-FP16 for float16) the forward kernel first packs keys
and values, where there is enough to do: at least 64 queries and keys, and for each thread 4 queries or more to every
key head; in float16, 16 and 1. That takes, in numbers of s bytes, keys and values once more and per thread a tile of
keys C D. The matrix unit reads pairs: an odd D is made even in keys and in a tile of queries R D, an odd number of
keys in values and weights. The backward kernel packs nothing, nor does any kernel on ARM.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import torch

from attnbench.variants._setting import Shape
from attnbench.variants.kernels._peak import peak_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize, sum_itemsize

if TYPE_CHECKING:
    pass


_KEYS = 512
_LEAST_TO_PACK = {"float16": (16, 1), "bfloat16": (64, 4)}
"""What is packed: calls of so many queries and keys, with so many queries for each thread to every key head."""


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


def forward_workspace(
    heads: int, key_heads: int, queries: int, keys: int, head_dim: int, dtype: str, threads: int
) -> int:
    """Bytes of the fused kernel's tiles, forward, and of what it packs; `heads` and `key_heads` are over the batch."""
    rows, columns = _tile(queries, keys)
    rounded = rows * columns * itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    tiles = threads * ((rows * columns + 2 * rows + rows * head_dim) * sum_itemsize(dtype) + rounded)
    return tiles + _packed_bytes(heads, key_heads, queries, keys, head_dim, dtype, threads)


def _packed_bytes(heads: int, key_heads: int, queries: int, keys: int, head_dim: int, dtype: str, threads: int) -> int:
    """Bytes that packing adds to the tiles; no threads means another device, which packs nothing."""
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
    """Bytes of the fused kernel's tiles, backward, and of their products; `key_heads` are over the batch."""
    rows, columns = _tile(queries, keys)
    rounded = itemsize(dtype) if itemsize(dtype) < sum_itemsize(dtype) else 0
    tiles = 2 * rows * columns * (sum_itemsize(dtype) + rounded)
    if not threads or not rounded:
        return threads * tiles
    # As few queries as have tiles of this height.
    few = next((least for least in (768, 192) if queries >= least), rows)
    return threads * tiles + product_bytes(min(key_heads, 2), few, columns, head_dim, DTYPES[dtype], tiles)


def fused_bytes(shape: Shape, dtype: str, direction: str, threads: int) -> int:
    """Bytes of one call of the fused kernel without a mask over whole sequences.

    With T a query tensor, U a key tensor and L the log-sum-exp: forward T + L, backward 2 T + 2 U, training
    3 T + 2 U + L, each with its workspace; T + L and that of the forward, where that is more. Its own order is `bnhd`:
    the backward copies no output's gradient that has it, which saves T.
    """
    queries, keys, n = query_bytes(shape, dtype), key_bytes(shape, dtype), shape.seq_len
    out = queries + sums_bytes(shape, dtype)
    heads, key_heads = shape.batch * shape.heads, shape.batch * shape.kv_heads
    workspace = forward_workspace(heads, key_heads, n, n, shape.head_dim, dtype, threads)
    if direction == "forward":
        return out + workspace
    gradients = queries * (2 if shape.layout == "bhnd" else 1) + 2 * keys
    gradients += backward_workspace(key_heads, n, n, shape.head_dim, dtype, threads)
    return gradients if direction == "backward" else out + max(workspace, gradients)


def _tile(queries: int, keys: int) -> tuple[int, int]:
    """Queries and keys in a tile of the fused kernel."""
    rows = 256 if queries >= 768 else 64 if queries >= 192 else 32
    return min(rows, queries), min(_KEYS, keys)


def product_bytes(heads: int, queries: int, keys: int, head_dim: int, dtype: torch.dtype, tile_bytes: int) -> int:
    """Bytes that one backward call takes on the calling thread besides its gradients and each thread's tiles.

    Other threads' products are not seen, here or where a peak is measured. A single head is differentiated on one
    thread, whose products may use them all.
    """
    threads = torch.get_num_threads()
    return _workspace_bytes(heads, queries, keys, head_dim, dtype, threads) - threads * tile_bytes


@cache
def _workspace_bytes(heads: int, queries: int, keys: int, head_dim: int, dtype: torch.dtype, threads: int) -> int:
    """Bytes that one backward call takes besides its gradients, and a copy like dQ; each is learned once."""
    del threads
    q, k = (torch.zeros(1, heads, tokens, head_dim, dtype=dtype) for tokens in (queries, keys))
    sums = torch.zeros(1, heads, queries)

    def call() -> object:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(q, q, k, k, q, sums, 0.0, False)

    return peak_bytes(call) - 2 * (q.nbytes + k.nbytes)


_SCALAR_TYPES = {torch.float16: 5, torch.bfloat16: 15}
"""The numbers of types in torch's C++ (`c10::ScalarType`)."""


@cache
def could_pack(dtype: torch.dtype) -> bool:
    """Whether calls in this type are packed here, wherever they are large enough.

    torch's own answer, for which Python has no name. What the CPU can do is not enough: oneDNN also asks the system
    and `ONEDNN_MAX_CPU_ISA`. Where torch has no such function, it packs nothing.
    """
    if dtype not in _SCALAR_TYPES:
        return False
    try:
        asked = ctypes.CDLL("libtorch_cpu.so")._ZN2at6native7cpublas10could_packEN3c1010ScalarTypeE
    except (OSError, AttributeError):
        return False
    asked.restype = ctypes.c_bool
    return bool(asked(ctypes.c_int8(_SCALAR_TYPES[dtype])))
