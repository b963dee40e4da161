"""Memory: the budget of a run, the limit of a worker, and the exact peak of a call."""

import ctypes
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from attnbench.runner.machine.doctor import cgroup, machine
from attnbench.runner.machine.doctor.finding import Unread
from attnbench.variants.kernels import _peak

COMPILER_BYTES = 2 * 2**30
"""Memory for a compiler, in addition to the budget of the case."""


def available_bytes() -> int:
    """Return the memory that a run may use: the available memory, but at most the rest of the cgroup's limit."""
    available = int(psutil.virtual_memory().available)
    try:
        left_bytes = cgroup.memory_left_bytes(machine.here(Path("/")))
    except Unread:
        return available
    return available if left_bytes is None else min(available, left_bytes)


def limit(budget_bytes: int) -> None:
    """Limit this process to `budget_bytes` more than it holds now. Larger allocations fail immediately.

    Sets RLIMIT_DATA, which counts private writable memory, whether touched or not.
    """
    held = _status_bytes("VmData")
    if held is None:
        return
    _limit_to(held + budget_bytes)


@contextmanager
def room_to_compile() -> Iterator[None]:
    """Raise the memory limit of this process and its compilers by `COMPILER_BYTES` for a while.

    Memory that remains afterwards (compiled code, compiler modules) is added to the limit: it is not the case's own.
    """
    before, held = resource.getrlimit(resource.RLIMIT_DATA)[0], _status_bytes("VmData")
    if before == resource.RLIM_INFINITY or held is None:
        yield
        return
    _limit_to(before + COMPILER_BYTES)
    try:
        yield
    finally:
        _limit_to(before + max((_status_bytes("VmData") or held) - held, 0))


def _limit_to(wanted: int) -> None:
    """Set RLIMIT_DATA, at most to the hard limit."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


@dataclass(frozen=True)
class Peaks:
    """Peak memory of one call, beyond what was held before, and what its profile shows besides."""

    allocated_bytes: int
    """From torch's allocator: exact, equal every time at the same thread count."""
    resident_bytes: int | None
    """Growth of the resident peak, which includes memory of libraries. Linux and CPU only."""
    reserved_bytes: int | None = None
    """Growth of what the allocator reserved on the device. CUDA only."""
    torch_kernel: str | None = None
    """The kernel of torch's attention that ran; None if none did."""


def cpu_peaks(call: Callable[[], object]) -> Peaks:
    """Return the peaks of one call on the CPU, from the profiler's memory events and from /proc."""
    resident_bytes: list[int | None] = []
    allocated_bytes, kernel = _peak.peak_and_kernel(lambda: resident_bytes.append(_resident_bytes(call)))
    return Peaks(allocated_bytes, resident_bytes[0], torch_kernel=kernel)


def cuda_peaks(call: Callable[[], object]) -> Peaks:
    """Return the peaks of one call on a CUDA device: the allocator's maxima after a reset, with an empty cache."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    allocated, reserved = int(torch.cuda.memory_allocated()), int(torch.cuda.memory_reserved())
    # The profile is of the host alone, whose operators say which kernel was launched.
    kernel = _peak.kernel(call)
    torch.cuda.synchronize()
    return Peaks(
        int(torch.cuda.max_memory_allocated()) - allocated,
        None,
        int(torch.cuda.max_memory_reserved()) - reserved,
        kernel,
    )


def cuda_free_bytes() -> int | None:
    """Return the free memory of the CUDA device, with an empty cache; None without a device."""
    import gc

    import torch

    if not torch.cuda.is_available():
        return None
    gc.collect()
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info()[0])


def _resident_bytes(call: Callable[[], object]) -> int | None:
    """Return the growth of the resident peak during one call, or None if the system does not report it.

    Memory that the C library keeps after `free` is returned to the system first, because it would hide growth.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        call()
        return None
    before = _status_bytes("VmRSS")
    call()
    peak = _status_bytes("VmHWM")
    return None if before is None or peak is None else max(peak - before, 0)


def _status_bytes(name: str) -> int | None:
    """Return a field of /proc/self/status."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), None)
