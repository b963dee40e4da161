"""What torch's profiler sees of one call: the peak of the allocator on the CPU, and the kernel of attention that ran.

Importing this does not import torch.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.profiler import profile


_KERNEL = re.compile(r"aten::_scaled_dot_product_(?:(flash|efficient|cudnn)_attention|attention_(math))")


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most bytes that one call holds at a time, without those held before it."""
    return peak_and_kernel(call)[0]


def peak_and_kernel(call: Callable[[], object]) -> tuple[int, str | None]:
    """Return the most bytes that one call holds at a time, without those held before it, and torch's kernel in it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    held = peak = 0
    for event in allocations(profiler, "cpu"):
        held += event.nbytes()
        peak = max(peak, held)
    return peak, torch_kernel(event.name() for event in _events(profiler))


def kernel(call: Callable[[], object]) -> str | None:
    """Return torch's kernel in one call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    return torch_kernel(event.name() for event in _events(profiler))


def torch_kernel(operators: Iterable[str]) -> str | None:
    """Return the kernel of `scaled_dot_product_attention` among operators: `flash`, `efficient`, `cudnn` or `math`.

    Several are joined by `+`. None: none of them was called, as in attention that is written in other operators.
    """
    found = {match[1] or match[2] for name in operators if (match := _KERNEL.match(name))}
    return "+".join(sorted(found)) or None


def allocations(profiler: "profile", device: str) -> list[Any]:
    """Return the allocator's events on a device, ordered by time; a free has negative `nbytes()`."""
    found = [event for event in _events(profiler) if event.name() == "[memory]"]
    mine = [event for event in found if event.device_type().name.lower() == device]
    return sorted(mine, key=lambda event: event.start_ns())


def _events(profiler: "profile") -> list[Any]:
    """Return all events of a profile."""
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    return list(profiler.profiler.kineto_results.events())
