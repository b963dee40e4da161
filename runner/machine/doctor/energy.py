"""Counters of energy: RAPL's of the CPU packages, through Linux's powercap, and NVML's of a GPU."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from attnbench.runner.machine.doctor import load
from attnbench.runner.machine.doctor.finding import Answer, Check, Forbidden, Unread
from attnbench.runner.machine.doctor.gpu import Gpu
from attnbench.runner.machine.doctor.machine import Machine

FOLDER = "sys/class/powercap"
_DOMAIN = re.compile(r"intel-rapl:\d+")
"""Name of the folder of a whole package or machine, also on AMD. Parts of a package have a second number."""
_SECONDS = 0.1


class NoCounter(Unread):
    """No counter of energy can be read: why, and what to do, if anything."""

    def __init__(self, reason: str, do: str) -> None:
        super().__init__(reason)
        self.do = do


@dataclass(frozen=True)
class Counter:
    """A counter of energy."""

    source: str
    joules: Callable[[], float]
    """Returns the energy since some moment, and never less than before. Raises `Unread` if it cannot be read."""


def of_cpu(machine: Machine) -> Counter:
    """Return the counter of all CPU packages together. It counts whatever runs on them, not only this process.

    Raises:
        NoCounter: there is none, or this process may not read it.
    """
    folders = _packages(machine)
    try:
        packages = [_Package(machine, folder) for folder in folders]
    except Forbidden as reason:
        files = " ".join(f"/{folder}/energy_uj" for folder in folders)
        raise NoCounter(str(reason), f"Allow it until the next restart: `sudo chmod o+r {files}`.") from None
    except Unread as reason:
        raise NoCounter(str(reason), "") from None
    source = f"RAPL of {len(packages)} CPU package{'s' if len(packages) > 1 else ''}"
    return Counter(source, lambda: sum(each.microjoules() for each in packages) / 1e6)


def of_gpu(gpu: Gpu) -> Counter:
    """Return the counter of a GPU with its memory.

    Raises:
        Unread: the GPU has none.
    """
    gpu.energy_mj()
    return Counter(f"NVML of GPU {gpu.number}", lambda: gpu.energy_mj() / 1000)


def counter(machine: Machine) -> Answer:
    """Check whether a counter of the CPU's energy can be read and moves."""
    try:
        found = of_cpu(machine)
    except NoCounter as reason:
        return Answer("fact", f"none: {reason}", reason.do)
    before = found.joules()
    load.pause(_SECONDS)
    if found.joules() > before:
        return Answer("good", found.source)
    return Answer("fact", f"none: {found.source} did not move within {_SECONDS:g} s")


class _Package:
    """The counter of one package. At its largest value it begins again at 0."""

    def __init__(self, machine: Machine, folder: str) -> None:
        self._machine = machine
        self._path = f"{folder}/energy_uj"
        self._range = _whole(machine, f"{folder}/max_energy_range_uj")
        self._before = _whole(machine, self._path)
        self._wrapped = 0

    def microjoules(self) -> int:
        now = _whole(self._machine, self._path)
        if now < self._before:
            self._wrapped += self._range
        self._before = now
        return self._wrapped + now


def _packages(machine: Machine) -> list[str]:
    """Return the folders of the CPU packages.

    Raises:
        NoCounter: there are none.
    """
    try:
        names = machine.names(FOLDER)
        found = [f"{FOLDER}/{name}" for name in names if _DOMAIN.fullmatch(name)]
        packages = [each for each in found if machine.read(f"{each}/name").startswith("package")]
    except Unread as reason:
        hidden = "Virtual machines and containers seldom show it: measure on the machine itself."
        raise NoCounter(str(reason), hidden) from None
    if not packages:
        driver = "On a machine of your own, load its driver: `sudo modprobe intel_rapl_msr`."
        raise NoCounter(f"/{FOLDER} lists no CPU package", driver)
    return packages


def _whole(machine: Machine, path: str) -> int:
    """Return the whole number in a file.

    Raises:
        Unread: the file cannot be read, or holds something else.
    """
    text = machine.read(path)
    if not text.isdecimal():
        raise Unread(f"/{path} (expected a whole number, found {text!r:.40})")
    return int(text)


CHECKS = (Check("energy", "Without a counter that can be read, energy_j stays empty.", counter),)
