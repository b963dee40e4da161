"""What packages for CUDA have in common: when they can be called, a call that tries one, and the bytes of a call."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import fused_bytes, key_bytes, query_bytes, sums_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize
from attnbench.variants.peers import FLASH_LINEAR_ATTENTION

_OF_DEVICE = getattr(torch, "AcceleratorError", ())
"""An error of the device, which exists since torch 2.8: it has no such kernel, or it is lost."""
_REFUSALS = (ImportError, RuntimeError, ValueError, AssertionError)
"""What packages raise if they do not take a call. An ImportError is a package that was built for another torch."""


def refusal(name: str, module: str, requirement: str, install: str, setting: Setting) -> str | None:
    """Return why a peer cannot be called here at all, or None.

    `requirement` is the package of a `module` and its version, and `install` says how to get it.
    """
    if setting.device != "cuda":
        return f"{name} runs on cuda only, found {setting.device}"
    if importlib.util.find_spec(module) is None:
        return f"{name} needs the package {requirement}, found none; {install}"
    return None if torch.cuda.is_available() else "no CUDA device here"


def refusal_of_fla(name: str, setting: Setting) -> str | None:
    """Return why a peer that calls flash-linear-attention cannot be called here at all, or None."""
    install = f"pip install {FLASH_LINEAR_ATTENTION.replace(' ', '==')}"
    return refusal(name, "fla", FLASH_LINEAR_ATTENTION, install, setting)


def refused_dtype(name: str, setting: Setting, dtypes: tuple[str, ...] = ("float16", "bfloat16")) -> str | None:
    """Return why a peer does not take numbers of this dtype, or None."""
    if setting.dtype in dtypes:
        return None
    return f"{name} computes in {', '.join(dtypes)}, found {setting.dtype}"


def tried(name: str, build: Callable[[Pattern, Setting], Program], pattern: Pattern, setting: Setting) -> str | None:
    """Call a peer once, with gradients if the setting has them, and return why the package refuses, or None."""
    # One key head of one sequence keeps the call small.
    shape = setting.shape
    one = replace(shape, batch=1, heads=shape.heads // shape.kv_heads, kv_heads=1)
    given = [
        torch.zeros(1, heads, one.seq_len, one.head_dim, dtype=DTYPES[setting.dtype], device=setting.device)
        for heads in (one.heads, 1, 1)
    ]
    gradients = setting.direction != "forward"
    try:
        leaves = [each.requires_grad_(gradients) for each in given]
        out = build(pattern, replace(setting, shape=one)).call(*leaves)
        found = torch.autograd.grad(out, leaves, torch.zeros_like(out))[0] if gradients else out
        found.sum().item()  # waits for the device
    except torch.OutOfMemoryError:
        raise
    except _REFUSALS as error:
        if isinstance(error, _OF_DEVICE):
            torch.cuda.synchronize()  # raises if the device is lost
        return f"{name} refuses this call: {' '.join(str(error).split())}"
    return None


def flash_bytes(setting: Setting, *, copied: int = 0, sequences: int = 1, sums_keys: bool = False) -> int:
    """Return the peak bytes of one call of FlashAttention 2 or 3, as read in their sources.

    `copied` are the bytes of inputs that are copied for it. It takes both layouts. Its forward is that of a fused
    kernel. Its backward sums dQ in float32, with one more number for each query. For key heads that are shared, version
    2 writes dK and dV of each query head first; version 3 (`sums_keys`) sums them in float32. With several `sequences`
    each adds a tile of 128 tokens to the sums.

    Left out: version 2 divides the keys of a forward call with fewer tiles of 64 queries than about 1.6 for each
    multiprocessor, and keeps an output in float32 for each part. How many parts depends on the device.
    """
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    fused = fused_bytes(replace(shape, layout="bnhd"), dtype, direction, threads=0) + copied
    if direction == "forward":
        return fused
    queries = query_bytes(shape, dtype)
    wide, shared = itemsize("float32") // itemsize(dtype), shape.kv_heads < shape.heads
    summed = wide * queries + sums_bytes(shape, dtype)
    if shared and sums_keys:
        summed += wide * 2 * key_bytes(shape, dtype)
    if sequences > 1:
        summed += summed * 128 * sequences // shape.seq_len
    return fused + summed + (2 * queries if shared and not sums_keys else 0)
