"""Clocks: how long one call takes, in nanoseconds, as the mean over the calls of one value."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

Clock = Callable[[Callable[[], object], int], float]
"""`clock(call, calls)`: nanoseconds per call over `calls` calls in a row."""


def cpu(call: Callable[[], object], calls: int) -> float:
    """Wall time of `calls` calls, divided."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - start) / calls


def cuda_wall(call: Callable[[], object], calls: int) -> float:
    """Wall time of `calls` calls until the device has done them, divided: to warm up by, never a result."""
    import torch

    def until_done() -> None:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()

    return cpu(until_done, 1) / calls


def of(device: str) -> Clock:
    """The clock of a device; on CUDA that of a cold cache."""
    if device == "cpu":
        return cpu
    from attnbench.runner.worker.call import launches

    return launches.cold()


def for_warm_up(device: str) -> Clock:
    """The clock that a warm-up is measured with."""
    return cuda_wall if device == "cuda" else cpu


class Stopwatch:
    """Runs while it is entered."""

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
