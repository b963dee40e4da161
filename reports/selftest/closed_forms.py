"""Closed formulas for the number of allowed pairs, to check the counted one."""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

from attnbench.suites import Case
from attnbench.variants import DECODE, FLOPS_PER_PAIR


def flops(case: Case) -> int | None:
    """Return the FLOPs of a case by the closed form of its pattern; None if there is none here, as for one query."""
    pairs = _PAIRS.get(case.mechanism.name)
    every = case.setting.direction != DECODE
    counted = pairs(case.setting.shape.seq_len, case.mechanism.parameters) if pairs and every else None
    if counted is None:
        return None
    return (
        FLOPS_PER_PAIR[case.setting.direction]
        * counted
        * case.setting.shape.batch
        * case.setting.shape.heads
        * case.setting.shape.head_dim
    )


def _full(n: int, given: Mapping[str, Any]) -> int:
    return n * (n + 1) // 2 if given["causal"] else n * n


def _truncated(n: int, given: Mapping[str, Any]) -> int | None:
    # Runs of older versions do not name `chunk`.
    if given.get("chunk", 1) != 1:
        return None
    # Every query has the whole band, minus the keys that it would have before the first or after the last one.
    left, right = (n - 1 if given[side] is None else min(given[side], n - 1) for side in ("left", "right"))
    return n * (left + right + 1) - left * (left + 1) // 2 - right * (right + 1) // 2


def _local_window(n: int, given: Mapping[str, Any]) -> int | None:
    if given["dilation"] != 1 or given["causal"]:
        return None
    # Sliding edges shift the window inside the sequence, so every query has all of its keys.
    if given["edges"] == "slide":
        return n * int(given["window"])
    window = given["window"]
    return _truncated(n, {"left": window // 2, "right": (window - 1) // 2})


def _local_window_2d(n: int, given: Mapping[str, Any]) -> int | None:
    if tuple(given["dilation"]) != (1, 1) or given["causal"]:
        return None
    sides = given["grid"] or (isqrt(n), isqrt(n))
    down, across = (
        _local_window(side, {"window": window, "dilation": 1, "edges": given["edges"], "causal": False})
        for side, window in zip(sides, given["window"], strict=True)
    )
    return down * across if down and across else None


def _block_local(n: int, given: Mapping[str, Any]) -> int:
    block = given["block"]
    whole, rest = divmod(n, block)
    if given["causal"]:
        return int(whole * block * (block + 1) // 2 + rest * (rest + 1) // 2)
    return int(whole * block**2 + rest**2)


_PAIRS: dict[str, Callable[[int, Mapping[str, Any]], int | None]] = {
    "full": _full,
    "truncated": _truncated,
    "local_window": _local_window,
    "local_window_2d": _local_window_2d,
    "block_local": _block_local,
}
