"""Checks of memory: available memory, swap, page size."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from attnbench.runner.machine.doctor import cgroup
from attnbench.runner.machine.doctor.finding import Answer, Check, Unread
from attnbench.runner.machine.doctor.machine import Machine

_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
_LOW_SHARE = 0.1
_LOW_BYTES = 2**30
_SWAP_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Memory:
    """The system's memory and swap, in bytes."""

    total_bytes: int
    available_bytes: int
    swapped_bytes: int


def memory() -> Memory:
    """Read the system's memory and swap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # psutil warns if swap traffic is unknown, which is not needed here
        swapped_bytes = int(psutil.swap_memory().used)
    system = psutil.virtual_memory()
    return Memory(int(system.total), int(system.available), swapped_bytes)


def available(machine: Machine) -> Answer:
    """Check the available part of the memory that this process may use."""
    system = memory()
    total_bytes = _of_cgroup(cgroup.memory_limit_bytes, machine, system.total_bytes)
    left_bytes = _of_cgroup(cgroup.memory_left_bytes, machine, system.available_bytes)
    found = f"{_gib(left_bytes)} available of {_gib(total_bytes)}"
    if total_bytes < system.total_bytes:
        found += f" (the cgroup's limit; the machine has {_gib(system.total_bytes)})"
    if left_bytes >= max(_LOW_SHARE * total_bytes, _LOW_BYTES):
        return Answer("good", found)
    return Answer("warning", found, "End what holds memory: `ps -e -o pid,rss,comm --sort=-rss | head`.")


def swap(machine: Machine) -> Answer:
    """Check whether memory was moved to disk."""
    del machine
    system = memory()
    found = f"{system.swapped_bytes / 2**20:.0f} MiB in use"
    if system.swapped_bytes < _SWAP_BYTES:
        return Answer("good", found)
    if system.swapped_bytes < system.available_bytes:
        return Answer("warning", found, "Bring it back to memory: `sudo swapoff --all && sudo swapon --all`.")
    return Answer("unfit", found, "End what holds memory: `ps -e -o pid,rss,comm --sort=-rss | head`.")


def huge_pages(machine: Machine) -> Answer:
    """Check the setting of transparent huge pages."""
    chosen = re.search(r"\[(\w+)\]", machine.read(_PAGES))
    if not chosen:
        raise Unread(f"/{_PAGES} (no choice is marked)")
    return Answer("fact", chosen[1])


def _of_cgroup(read: Callable[[Machine], int | None], machine: Machine, otherwise: int) -> int:
    """Return a memory figure of the cgroup, at most `otherwise`; `otherwise` if there is none."""
    try:
        found = read(machine)
    except Unread:
        return otherwise
    return otherwise if found is None else min(found, otherwise)


def _gib(count_bytes: int) -> str:
    return f"{count_bytes / 2**30:.1f} GiB"


CHECKS = (
    Check("memory", "Where memory runs out, long cases are refused and pages go to disk.", available),
    Check("swap", "A page that comes back from disk costs more than a whole call.", swap),
    Check("huge pages", "Page size moves times and resident memory: compare machines of the same setting.", huge_pages),
)
