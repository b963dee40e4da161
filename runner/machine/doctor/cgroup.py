"""Limits of this process's cgroups on CPU time and memory (versions 1 and 2)."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.machine.doctor.machine import Machine

_ROOT = "sys/fs/cgroup"
_UNLIMITED = ("max", "-1")


def cpu_quota(machine: Machine) -> float | None:
    """Return the CPU quota of this process in CPUs, or None if it is unlimited.

    It is the smallest quota of the process's cgroup and its parents.

    Raises:
        Unread: the system has no cgroup information.
    """
    lines = [text.split() for text in _texts(machine, "", "cpu.max")]
    quotas, periods = (_texts(machine, "cpu", f"cpu.cfs_{word}_us") for word in ("quota", "period"))
    lines += [list(pair) for pair in zip(quotas, periods, strict=False)]
    limited = [(quota, period) for quota, period in lines if quota not in _UNLIMITED]
    return min((int(quota) / int(period) for quota, period in limited), default=None)


def memory_limit_bytes(machine: Machine) -> int | None:
    """Return the memory limit of this process, or None if there is none.

    Version 1 reports a huge number if there is no limit, so compare it with the machine's memory.

    Raises:
        Unread: the system has no cgroup information.
    """
    return min((limit for limit, _ in _memory(machine)), default=None)


def memory_left_bytes(machine: Machine) -> int | None:
    """Return the memory left within these limits, or None if there is none. Inactive file pages count as free.

    Raises:
        Unread: the system has no cgroup information.
    """
    return min((max(limit - used, 0) for limit, used in _memory(machine)), default=None)


def _memory(machine: Machine) -> Iterator[tuple[int, int]]:
    """Yield limit and usage in bytes of each cgroup that has a limit."""
    version_2 = "", "memory.max", "memory.current", "inactive_file"
    version_1 = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    for controller, limit, used, idle in (version_2, version_1):
        for folder in _folders(machine, controller):
            try:
                found = machine.read(f"{folder}/{limit}")
            except Unread:
                continue
            if found not in _UNLIMITED:
                yield int(found), _used_bytes(machine, f"{folder}/{used}", f"{folder}/memory.stat", idle)


def _used_bytes(machine: Machine, used: str, stat: str, idle: str) -> int:
    """Return the usage of a cgroup without inactive file pages; 0 if unknown."""
    try:
        fields = dict(line.split(maxsplit=1) for line in machine.read(stat).splitlines())
        return max(int(machine.read(used)) - int(fields.get(idle, 0)), 0)
    except Unread:
        return 0


def _texts(machine: Machine, controller: str, file: str) -> Iterator[str]:
    """Yield the contents of `file` in the process's cgroup and its parents. An empty controller means version 2."""
    for folder in _folders(machine, controller):
        try:
            yield machine.read(f"{folder}/{file}")
        except Unread:
            continue


def _folders(machine: Machine, controller: str) -> Iterator[str]:
    """Yield the folders of the process's cgroup and its parents. Inside a container some do not exist."""
    for line in machine.read("proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            place = PurePosixPath(path)
            for each in (place, *place.parents):
                yield str(PurePosixPath(_ROOT, controller, str(each).lstrip("/")))
