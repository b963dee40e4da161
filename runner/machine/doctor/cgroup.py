"""What the cgroups of this process allow: CPU time and memory, of version 1 and 2."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.machine.doctor.machine import Machine

_ROOT = "sys/fs/cgroup"
_UNLIMITED = ("max", "-1")


def cpu_quota(machine: Machine) -> float | None:
    """The CPUs' worth of time that this process and its group may use, or nothing where that is unlimited.

    The tightest of the process's own cgroup and all above it.

    Raises:
        Unread: the system tells no cgroup.
    """
    lines = [text.split() for text in _texts(machine, "", "cpu.max")]
    quotas, periods = (_texts(machine, "cpu", f"cpu.cfs_{word}_us") for word in ("quota", "period"))
    lines += [list(pair) for pair in zip(quotas, periods, strict=False)]
    limited = [(quota, period) for quota, period in lines if quota not in _UNLIMITED]
    return min((int(quota) / int(period) for quota, period in limited), default=None)


def memory_limit_bytes(machine: Machine) -> int | None:
    """The memory that this process and its group may use, or nothing where no limit is set.

    Version 1 tells a huge number where there is no limit; compare with what the machine has.

    Raises:
        Unread: the system tells no cgroup.
    """
    return min((limit for limit, _ in _memory(machine)), default=None)


def memory_left_bytes(machine: Machine) -> int | None:
    """What may still be taken within these limits, or nothing where none is set.

    Pages of files that nobody uses count as free.

    Raises:
        Unread: the system tells no cgroup.
    """
    return min((max(limit - used, 0) for limit, used in _memory(machine)), default=None)


def _memory(machine: Machine) -> Iterator[tuple[int, int]]:
    """The limit of each group that has one, and what it holds, in bytes."""
    version_2 = "", "memory.max", "memory.current", "inactive_file"
    version_1 = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    for controller, limit, used, idle in (version_2, version_1):
        for folder in _folders(machine, controller):
            try:
                told = machine.read(f"{folder}/{limit}")
            except Unread:
                continue
            if told not in _UNLIMITED:
                yield int(told), _used_bytes(machine, f"{folder}/{used}", f"{folder}/memory.stat", idle)


def _used_bytes(machine: Machine, used: str, stat: str, idle: str) -> int:
    """What a group holds apart from idle pages of files; 0 where it does not tell."""
    try:
        told = dict(line.split(maxsplit=1) for line in machine.read(stat).splitlines())
        return max(int(machine.read(used)) - int(told.get(idle, 0)), 0)
    except Unread:
        return 0


def _texts(machine: Machine, controller: str, file: str) -> Iterator[str]:
    """The texts of `file` in the process's cgroup and those above it; no controller means version 2."""
    for folder in _folders(machine, controller):
        try:
            yield machine.read(f"{folder}/{file}")
        except Unread:
            continue


def _folders(machine: Machine, controller: str) -> Iterator[str]:
    """The folders of the process's cgroup and those above it; inside a container some are not there."""
    for line in machine.read("proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            place = PurePosixPath(path)
            for each in (place, *place.parents):
                yield str(PurePosixPath(_ROOT, controller, str(each).lstrip("/")))
