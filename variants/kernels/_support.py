"""Shared by implementations: why a case is refused, and torch's names."""

import torch

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""torch's types by the names that suites use."""


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return DTYPES[dtype].itemsize


def sum_itemsize(dtype: str) -> int:
    """Bytes of one sum of such numbers in the fused kernel: float32 at least."""
    return max(4, itemsize(dtype))


def sum_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The dtype in which to sum such numbers: float32 at least."""
    return torch.promote_types(tensor.dtype, torch.float32)


def refusal(pattern: Pattern, setting: Setting) -> str | None:
    """Why no implementation can compute this, or nothing."""
    if setting.dtype not in DTYPES:
        return f"dtype: expected one of {', '.join(DTYPES)}, found {setting.dtype}"
    return pattern.unsupported(setting.shape.seq_len)
