"""Roofs of the machine, measured beside the cases: FLOP/s of a matrix product and bytes per second of a copy."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from attnbench.runner.worker.call.clocks import Clock

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the product: large enough for full speed, but short compared with a group's values."""
_COPY_BYTES = {"cpu": 2**25, "cuda": 2**30}
"""Larger than the caches."""
_VALUES = 3


class Roofs(NamedTuple):
    """Best of a few values of each roof."""

    flops_per_s: float
    """Rate of a square matrix product with 2 side^3 FLOPs."""
    copy_bytes_per_s: float
    """Rate of a copy: bytes read plus bytes written."""


def fields(roofs: Roofs | None) -> dict[str, float | None]:
    """Return roofs as fields of a sample."""
    if roofs is None:
        return {"roof_flops_per_s": None, "copy_bytes_per_s": None}
    return {"roof_flops_per_s": round(roofs.flops_per_s), "copy_bytes_per_s": round(roofs.copy_bytes_per_s)}


def measure(dtype: str, device: str, clock: Clock) -> Roofs | None:
    """Measure the roofs for a dtype with the current number of threads. Return None if memory is too small.

    A CPU without instructions for 16-bit numbers multiplies them slower than float32, and kernels may convert them. So
    the faster of the two products counts there.
    """
    number = getattr(torch, dtype)
    numbers = (number, torch.float32) if device == "cpu" and number.itemsize == 2 else (number,)
    try:
        source = torch.ones(_COPY_BYTES[device] // number.itemsize, dtype=number, device=device)
        target = torch.empty_like(source)
        with torch.no_grad():
            product_ns = min(_product_ns(each, device, clock) for each in numbers)
            copy_ns = _best_ns(lambda: target.copy_(source), clock)
    except (RuntimeError, MemoryError):
        return None
    return Roofs(2 * _SIDE[device] ** 3 / product_ns * 1e9, 2 * source.nbytes / copy_ns * 1e9)


def _product_ns(dtype: torch.dtype, device: str, clock: Clock) -> float:
    """Return the time of a product of two square matrices."""
    side = _SIDE[device]
    # The output exists already: page faults of new memory could double the time (docs/trust.md).
    a, b, c = (torch.randn(side, side, device=device).to(dtype) for _ in range(3))
    return _best_ns(lambda: torch.mm(a, b, out=c), clock)


def _best_ns(call: Callable[[], object], clock: Clock) -> float:
    """Return the time of the shortest of a few calls, after one warm-up call."""
    clock(call, 1)
    return min(clock(call, 1) for _ in range(_VALUES))
