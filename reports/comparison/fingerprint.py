"""What two machines must share for their numbers to be comparable."""

from collections.abc import Mapping
from typing import Any

TIMES = (
    *("cpu", "cpu_flags", "cpu_capability", "cores", "memory_gib", "threads", "wait_policy"),
    *("gpu", "gpu_driver", "gpu_power_limit_w", "torch", "cuda", "cudnn", "blas"),
)
"""What times depend on. What changes from hour to hour (clocks, load) and names of hosts are not in it."""
MEMORY = ("cpu_capability", "threads", "gpu", "torch")
"""What peak memory depends on."""


def of(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an environment that its numbers depend on; None where one is not told."""
    told = {name: environment.get(name) for name in TIMES}
    size = environment.get("memory_bytes")
    return told | {"memory_gib": None if size is None else round(size / 2**30)}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that differ between two environments."""
    one, other = of(a), of(b)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}
