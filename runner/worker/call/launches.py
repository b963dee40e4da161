"""Launches on a CUDA device, timed by events: a pair around each, the L2 cache cold or hot.

A launch returns before its kernels have run, and a host that is slow to queue them leaves the device waiting
between them. So the device is held back, by a kernel that spins, until the launch is queued with both its events:
what the pair then spans is the device's own time. Whether that worked is looked up for each launch.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CYCLES_PER_NS = 2.5
"""More than any GPU's clock, so that a hold is never shorter than asked for."""
MOST_HELD_NS = 20e6
HELD_SHARE = 1.5
"""A hold is this many times as long as the host took to queue the call before, and a margin."""
HELD_MARGIN_NS = 20e3
_LOOKS = 2
"""Calls before a value of several, the quicker of which says how long to hold: one may have been interrupted."""


@dataclass(frozen=True)
class Value:
    """One value, per call."""

    device_ns: float
    """Between the two events of a launch."""
    host_ns: float
    """What the host took to queue a launch while the device was idle."""
    gaps: int
    """Launches that had begun before they were wholly queued: their time may contain waiting for the host."""


class EventClock:
    """Times launches on the current stream.

    `cuda` is `torch.cuda`. `overwrite` empties the L2 cache before each launch; without it the cache is hot. Each
    value begins with a call that is not timed, or with two where it holds several calls: it tells how long the host
    takes, and makes a hot cache hot.
    """

    def __init__(
        self, cuda: Any, overwrite: Callable[[], object] | None, now_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._cuda = cuda
        self._overwrite = overwrite
        self._now_ns = now_ns
        self._spin: Callable[[int], None] | None = getattr(cuda, "_sleep", None)

    def __call__(self, call: Callable[[], object], calls: int) -> float:
        """Nanoseconds per call on the device."""
        return self.value(call, calls).device_ns

    def value(self, call: Callable[[], object], calls: int) -> Value:
        """One value of `calls` launches, waited for once."""
        host_ns = min(self._host_ns(call) for _ in range(min(calls, _LOOKS)))
        held_ns = min(MOST_HELD_NS, HELD_SHARE * host_ns + HELD_MARGIN_NS)
        pairs = [self._launch(call, held_ns) for _ in range(calls)]
        self._cuda.synchronize()
        device_ns = statistics.fmean(begin.elapsed_time(end) * 1e6 for begin, end, _ in pairs)
        return Value(device_ns, host_ns, sum(begun for _, _, begun in pairs))

    def _host_ns(self, call: Callable[[], object]) -> float:
        """What the host takes to queue a call."""
        begun_ns = self._now_ns()
        call()
        return float(self._now_ns() - begun_ns)

    def _launch(self, call: Callable[[], object], held_ns: float) -> tuple[Any, Any, bool]:
        """The events around one launch, and whether the first had passed before the second was queued."""
        begin, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        if self._spin is not None:
            self._spin(int(held_ns * CYCLES_PER_NS))
        if self._overwrite is not None:
            self._overwrite()
        begin.record()
        call()
        end.record()
        return begin, end, bool(begin.query())


def cold() -> EventClock:
    """A clock that overwrites as many bytes as the L2 cache has before each launch."""
    import torch

    size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return EventClock(torch.cuda, torch.empty(size, dtype=torch.int8, device="cuda").zero_)


def hot() -> EventClock:
    """A clock that leaves the caches as the call before left them."""
    import torch

    return EventClock(torch.cuda, None)
