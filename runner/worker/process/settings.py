"""Process settings that a build or a call must not change, because the numbers of other cases depend on them.

Random states, environment variables and warning filters may change; they are restored silently.
"""

import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional


class Lasting(Exception):
    """A changed setting cannot be restored, so no other case can be measured in this process."""


class _Setting(NamedTuple):
    """Name of a setting, and functions that read and write it."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


_BACKENDS = (
    *("cuda.matmul.allow_tf32", "cudnn.allow_tf32", "cudnn.enabled", "cudnn.benchmark", "cudnn.deterministic"),
    *("cuda.matmul.allow_fp16_reduced_precision_reduction", "cuda.matmul.allow_bf16_reduced_precision_reduction"),
    *("mkldnn.enabled", "mkldnn.deterministic", "mkldnn.matmul.fp32_precision", "cuda.matmul.fp32_precision"),
)
_FUNCTIONS = {
    torch: ("bmm", "einsum", "matmul", "softmax"),
    functional: ("scaled_dot_product_attention", "softmax"),
    torch.autograd: ("grad",),
    time: ("perf_counter_ns",),
}
"""Functions that other kernels or the clock use. A case must not replace them."""
_FUSED = ("flash", "mem_efficient", "math", "cudnn")


def _settings() -> Iterator[_Setting]:
    """Yield all settings that this version of torch has."""
    yield _Setting("torch's threads", torch.get_num_threads, torch.set_num_threads)
    yield _Setting("torch's interop threads", torch.get_num_interop_threads, torch.set_num_interop_threads)
    yield _Setting("grad mode", torch.is_grad_enabled, torch.set_grad_enabled)
    yield _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
    # A default device, even the current one, slows every call. A worker starts without one, and None restores that.
    yield _Setting("the default device", _default_device, lambda _: torch.set_default_device(None))
    yield _Setting("deterministic algorithms", _deterministic, _set_deterministic)
    yield _Setting("flushing of denormals", _flushes_denormals, torch.set_flush_denormal)
    for device in ("cpu", "cuda"):
        yield _Setting(f"autocast on {device}", partial(_autocast, device), partial(_set_autocast, device))
    yield _Setting("inference mode", torch.is_inference_mode_enabled, _not_written)
    yield _Setting("modes of dispatch", torch._C._len_torch_dispatch_stack, _not_written)
    threads = torch.autograd.is_multithreading_enabled, torch.autograd.set_multithreading_enabled
    yield _Setting("threads of gradients", *threads)
    precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield _Setting("float32 matmul precision", *precision)
    yield _Setting("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly)
    for path in _BACKENDS:
        yield from _attribute(torch.backends, "torch.backends", path)
    for kernel in _FUSED:
        read, write = (
            getattr(torch.backends.cuda, name.format(kernel)) for name in ("{}_sdp_enabled", "enable_{}_sdp")
        )
        yield _Setting(f"torch.backends.cuda.enable_{kernel}_sdp", read, write)
    for owner, names in _FUNCTIONS.items():
        for name in names:
            yield from _attribute(owner, owner.__name__, name)
    yield _Setting("Python's garbage collector", gc.isenabled, lambda value: gc.enable() if value else gc.disable())
    yield _Setting("Python's tracing", lambda: (sys.gettrace(), sys.getprofile()), _trace)
    yield _Setting("Python's switch interval", sys.getswitchinterval, sys.setswitchinterval)
    yield _Setting("its priority", lambda: os.getpriority(os.PRIO_PROCESS, 0), _prioritise)
    if hasattr(os, "sched_getaffinity"):
        yield _Setting(
            "the CPUs it may use", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)
        )


def _attribute(owner: Any, name: str, path: str) -> Iterator[_Setting]:
    """Yield an attribute of a module as a setting, if it exists."""
    *parents, last = path.split(".")
    for each in parents:
        owner = getattr(owner, each, None)
    if hasattr(owner, last):
        yield _Setting(f"{name}.{path}", lambda: getattr(owner, last), lambda value: setattr(owner, last, value))


def _default_device() -> tuple[str, int]:
    """Return the default device and the number of active function modes. A default device is such a mode."""
    return str(torch.get_default_device()), torch._C._len_torch_function_stack()


def _autocast(device: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, value: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled(device, value[0])
    torch.set_autocast_dtype(device, value[1])


def _not_written(value: Any) -> None:
    raise RuntimeError(f"torch has no way back to {value}")


def _trace(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _prioritise(value: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, value)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _flushes_denormals() -> bool:
    return sys.float_info.min * 0.5 == 0.0


_SETTINGS = tuple(_settings())


@dataclass(frozen=True)
class State:
    """Settings of the process, and what is restored silently, at one time."""

    settings: tuple[Any, ...]
    environment: dict[str, str]
    filters: list[Any]
    drawn: tuple[Any, ...]


def state() -> State:
    """Return the current state of the process."""
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()
    return State(tuple(map(_read, _SETTINGS)), dict(os.environ), [*warnings.filters], drawn)


def restore(before: State) -> list[str]:
    """Restore everything, and return the settings that were changed, in words.

    Raises:
        Lasting: a setting cannot be restored.
    """
    if dict(os.environ) != before.environment:
        os.environ.clear()
        os.environ.update(before.environment)
    if [*warnings.filters] != before.filters:
        warnings.filters[:] = before.filters  # type: ignore[index]  # a list, whatever its declared type
    torch.set_rng_state(before.drawn[0])
    random.setstate(before.drawn[1])
    np.random.set_state(before.drawn[2])
    changed = []
    for setting, was in zip(_SETTINGS, before.settings, strict=True):
        now = _read(setting)
        if now == was:
            continue
        changed.append(f"{setting.name} from {_told(was)} to {_told(now)}")
        try:
            setting.write(was)
        except (RuntimeError, OSError) as error:
            raise Lasting(", ".join(changed)) from error
        # Some setters do nothing without an error, so read the value again.
        if _read(setting) != was:
            raise Lasting(", ".join(changed))
    return changed


def _read(setting: _Setting) -> Any:
    """Return the value of a setting. torch raises for some that were set by an old and a new API."""
    try:
        return setting.read()
    except RuntimeError:
        return "a mixture"


def _told(value: Any) -> str:
    """Return a value as short text."""
    return getattr(value, "__qualname__", None) or str(value)
