"""Clocks that return nanoseconds per call, as the mean over the calls of one value."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

Clock = Callable[[Callable[[], object], int], float]
"""`clock(call, calls)` returns nanoseconds per call over `calls` calls in a row."""


def cpu(call: Callable[[], object], calls: int) -> float:
    """Return the wall time of `calls` calls, divided by `calls`."""
    # The clock is read only twice for each value. Clock and loop take less than 0.1 % of a value (docs/trust.md).
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - start) / calls


def cuda_wall(call: Callable[[], object], calls: int) -> float:
    """Return the wall time of `calls` calls on the device, divided by `calls`. For warm-up only, not for results."""
    import torch

    def until_done() -> None:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()

    return cpu(until_done, 1) / calls


def of(device: str) -> Clock:
    """Return the clock of a device. On CUDA, it has a cold cache."""
    if device == "cpu":
        return cpu
    from attnbench.runner.worker.call import launches

    return launches.cold()


def for_warm_up(device: str) -> Clock:
    """Return the clock for the warm-up on a device."""
    return cuda_wall if device == "cuda" else cpu


class Stopwatch:
    """Context manager that adds up the time spent in it."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._begun_s = 0.0

    def __enter__(self) -> Self:
        self._begun_s = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.total_s += time.perf_counter() - self._begun_s
