"""Launches on a CUDA device, timed by a pair of events around each, with a cold or a hot L2 cache.

A launch returns before its kernels run, and if the host queues them slowly, the device waits between them. So a
spinning kernel holds the device back until the launch and both events are queued. The events then span device time
only. Each launch is checked for whether this worked.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CYCLES_PER_NS = 2.5
"""Faster than the clock of any GPU, so that a hold is never too short."""
MOST_HELD_NS = 20e6
HELD_SHARE = 1.5
"""A hold takes this many times as long as the host took to queue an earlier call, plus a margin."""
HELD_MARGIN_NS = 20e3
_LOOKS = 2
"""Untimed calls before a value of several calls. The faster one sets the hold, because one may be interrupted."""


@dataclass(frozen=True)
class Value:
    """One value, per call."""

    device_ns: float
    """Time between the two events of a launch."""
    host_ns: float
    """Time that the host took to queue a launch while the device was idle."""
    gaps: int
    """Launches that began before they were fully queued. Their time may include waiting for the host."""


class EventClock:
    """Clock for launches on the current stream.

    `cuda` is `torch.cuda`. `overwrite` clears the L2 cache before each launch; without it, the cache is hot. Each value
    begins with one untimed call, or two if it has several calls. They measure the time of the host and fill a hot
    cache.
    """

    def __init__(
        self, cuda: Any, overwrite: Callable[[], object] | None, now_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._cuda = cuda
        self._overwrite = overwrite
        self._now_ns = now_ns
        # `_sleep` is private to torch and may be missing. Then nothing is held, and gaps are only counted.
        self._spin: Callable[[int], None] | None = getattr(cuda, "_sleep", None)

    def __call__(self, call: Callable[[], object], calls: int) -> float:
        """Return nanoseconds per call on the device."""
        return self.value(call, calls).device_ns

    def value(self, call: Callable[[], object], calls: int) -> Value:
        """Take one value of `calls` launches, with one synchronization at the end."""
        host_ns = min(self._host_ns(call) for _ in range(min(calls, _LOOKS)))
        held_ns = min(MOST_HELD_NS, HELD_SHARE * host_ns + HELD_MARGIN_NS)
        pairs = [self._launch(call, held_ns) for _ in range(calls)]
        self._cuda.synchronize()
        device_ns = statistics.fmean(begin.elapsed_time(end) * 1e6 for begin, end, _ in pairs)
        return Value(device_ns, host_ns, sum(begun for _, _, begun in pairs))

    def _host_ns(self, call: Callable[[], object]) -> float:
        """Return the nanoseconds that the host takes to queue a call."""
        begun_ns = self._now_ns()
        call()
        return float(self._now_ns() - begun_ns)

    def _launch(self, call: Callable[[], object], held_ns: float) -> tuple[Any, Any, bool]:
        """Queue one launch. Return its events, and whether the first had passed before the second was queued."""
        begin, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        if self._spin is not None:
            self._spin(int(held_ns * CYCLES_PER_NS))
        # Before the first event, so that overwriting the cache is not timed.
        if self._overwrite is not None:
            self._overwrite()
        begin.record()
        call()
        end.record()
        # If the device has passed the first event by now, the hold was too short.
        return begin, end, bool(begin.query())


def cold() -> EventClock:
    """Return a clock that overwrites the L2 cache before each launch."""
    import torch

    size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return EventClock(torch.cuda, torch.empty(size, dtype=torch.int8, device="cuda").zero_)


def hot() -> EventClock:
    """Return a clock that leaves the caches as the previous call left them."""
    import torch

    return EventClock(torch.cuda, None)
