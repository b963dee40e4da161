"""The facts that two machines must share for their numbers to be comparable."""

from collections.abc import Mapping
from typing import Any

TIMES = (
    *("cpu", "cpu_flags", "cpu_capability", "cores", "memory_gib", "threads", "wait_policy"),
    *("gpu", "gpu_driver", "gpu_power_limit_w", "torch", "cuda", "cudnn", "blas"),
)
"""What times depend on. What changes from hour to hour (clocks, load) and names of hosts are not in it."""
MEMORY = ("cpu_capability", "threads", "gpu", "torch")
"""What peak memory depends on."""
CODE = ("attnbench", "commit")
"""What the parts of one run must share besides: the code that is measured."""


def of(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an environment that its numbers depend on; None where one is not told."""
    told = {name: environment.get(name) for name in TIMES}
    size = environment.get("memory_bytes")
    return told | {"memory_gib": None if size is None else round(size / 2**30)}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that differ between two environments."""
    one, other = of(a), of(b)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that one run must not mix and that differ: of the machine, and of the code that is measured."""
    code = {name: (before.get(name), now.get(name)) for name in CODE if before.get(name) != now.get(name)}
    return differences(before, now) | code


def within(meta: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that a run mixes, by its `run.json`: what it began with, and what a later part of it found."""
    found: dict[str, tuple[Any, Any]] = {}
    for part in meta.get("resumed", ()):
        found |= changed(meta["environment"], part["environment"])
    return found


def between(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that differ between two runs, by their `run.json`, or that one of them mixes."""
    mixed = within(a).keys() | within(b).keys()
    one, other = (_of_run(each, mixed) for each in (a, b))
    return {name: (one[name], other[name]) for name in one if one[name] != other[name] or name in mixed}


def what_differs(found: Mapping[str, object]) -> str:
    """`machines`, or `runs` where all that differs is code that one of them mixes."""
    return "runs" if found.keys() <= set(CODE) else "machines"


def _of_run(meta: Mapping[str, Any], mixed: set[str]) -> dict[str, Any]:
    """The facts of a run, its code where either run mixes that, and both of what it mixes itself."""
    told = of(meta["environment"]) | {name: meta["environment"].get(name) for name in CODE if name in mixed}
    return told | {name: f"{was}, then {now}" for name, (was, now) in within(meta).items()}
