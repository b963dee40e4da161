"""Bytes that matrix products allocate within torch's fused backward, learned from a small call.

In reduced precision they are oneDNN's wherever it has some for the CPU, and torch's allocator serves it. How much it
takes depends on the product's size, the CPU and oneDNN's version; each product gives it back.
"""

from functools import cache

import torch

from attnbench.variants.kernels._memory.peak import peak_bytes


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
