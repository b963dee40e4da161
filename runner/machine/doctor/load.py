"""Checks of other users of the CPUs: load, other processes, steal time."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from attnbench.runner.machine.doctor.finding import Answer, Check, Unread
from attnbench.runner.machine.doctor.machine import Machine

_SECONDS = 1.0
_STAT = "proc/stat"
_STEAL_FIELD = 7
_COUNTED_FIELDS = 8
_SHOWN = 3

ProcessTimes = Mapping[tuple[int, str], float]
"""Seconds of CPU time by process id and name."""


@dataclass(frozen=True)
class Watch:
    """State before and after `seconds` without activity of this process. A stat is empty if it cannot be read."""

    machine: Machine
    seconds: float
    stats: tuple[str, str]
    times: tuple[ProcessTimes, ProcessTimes]


def watch(machine: Machine) -> Watch:
    """Watch the machine for about a second."""
    start, stat, times = time.perf_counter(), _stat(machine), process_times()
    pause(_SECONDS)
    seconds = time.perf_counter() - start
    return Watch(machine, seconds, (stat, _stat(machine)), (times, process_times()))


def pause(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


def load_average() -> float:
    """Return the mean number of processes that ran or waited to run, over the last minute."""
    return float(psutil.getloadavg()[0])


def process_times() -> dict[tuple[int, str], float]:
    """Return the CPU time of all other processes that report it."""
    facts = [process.info for process in psutil.process_iter(["pid", "name", "cpu_times"])]
    return {
        (each["pid"], each["name"] or "?"): each["cpu_times"].user + each["cpu_times"].system
        for each in facts
        if each["cpu_times"] and each["pid"] != os.getpid()
    }


def load(seen: Watch) -> Answer:
    """Check the load average of the last minute."""
    found = load_average()
    said = f"{found:.2f} over the last minute, on {seen.machine.online} CPUs"
    if found < 0.5:
        return Answer("good", said)
    heavy = found >= max(1.0, seen.machine.online / 2)
    return Answer("bad" if heavy else "warning", said, "Wait until it is below 0.5: `uptime`.")


def processes(seen: Watch) -> Answer:
    """Check the busiest other processes."""
    before, after = seen.times
    shares = {key: (spent - before.get(key, spent)) / seen.seconds for key, spent in after.items()}
    total = sum(shares.values())
    if total < 0.1:
        return Answer("good", f"all others together take {total:.0%} of a CPU")
    busiest = sorted(shares.items(), key=lambda each: (-each[1], each[0]))[:_SHOWN]
    named = ", ".join(f"{name} (pid {pid}) {share:.0%}" for (pid, name), share in busiest if share >= 0.01)
    return Answer(
        "bad" if total >= 0.5 else "warning",
        f"others take {total:.0%} of a CPU" + (f": {named}" if named else ""),
        f"End them or wait for them; see the busiest: `ps -f -p {busiest[0][0][0]}`.",
    )


def steal(seen: Watch) -> Answer:
    """Check steal time as a share of the allowed CPUs' time."""
    before, after = (_ticks(stat, seen.machine.cpus) for stat in seen.stats)
    total = after[0] - before[0]
    if total <= 0:
        raise Unread(f"/{_STAT} (no time passed between two looks)")
    share = (after[1] - before[1]) / total
    said = f"{share:.1%} of the allowed CPUs' time in {seen.seconds:.1f} s"
    if share < 0.01:
        return Answer("good", said)
    do = "Measure at another hour or on a machine of your own; watch it with `vmstat 1` (column st)."
    return Answer("bad" if share >= 0.05 else "warning", said, do)


def _ticks(stat: str, cpus: tuple[int, ...]) -> tuple[int, int]:
    """Return the total and stolen ticks of some CPUs."""
    rows = [line.split() for line in stat.splitlines()]
    counts = [[int(count) for count in row[1:]] for row in rows if row and row[0] in {f"cpu{cpu}" for cpu in cpus}]
    if not counts:
        raise Unread(f"/{_STAT} (it does not tell the time of the allowed CPUs)")
    return sum(sum(row[:_COUNTED_FIELDS]) for row in counts), sum(row[_STEAL_FIELD] for row in counts)


def _stat(machine: Machine) -> str:
    try:
        return machine.read(_STAT)
    except Unread:
        return ""


CHECKS = (
    Check("load average", "What ran in the last minute may still run, or still be cooling down.", load),
    Check("other processes", "They take cores, cache and memory bandwidth from the case being timed.", processes),
    Check("steal time", "Time that the host gave to another guest counts as time of the case.", steal),
)
