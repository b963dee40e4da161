"""The environment of a run: everything that would change the numbers on another machine or another day."""

import hashlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from attnbench.runner.machine.doctor import cgroup, machine
from attnbench.runner.machine.doctor.finding import Unread


def threads() -> int:
    """What `threads: auto` means here: the machine's physical cores, or the CPUs that affinity and quota leave."""
    here = machine.here(Path("/"))
    allowed = len(here.cpus)
    try:
        quota = cgroup.cpu_quota(here) or allowed
    except Unread:
        quota = allowed
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed, int(quota)))


def version() -> str:
    """The version of the installation; that of code which runs without one is not known."""
    try:
        return metadata.version("attnbench")
    except metadata.PackageNotFoundError:
        return "from source"


def of_machine() -> dict[str, Any]:
    """Facts that need no torch."""
    return {
        "attnbench": version(),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpuinfo("model name") or platform.processor(),
        "cpu_flags": _short_hash(_cpuinfo("flags") or _cpuinfo("Features")),
        "cores": os.cpu_count(),
        "affinity": list(machine.here(Path("/")).cpus),
        "threads": threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "load": round(os.getloadavg()[0], 2),
    }


def of_torch() -> dict[str, Any]:
    """Facts that torch knows; for a worker."""
    import numpy as np
    import torch

    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "blas": _blas(torch.__config__.show()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "gpu": None,
    }
    if torch.cuda.is_available():
        facts |= of_gpu(torch.cuda.get_device_properties(torch.cuda.current_device()))
        facts |= {"cuda": torch.version.cuda, "cudnn": _cudnn()}
    return facts


def _cudnn() -> int | None:
    import torch

    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # so in torch
    return version


def of_gpu(properties: Any) -> dict[str, Any]:
    """Facts of the device with these properties of torch's; what only NVML knows is null where it is absent."""
    from attnbench.runner.machine import nvml

    return {
        "gpu": properties.name,
        "gpu_memory_bytes": properties.total_memory,
        "gpu_capability": f"{properties.major}.{properties.minor}",
        "gpu_multiprocessors": properties.multi_processor_count,
        "gpu_l2_bytes": properties.L2_cache_size,
        **nvml.facts(nvml.find(properties)),
    }


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, if it runs from one; `+` when it was changed since."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _cpuinfo(name: str) -> str:
    """What the system tells of its first processor; nothing where it tells nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _short_hash(told: str) -> str | None:
    """A few digits that differ where the words do, in whatever order they stand."""
    return hashlib.sha256(" ".join(sorted(told.split())).encode()).hexdigest()[:12] if told else None


def _blas(config: str) -> str | None:
    """The library of linear algebra that torch was built with: `mkl`."""
    found = re.search(r"BLAS_INFO=(\w+)", config)
    return found[1] if found else None
