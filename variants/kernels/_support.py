"""Helpers that implementations share: torch's dtypes, their sizes, and reasons to refuse a case."""

import torch

from attnbench.variants import levels
from attnbench.variants._pattern import Pattern
from attnbench.variants._scored import Scored
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


def refusal(
    pattern: Pattern,
    setting: Setting,
    *,
    scored: bool = False,
    biased: bool = False,
    crossed: bool = False,
    padded: bool = False,
) -> str | None:
    """Return why an implementation cannot compute this, or None.

    `scored` says that it modifies scores, `biased` that it takes a level's bias, `crossed` that it takes keys of
    another sequence, and `padded` that it computes batches of sequences of different lengths.
    """
    if setting.dtype not in DTYPES:
        return f"dtype: expected one of {', '.join(DTYPES)}, found {setting.dtype}"
    if isinstance(pattern, Scored) and not scored:
        others = "compiled, eager, flex or sdpa_masked" if pattern.adds else "compiled, eager or flex"
        return f"it computes scores q . k / sqrt(D) as they are, and this variant modifies them; use {others}"
    if levels.has_bias(setting) and not biased:
        return levels.BIAS_REFUSED
    if levels.crosses(setting) and not crossed:
        return levels.CROSS_REFUSED
    if setting.shape.lengths and not padded:
        others = "native, blockwise, flex, sdpa, sdpa_masked or eager"
        if isinstance(pattern, Scored):
            others = "flex, sdpa_masked or eager" if pattern.adds else "flex or eager"
        return f"it computes all N tokens of every sequence, and this batch is padded; use {others}"
    return pattern.unsupported(setting.shape.seq_len)


def places(setting: Setting) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the numbers of query heads `[H, 1, 1]`, of queries `[N, 1]` and of keys `[N]`."""
    shape = setting.shape
    n = torch.arange(shape.seq_len, device=setting.device)
    return torch.arange(shape.heads, device=setting.device)[:, None, None], n[:, None], n


def masks(pattern: Pattern, setting: Setting) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the mask `[N, N]` of allowed pairs and None, or for a padded batch `B 1 N N` and `B 1 N 1`.

    The second marks queries whose output is 0: those past the end of a sequence, and those whose keys are all past it.
    In the mask they see all keys, because a softmax over no keys is not a number.
    """
    n, lengths = setting.shape.seq_len, setting.shape.lengths
    seen = torch.from_numpy(pattern.spans(n).mask())
    if lengths is None:
        return seen.to(setting.device), None
    filled = torch.arange(n) < torch.tensor(lengths)[:, None]
    seen = seen & filled[:, None, :, None] & filled[:, None, None, :]
    blind = ~seen.any(dim=-1, keepdim=True)
    return (seen | blind).to(setting.device), blind.to(setting.device)


def bias(pattern: Scored, setting: Setting) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what a pattern that `adds` adds to scores, `1 H N N` or `B H N N`, -inf at pairs that are not allowed.

    The second result is that of `masks`.
    """
    zero = torch.zeros((), dtype=DTYPES[setting.dtype], device=setting.device)
    seen, blind = masks(pattern, setting)
    added = pattern.modified(zero, *places(setting), setting.shape.heads)
    return added[None].where(seen, -torch.inf), blind


def by_distance(table: torch.Tensor, n: int) -> torch.Tensor:
    """Return what a level's table `[H, 2 R + 1]` adds to scores, `H N N`: a[h, clip(j - i, -R, R)]."""
    reach = table.shape[1] // 2
    places = torch.arange(1 - n, n, device=table.device).clamp_(-reach, reach) + reach
    # The gradient of a number is a sum over many pairs, so it is summed in float32 or wider.
    numbers = table.to(sum_dtype(table)).index_select(1, places)
    # The biases of a query are N neighbours; those of the next query begin one place earlier.
    return numbers.unfold(1, n, 1).to(table.dtype).flip(1)
