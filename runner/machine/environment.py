"""The environment of a run: all facts that may change its numbers."""

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

_FEATURES = ("asimd", "sve", "avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_fp16")
"""Instructions that decide how fast a CPU multiplies matrices; wider ones come later."""


def threads() -> int:
    """Return the value of `threads: auto`: physical cores, or fewer if CPU affinity or quota allow fewer."""
    allowed = cores()
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def cores() -> int:
    """Return how many cores this process may use: those of its CPU affinity, or fewer if a quota allows fewer."""
    here = machine.here(Path("/"))
    allowed = len(here.cpus)
    try:
        quota = cgroup.cpu_quota(here) or allowed
    except Unread:
        quota = allowed
    return max(1, min(allowed, int(quota)))


def version() -> str:
    """Return the version of the installation, or `from source` without one."""
    try:
        return metadata.version("attnbench")
    except metadata.PackageNotFoundError:
        return "from source"


def of_software() -> dict[str, Any]:
    """Return the versions of this code and of Python."""
    return {"attnbench": version(), "commit": _commit(), "python": platform.python_version()}


def of_machine() -> dict[str, Any]:
    """Return the facts that do not need torch."""
    return {
        **of_software(),
        "platform": platform.platform(),
        "cpu": _cpuinfo("model name") or platform.processor(),
        "cpu_flags": _short_hash(_flags()),
        "cpu_features": " ".join(name for name in _FEATURES if name in _flags().split()) or None,
        "cores": os.cpu_count(),
        "affinity": list(machine.here(Path("/")).cpus),
        "usable_cores": cores(),
        "threads": threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "load": round(os.getloadavg()[0], 2),
    }


def of_torch() -> dict[str, Any]:
    """Return the facts that need torch. A worker calls it."""
    import numpy as np
    import torch

    from attnbench.variants import mechanism_peers, peers

    packages = peers.installed([*peers.requirements(), *mechanism_peers.requirements()])
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "blas": _blas(torch.__config__.show()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "peers": ", ".join(f"{package} {number}" for package, number in packages.items()) or None,
        "gpu": None,
    }
    if torch.cuda.is_available():
        facts |= of_gpu(torch.cuda.get_device_properties(torch.cuda.current_device()))
        facts |= {"cuda": torch.version.cuda, "cudnn": _cudnn()}
    return facts


def _cudnn() -> int | None:
    import torch

    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # untyped in torch
    return version


def of_gpu(properties: Any) -> dict[str, Any]:
    """Return the facts of the device with these torch properties. Facts from NVML are None if it is absent."""
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
    """Return the commit of this code's checkout, with `+` if tracked files changed; None without a checkout."""
    here = Path(__file__).resolve().parents[2]
    found = revision(here) if (here / ".git").exists() else None
    return found["commit"] if found else None


def revision(folder: Path) -> dict[str, str] | None:
    """Return commit and date of the checkout that holds a folder, as `_commit`; None if there is none."""
    try:
        commit, date = _git(folder, "show", "--no-patch", "--abbrev=12", "--format=%h %cI", "HEAD").split()
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {"commit": commit + ("+" if changed else ""), "date": date}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _flags() -> str:
    return _cpuinfo("flags") or _cpuinfo("Features")


def _cpuinfo(name: str) -> str:
    """Return a field of the first processor in /proc/cpuinfo; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _short_hash(text: str) -> str | None:
    """Return a short hash of the words in a text, independent of their order."""
    return hashlib.sha256(" ".join(sorted(text.split())).encode()).hexdigest()[:12] if text else None


def _blas(config: str) -> str | None:
    """Return the BLAS library that torch was built with, such as `mkl`."""
    found = re.search(r"BLAS_INFO=(\w+)", config)
    return found[1] if found else None
