"""torch's `scaled_dot_product_attention` without a mask, with the kernel that torch chooses.

It serves patterns in which every query sees every key, or every key up to itself (`is_causal`). Other patterns need a
mask: see `sdpa_masked` and `blockwise`.
"""

import numpy as np
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants import levels
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program, _entries
from attnbench.variants.kernels._memory import fused_bytes
from attnbench.variants.kernels._support import refusal


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support patterns that need no mask at this length."""
    refused = refusal(pattern, setting, crossed=True, padded=True)
    if refused is None and causality(pattern, setting.shape.seq_len) is None:
        return "sdpa takes no mask, and this pattern needs one; use sdpa_masked or blockwise"
    return refused


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: those of torch's fused kernel; in a padded batch those of `_entries`."""
    if setting.shape.lengths:
        return _entries.predict_bytes(predict_bytes, pattern, setting, threads)
    return fused_bytes(setting.shape, setting.dtype, setting.direction, threads, levels.keys(setting))


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare nothing. torch does not say how many scores the causal kernel skips, so `computed_pairs` is then None."""
    if setting.shape.lengths:
        return _entries.build(build, pattern, setting)
    shape = setting.shape
    is_causal = causality(pattern, shape.seq_len) is True
    enable_gqa = shape.kv_heads != shape.heads

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=enable_gqa)

    return Program(attend, None if is_causal else shape.batch * shape.heads * shape.seq_len * levels.keys(setting))


def causality(pattern: Pattern, n: int) -> bool | None:
    """Return False if every query sees all keys, True if it sees all keys up to itself, else None."""
    spans = pattern.spans(n)
    counts = spans.counts()
    if (counts == n).all():
        return False
    # A query i that sees i + 1 keys, none of them after i, sees exactly the keys 0 .. i.
    upto = np.arange(1, n + 1)
    return True if (counts == upto).all() and (spans.stop.max(axis=1) == upto).all() else None
