"""NATTEN's neighbourhood attention in one or two dimensions, with the kernel that it chooses. CUDA only.

A window of `kernel_size` keys, `dilation` apart, slides inward at the ends, or ends at the query in a dimension that is
causal: `local_window` and `local_window_2d` with `edges: slide` or causal by axis. The kernels are named after the GPU
for which they are written: `hopper-fna`, `blackwell-fna`, else `cutlass-fna`. They put tokens of a tile beside each
other, and copy inputs in the layout `bhnd` and key heads that are shared, all within the call. Cost: 4 D FLOPs forward
for every pair of a tile that holds a key of some query.

The package has no wheel. Its build needs torch and CUDA's compiler; without that it has no kernel for a GPU. Gradients
may not repeat exactly.

Source: Hassani et al. 2023, arXiv 2204.07143; Hassani et al. 2024, arXiv 2403.04690;
https://github.com/SHI-Labs/NATTEN, version 0.21.7.
"""

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import query_bytes, sums_bytes
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.local_window import LocalWindow
from attnbench.variants.local_window_2d import LocalWindow2d
from attnbench.variants.peers import _cuda

REQUIREMENT = "natten 0.21.7"
_INSTALL = "pip install --no-build-isolation natten==0.21.7"
_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class _Axis:
    """A dimension of the tokens and the window in it."""

    side: int
    window: int
    dilation: int
    causal: bool


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support windows of at least 2 keys that slide or are causal in every dimension, unless NATTEN refuses a call."""
    refused = refusal(pattern, setting) or _cuda.refused_dtype("natten", setting, _DTYPES)
    width = setting.shape.head_dim
    if refused is None and width % 8:
        refused = f"natten takes a head_dim that is a multiple of 8, found {width}"
    refused = refused or _refused_pattern(pattern, setting.shape.seq_len)
    if refused is None and setting.device == "cpu":
        refused = "natten runs on cuda only, found cpu; there it has flex-fna alone, which writes out N x N scores"
    refused = refused or _cuda.refusal("natten", "natten", REQUIREMENT, _INSTALL, setting)
    return refused or _cuda.tried("natten", build, pattern, setting)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call of the kernels for Hopper, as read in their source.

    T is a query tensor, L a number in float32 for each query. Forward: queries, keys, values and outputs in the order
    of tiles, and the output: 5 T + 2 L. Backward: all inputs in that order, gradients in both orders, and dQ once more
    in float32: 11 T + 2 L and that. Shared key heads are repeated first, which takes 2 T.
    """
    del pattern, threads
    shape, dtype = setting.shape, setting.dtype
    t, sums = query_bytes(shape, dtype), sums_bytes(shape, dtype)
    repeated = 2 * t if shape.kv_heads < shape.heads else 0
    backward = 11 * t + t * itemsize("float32") // itemsize(dtype) + 2 * sums + repeated
    if setting.direction == "forward":
        return 5 * t + 2 * sums + repeated
    return backward if setting.direction == "backward" else t + sums + repeated + backward


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare nothing.

    Raises:
        NotImplementedError: the package was built without its kernels for CUDA.
    """
    import natten

    if setting.device == "cuda" and not natten.HAS_LIBNATTEN:
        raise NotImplementedError("it was built without kernels for CUDA; build it where CUDA's compiler is installed")
    axes = _known(pattern, setting.shape.seq_len)
    attention = natten.na1d if len(axes) == 1 else natten.na2d
    sides = [each.side for each in axes]
    told = {
        "kernel_size": tuple(each.window for each in axes),
        "dilation": tuple(each.dilation for each in axes),
        "is_causal": tuple(each.causal for each in axes),
    }

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        tokens = (torch.unflatten(each.transpose(1, 2), 1, sides) for each in (q, k, v))
        out: Tensor = attention(*tokens, **told)
        return out.flatten(1, len(sides)).transpose(1, 2)

    return Program(attend)


def _refused_pattern(pattern: Pattern, n: int) -> str | None:
    """Return why NATTEN has no such windows at a length, or None."""
    axes = _axes(pattern, n)
    if axes is None:
        return (
            "natten takes local_window and local_window_2d of at least 2 keys in each dimension, without sinks, that "
            "slide (edges: slide) or are causal by axis"
        )
    wide = next((each for each in axes if each.dilation * each.window > each.side), None)
    if wide is None:
        return None
    side = "seq_len" if len(axes) == 1 else "side of the grid"
    return f"natten needs dilation * window <= {side}, found {wide.dilation} * {wide.window} > {wide.side}"


def _axes(pattern: Pattern, n: int) -> tuple[_Axis, ...] | None:
    """Return the windows of a pattern in each dimension, or None if NATTEN has no such windows."""
    if isinstance(pattern, LocalWindow) and not pattern.sinks:
        axes: tuple[_Axis, ...] = (_Axis(n, pattern.window, pattern.dilation, pattern.causal),)
    elif isinstance(pattern, LocalWindow2d) and pattern.causal is not True:
        sides = pattern.grid or (isqrt(n), isqrt(n))
        causal = pattern.causal in ("down", "both"), pattern.causal in ("across", "both")
        axes = tuple(_Axis(*each) for each in zip(sides, pattern.window, pattern.dilation, causal, strict=True))
    else:
        return None
    fit = all(each.window > 1 and (each.causal or pattern.edges == "slide") for each in axes)
    return axes if fit else None


def _known(pattern: Pattern, n: int) -> tuple[_Axis, ...]:
    """Return the windows of a supported pattern."""
    axes = _axes(pattern, n)
    assert axes is not None
    return axes
