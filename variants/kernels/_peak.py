"""The peak of torch's allocator over one call on the CPU, from the profiler. Loading this does not import torch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.profiler import profile


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that one call holds at a time, beyond what was held before it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    held = peak = 0
    for event in allocations(profiler, "cpu"):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def allocations(profiler: "profile", device: str) -> list[Any]:
    """The allocator's events on a device, in order of time; what is freed counts as negative `nbytes()`."""
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    found = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    mine = [event for event in found if event.device_type().name.lower() == device]
    return sorted(mine, key=lambda event: event.start_ns())
