"""Checks of limits on this process: CPUs, CPU time, threads, address layout."""

from attnbench.runner.machine.doctor import cgroup
from attnbench.runner.machine.doctor.finding import Answer, Check
from attnbench.runner.machine.doctor.machine import Machine, write_cpus

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_LAYOUT = "proc/sys/kernel/randomize_va_space"


def quota(machine: Machine) -> Answer:
    """Check whether the cgroups allow less CPU time than the allowed CPUs have."""
    found = cgroup.cpu_quota(machine)
    cpus = len(machine.cpus)
    if found is None:
        return Answer("good", "no limit on CPU time")
    if found >= cpus:
        return Answer("good", f"{found:g} CPUs of time for the {cpus} allowed")
    return Answer(
        "unfit",
        f"{found:g} CPUs of time for the {cpus} allowed",
        "Give the container whole CPUs instead of a share of time (docker: "
        f"`--cpuset-cpus={write_cpus(machine.cpus[: max(1, int(found))])}`), "
        f"or set `threads: [{max(1, int(found))}]` in the suite.",
    )


def affinity(machine: Machine) -> Answer:
    """Check which CPUs this process may run on."""
    found = f"{len(machine.cpus)} of {machine.online} CPUs allowed: {write_cpus(machine.cpus)}"
    return Answer("good" if len(machine.cpus) >= machine.online else "fact", found)


def oversubscription(machine: Machine) -> Answer:
    """Check whether a variable asks for more threads than there are CPUs to run them."""
    asked = {name: machine.environ[name] for name in _THREADS if machine.environ.get(name)}
    cpus = len(machine.cpus)
    said = ", ".join(f"{name}={value}" for name, value in asked.items())
    if not asked:
        return Answer("good", f"neither {' nor '.join(_THREADS)} is set")
    wrong = [name for name, value in asked.items() if not _is_count(value)]
    if wrong:
        return Answer("warning", f"{said}: not a number of threads", f"Remove it: `unset {' '.join(wrong)}`.")
    over = [name for name, value in asked.items() if int(value.split(",")[0]) > cpus]
    if over:
        return Answer("bad", f"{said}; CPUs allowed: {cpus}", f"Remove it: `unset {' '.join(over)}`.")
    return Answer("good", f"{said}; CPUs allowed: {cpus}")


def _is_count(value: str) -> bool:
    """Check whether a value is a number of threads, or a list of them for nested levels."""
    return all(part.strip().isdecimal() and int(part) > 0 for part in value.split(","))


def wait_policy(machine: Machine) -> Answer:
    """Check what waiting OpenMP threads do."""
    found = machine.environ.get("OMP_WAIT_POLICY", "")
    if not found:
        return Answer("good", "not set; the workers of a run get PASSIVE")
    if found.strip().upper() == "PASSIVE":
        return Answer("good", "PASSIVE")
    return Answer("bad", found, "Remove it: `unset OMP_WAIT_POLICY`.")


def layout(machine: Machine) -> Answer:
    """Check whether each process gets an address layout of its own."""
    found = int(machine.read(_LAYOUT))
    if found:
        return Answer("fact", f"randomised for each process (randomize_va_space = {found})")
    return Answer(
        "warning",
        "the same for every process (randomize_va_space = 0)",
        "Randomise it again: `sudo sysctl kernel.randomize_va_space=2`.",
    )


CHECKS = (
    Check("CPU quota", "Threads beyond the quota are all stopped until the next period, often 100 ms.", quota),
    Check("CPU affinity", "Times hold for the CPUs used; `threads: auto` never takes more than these.", affinity),
    Check("thread variables", "More threads than CPUs wait for one another at every barrier.", oversubscription),
    Check(
        "OMP_WAIT_POLICY", "Waiting threads that spin take the cores from the process whose turn it is.", wait_policy
    ),
    Check("address layout", "Layout moves times by percents: only processes of different layout show it.", layout),
)
