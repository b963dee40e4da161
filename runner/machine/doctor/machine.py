"""The subject of the checks: files below a root, allowed CPUs, environment variables."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attnbench.runner.machine.doctor.finding import Forbidden, Unread


@dataclass(frozen=True)
class Machine:
    """Everything that checks may use. They read files only through `read`.

    `cpus` are the numbers of the CPUs that this process may run on, `online` counts all CPUs.
    """

    root: Path
    cpus: tuple[int, ...]
    online: int
    environ: Mapping[str, str]

    def read(self, path: str) -> str:
        """Return the text of a file, `path` relative to the root.

        Raises:
            Forbidden: this process may not read it.
            Unread: it does not exist, or cannot be read.
        """
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            kind = Forbidden if isinstance(error, PermissionError) else Unread
            raise kind(f"/{path} ({error.strerror})") from None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted.

        Raises:
            Unread: it does not exist, or cannot be read.
        """
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except OSError as error:
            raise Unread(f"/{folder} ({error.strerror})") from None


def here(root: Path) -> Machine:
    """Return the machine that this process runs on, with the files below `root`."""
    online = os.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(online)
    return Machine(root, tuple(sorted(allowed)), online, os.environ)


def parse_cpus(text: str) -> list[int]:
    """Parse a list of CPUs in the kernel's format, such as `0-3,8`."""
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def write_cpus(cpus: Iterable[int]) -> str:
    """Format a list of CPUs like the kernel: ranges as `first-last`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
