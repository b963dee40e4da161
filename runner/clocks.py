"""Clocks: how long one call takes, in nanoseconds, as the mean over the calls of one value."""

import time
from collections.abc import Callable
from typing import Any

Clock = Callable[[Callable[[], object], int], float]
"""`clock(call, calls)`: nanoseconds per call over `calls` calls in a row."""


def cpu(call: Callable[[], object], calls: int) -> float:
    """Wall time of `calls` calls, divided."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - start) / calls


def cuda() -> Clock:
    """A clock of CUDA events: a pair around each launch, the L2 cache overwritten before it.

    The overwrite stands outside the pair, so the time is that of a call with a cold cache. The launches of a
    value are queued together and waited for once.
    """
    import torch

    bytes_of_l2 = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    event: Any = torch.cuda.Event
    flush = torch.empty(bytes_of_l2, dtype=torch.int8, device="cuda")

    def value(call: Callable[[], object], calls: int) -> float:
        pairs: list[tuple[Any, Any]] = []
        for _ in range(calls):
            begin, end = event(enable_timing=True), event(enable_timing=True)
            flush.zero_()
            begin.record()
            call()
            end.record()
            pairs.append((begin, end))
        torch.cuda.synchronize()
        return float(sum(begin.elapsed_time(end) for begin, end in pairs)) * 1e6 / calls

    return value


def of(device: str) -> Clock:
    """The clock of a device."""
    return cuda() if device == "cuda" else cpu
