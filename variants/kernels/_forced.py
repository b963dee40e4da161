"""torch's `scaled_dot_product_attention`, forced onto one of its CUDA kernels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnbench.variants import levels
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program, eager, sdpa
from attnbench.variants.kernels._memory import fused_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize

_NO_REFUSAL = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
"""Errors that are no refusal: out of memory, or a lost device (`AcceleratorError` exists since torch 2.8)."""


@dataclass(frozen=True)
class Forced:
    """Implementation that calls `sdpa` with exactly one kernel allowed."""

    name: str
    backend: SDPBackend
    called: str
    """The kernel's name in torch's warnings, in lower case."""

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Support what `sdpa` supports without padding, on CUDA, unless torch refuses; then return torch's reason."""
        refused = sdpa.supports(pattern, setting)
        if refused is None and setting.shape.lengths:
            return f"{self.name} takes no padded batch; use sdpa"
        if refused is None and setting.device != "cuda":
            return f"{self.name} runs on cuda only, found {setting.device}; there sdpa has one fused kernel"
        if refused is None and not torch.cuda.is_available():
            return "no CUDA device here"
        if refused is None and self.backend != SDPBackend.MATH:
            return self._tried(pattern, setting)
        return refused

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Return the peak bytes of one call: those of a fused kernel, or for the textbook those of `eager`."""
        # The textbook kernel computes float16 and bfloat16 in float32.
        if self.backend == SDPBackend.MATH:
            narrow = itemsize(setting.dtype) < itemsize("float32")
            wide = replace(setting, dtype="float32") if narrow else setting
            return eager.predict_bytes(pattern, wide, threads)
        return fused_bytes(setting.shape, setting.dtype, setting.direction, 0, levels.keys(setting))

    def build(self, pattern: Pattern, setting: Setting) -> Program:
        """Prepare nothing: each call selects the kernel, which costs the host some microseconds."""
        plain = sdpa.build(pattern, setting)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
            with sdpa_kernel(self.backend):
                return plain.call(q, k, v)

        if self.backend == SDPBackend.MATH:
            shape = setting.shape
            return Program(attend, shape.batch * shape.heads * shape.seq_len * levels.keys(setting))
        return replace(plain, call=attend)

    def _tried(self, pattern: Pattern, setting: Setting) -> str | None:
        """Call the kernel once and return why torch refuses, or None."""
        # torch gives its reasons only as warnings of a real call. One key head of one sequence keeps that call small.
        shape = setting.shape
        one = replace(shape, batch=1, heads=shape.heads // shape.kv_heads, kv_heads=1)
        q, k, v = (
            torch.empty(1, heads, many, one.head_dim, dtype=DTYPES[setting.dtype], device="cuda")
            for heads, many in ((one.heads, one.seq_len), *2 * [(1, levels.keys(setting))])
        )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                q.requires_grad_(setting.direction != "forward")
                self.build(pattern, replace(setting, shape=one)).call(q, k, v)
                torch.cuda.synchronize()
            except _NO_REFUSAL:
                raise
            except RuntimeError as error:
                return reason([str(each.message) for each in said], self.called) or " ".join(str(error).split())
        return None


def reason(warned: Sequence[str], called: str) -> str:
    """Return torch's warnings about one kernel: those between its line `... not used because:` and the next such line.

    `called` is the kernel's name, with which its line begins.
    """
    found, mine = [], False
    for message in warned:
        words = " ".join(message.partition("(Triggered internally")[0].split())
        if words.endswith("not used because:"):
            mine = words.lower().startswith(called)
        elif mine:
            found.append(words)
    return " ".join(found)
