"""Helpers that implementations share: torch's dtypes, their sizes, and reasons to refuse a case."""

import torch

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""torch's dtypes by the names that suites use."""


def itemsize(dtype: str) -> int:
    """Return the bytes of one number."""
    return DTYPES[dtype].itemsize


def sum_itemsize(dtype: str) -> int:
    """Return the bytes of one sum of such numbers in the fused kernel, which sums in float32 or wider."""
    return max(4, itemsize(dtype))


def sum_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the dtype in which to sum such numbers: float32 or wider."""
    return torch.promote_types(tensor.dtype, torch.float32)


def refusal(pattern: Pattern, setting: Setting) -> str | None:
    """Return why no implementation can compute this, or None."""
    if setting.dtype not in DTYPES:
        return f"dtype: expected one of {', '.join(DTYPES)}, found {setting.dtype}"
    return pattern.unsupported(setting.shape.seq_len)
