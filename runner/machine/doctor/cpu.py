"""Checks of the processor and its clocks."""

import itertools
import time

from attnbench.runner.machine.doctor.finding import Answer, Check, Unread
from attnbench.runner.machine.doctor.machine import Machine, parse_cpus, write_cpus

_CPU = "sys/devices/system/cpu"
_BOOSTS = ((f"{_CPU}/intel_pstate/no_turbo", "0", "1"), (f"{_CPU}/cpufreq/boost", "1", "0"))
"""File, its content while boost is on, and the content that turns it off."""
_CLOCK = "sys/devices/system/clocksource/clocksource0"
_BEST_CLOCKS = ("tsc", "arch_sys_counter")
_VIRTUAL_CLOCKS = ("kvm-clock", "hyperv_clocksource_tsc_page")
_SUPPLIES = "sys/class/power_supply"
_SLOW_READING_NS = 1_000
_COARSE_STEP_NS = 10_000


def governor(machine: Machine) -> Answer:
    """Check the frequency governors of the allowed CPUs."""
    found = sorted({machine.read(f"{_CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in machine.cpus})
    if found == ["performance"]:
        return Answer("good", "performance on every allowed CPU")
    return Answer(
        "warning",
        f"{', '.join(found)} on the allowed CPUs",
        "Ask for the highest frequency: `sudo cpupower frequency-set --governor performance`.",
    )


def boost(machine: Machine) -> Answer:
    """Check whether the processor may go beyond its nominal frequency."""
    for path, on, off in _BOOSTS:
        try:
            found = machine.read(path)
        except Unread:
            continue
        if found != on:
            return Answer("good", "off")
        return Answer("warning", "on", f"Turn it off for a run: `echo {off} | sudo tee /{path}`.")
    raise Unread(f"neither /{_BOOSTS[0][0]} nor /{_BOOSTS[1][0]} is there")


def siblings(machine: Machine) -> Answer:
    """Check whether allowed CPUs are hardware threads of one core."""
    topology = f"{_CPU}/cpu{{}}/topology/thread_siblings_list"
    cores = {min(set(machine.cpus) & {cpu, *parse_cpus(machine.read(topology.format(cpu)))}) for cpu in machine.cpus}
    if len(cores) == len(machine.cpus):
        return Answer("good", "every allowed CPU is a core of its own, as far as the kernel is told")
    return Answer(
        "warning",
        f"the {len(machine.cpus)} allowed CPUs are hardware threads of {len(cores)} cores",
        f"Use one thread of each core: `taskset --cpu-list {write_cpus(cores)} bench run SUITE.yaml`.",
    )


def virtual(machine: Machine) -> Answer:
    """Check whether the processor has the hypervisor flag."""
    lines = machine.read("proc/cpuinfo").splitlines()
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), None)
    if flags is None:
        raise Unread("/proc/cpuinfo (this processor lists no flags)")
    if "hypervisor" not in flags:
        return Answer("good", "no hypervisor flag")
    return Answer(
        "warning",
        "the hypervisor flag is set",
        "Trust comparisons inside one run and intervals over many processes; take absolute times on a machine "
        "of your own.",
    )


def battery(machine: Machine) -> Answer:
    """Check whether the machine runs on its battery."""
    batteries = [name for name in machine.names(_SUPPLIES) if _supply(machine, name, "type") == "Battery"]
    own = [name for name in batteries if _supply(machine, name, "scope") != "Device"]
    emptied = [name for name in own if _supply(machine, name, "status") == "Discharging"]
    if emptied:
        return Answer("unfit", f"running on battery ({', '.join(emptied)})", "Plug the machine in.")
    return Answer("good", "a battery, not in use" if own else "no battery")


def _supply(machine: Machine, name: str, field: str) -> str:
    """Return a field of a power supply; empty if it does not exist."""
    try:
        return machine.read(f"{_SUPPLIES}/{name}/{field}")
    except Unread:
        return ""


def clock_source(machine: Machine) -> Answer:
    """Check the kernel's clock source."""
    found = machine.read(f"{_CLOCK}/current_clocksource")
    if found in _BEST_CLOCKS:
        return Answer("good", found)
    if found in _VIRTUAL_CLOCKS:
        return Answer("fact", f"{found}, the hypervisor's, read without a system call")
    if "tsc" in machine.read(f"{_CLOCK}/available_clocksource").split():
        return Answer("warning", found, f"Switch to tsc: `echo tsc | sudo tee /{_CLOCK}/current_clocksource`.")
    return Answer("warning", found, "Measure on a machine that offers tsc, or raise `value_ms` in the suite.")


def timer(machine: Machine) -> Answer:
    """Check the cost of reading Python's clock, and its smallest step."""
    del machine
    readings = timer_readings_ns()
    batch = len(readings) // 10
    reading_ns = min((readings[i + batch] - readings[i]) / batch for i in range(0, batch * 9, batch))
    steps_ns = [after - before for before, after in itertools.pairwise(readings) if after > before]
    if not steps_ns:
        return Answer("warning", f"did not advance in {len(readings)} readings", "Raise `value_ms` in the suite.")
    found = f"{reading_ns:.0f} ns a reading, smallest step seen {min(steps_ns)} ns"
    if reading_ns < _SLOW_READING_NS and min(steps_ns) < _COARSE_STEP_NS:
        return Answer("good", found)
    return Answer("warning", found, "Raise `value_ms` in the suite, so that a value is a thousand times longer.")


def timer_readings_ns() -> list[int]:
    """Return ten thousand successive readings of the clock that times calls."""
    return [time.perf_counter_ns() for _ in range(10_000)]


CHECKS = (
    Check("frequency governor", "A governor that follows the load starts each case at another frequency.", governor),
    Check("turbo boost", "Boost lasts while heat and power allow, so early values are faster than late ones.", boost),
    Check("hardware threads", "Two threads on one core share its units: neither runs at full speed.", siblings),
    Check("virtual machine", "Neighbours on the same host take cache, memory bandwidth and time unseen.", virtual),
    Check("power supply", "On battery the firmware lowers frequencies whenever it likes.", battery),
    Check(
        "clock source", "A slow clock source makes each reading of the time cost as much as a small call.", clock_source
    ),
    Check("timer", "A value must be far longer than the clock's step and the cost of reading it.", timer),
)
