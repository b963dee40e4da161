"""The peak of torch's allocator during one call on the CPU, from the profiler. Importing this does not import torch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.profiler import profile


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most bytes that one call holds at a time, without those held before it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    held = peak = 0
    for event in allocations(profiler, "cpu"):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def allocations(profiler: "profile", device: str) -> list[Any]:
    """Return the allocator's events on a device, ordered by time; a free has negative `nbytes()`."""
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    found = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    mine = [event for event in found if event.device_type().name.lower() == device]
    return sorted(mine, key=lambda event: event.start_ns())
