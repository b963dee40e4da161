"""Facts that two machines must share for their numbers to be comparable."""

from collections.abc import Mapping
from typing import Any

TIMES = (
    *("cpu", "cpu_flags", "cpu_capability", "cores", "memory_gib", "threads", "wait_policy"),
    *("gpu", "gpu_driver", "gpu_power_limit_w", "torch", "cuda", "cudnn", "blas"),
)
"""Facts that times depend on. Names of hosts and what changes every hour (clocks, load) are not among them."""
MEMORY = ("cpu_capability", "threads", "gpu", "torch")
"""Facts that peak memory depends on."""
SOFTWARE = ("gpu_driver", "torch", "cuda", "cudnn", "blas")
"""Facts of `TIMES` that an upgrade changes on one and the same machine. So are the versions of installed peers."""
CODE = ("attnbench", "commit")
"""The code that is measured. All parts of one run must share it too."""


def of(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an environment that its numbers depend on; None if one is unknown.

    Each installed peer is a fact of its own. Without it there is no such fact, as in runs that did not tell them.
    """
    told = {name: environment.get(name) for name in TIMES}
    size = environment.get("memory_bytes")
    return told | {"memory_gib": None if size is None else round(size / 2**30)} | _peers(environment)


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that differ between two environments."""
    return unequal(of(a), of(b))


def unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that have two values. A peer that is not told on both sides is no difference."""
    return {name: (one[name], other[name]) for name in one if name in other and one[name] != other[name]}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that differ and that one run must not mix: the machine and the measured code."""
    code = {name: (before.get(name), now.get(name)) for name in CODE if before.get(name) != now.get(name)}
    return differences(before, now) | code


def hardware(environment: Mapping[str, Any], device: str) -> str | None:
    """Return the class of a machine's hardware for cases on a device, whose times are pooled: the name of the GPU, or
    the CPU's model, its widest instructions and the number of cores that a process may use. None if it has no GPU.
    """
    if device == "cuda":
        return environment.get("gpu")
    widest = (environment.get("cpu_features") or environment.get("cpu_capability") or "").split(" ")[-1]
    cores = environment.get("usable_cores") or environment.get("cores")
    return f"{environment.get('cpu') or 'unknown CPU'} ({', '.join(filter(None, [widest, f'{cores} cores']))})"


def within(meta: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that a run mixes, from its `run.json`: the first value, and that of a later part."""
    found: dict[str, tuple[Any, Any]] = {}
    for part in meta.get("resumed", ()):
        found |= changed(meta["environment"], part["environment"])
    return found


def between(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that differ between two runs, or that one of them mixes, from their `run.json`."""
    mixed = within(a).keys() | within(b).keys()
    one, other = (_of_run(each, mixed) for each in (a, b))
    found = unequal(one, other).keys() | mixed
    return {name: (one.get(name), other.get(name)) for name in one | other if name in found}


def machine(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of the machine of a run, without its software, from its `run.json`."""
    told = _of_run(meta, set())
    return {name: told[name] for name in TIMES if name not in SOFTWARE}


def software(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the software of a run's machine, and the version of attnbench, from its `run.json`."""
    told = _of_run(meta, {"attnbench"})
    return {name: told[name] for name in ("attnbench", *SOFTWARE, *_peers(meta["environment"]))}


def what_differs(found: Mapping[str, object]) -> str:
    """Return `runs` if only mixed code differs, else `machines`."""
    return "runs" if found.keys() <= set(CODE) else "machines"


def _of_run(meta: Mapping[str, Any], mixed: set[str]) -> dict[str, Any]:
    """Return the facts of a run. A fact that it mixes has both values. Code is included if either run mixes it."""
    told = of(meta["environment"]) | {name: meta["environment"].get(name) for name in CODE if name in mixed}
    return told | {name: f"{was}, then {now}" for name, (was, now) in within(meta).items()}


def _peers(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of installed peers by package, from a text such as `linformer 0.2.3, transformers 5.2`."""
    told = environment.get("peers")
    return dict(each.split(" ", 1) for each in told.split(", ")) if told else {}
