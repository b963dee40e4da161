"""torch's `scaled_dot_product_attention`, forced onto one of its kernels."""

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
from attnbench.variants.kernels._memory import fused_bytes, key_bytes, query_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize

_NO_REFUSAL = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
"""Errors that are no refusal: out of memory, or a lost device (`AcceleratorError` exists since torch 2.8)."""
_FEW = 64
"""The most tokens of a call that tries a kernel on a CPU."""


@dataclass(frozen=True)
class Forced:
    """Implementation that calls `sdpa` with exactly one kernel allowed."""

    name: str
    backend: SDPBackend
    called: str
    """The kernel's name in torch's warnings, in lower case."""
    on_cpu: bool = False
    """Whether torch has this kernel on a CPU too."""

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Support what `sdpa` supports without padding, unless torch refuses; then return torch's reason."""
        refused = sdpa.supports(pattern, setting)
        if refused is None and setting.shape.lengths:
            return f"{self.name} takes no padded batch; use sdpa"
        if refused is None and setting.device == "cpu" and not self.on_cpu:
            return f"{self.name} runs on cuda only, found cpu; there torch has sdpa_flash and sdpa_math"
        if refused is None and setting.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device here"
        if refused is None and self.backend != SDPBackend.MATH:
            return self._tried(pattern, setting)
        return refused

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Return the peak bytes of one call: those of the fused kernel or of torch's textbook."""
        if self.backend == SDPBackend.MATH:
            return _textbook_bytes(pattern, setting)
        return fused_bytes(setting.shape, setting.dtype, setting.direction, threads, levels.keys(setting))

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
        # On a CPU no reason depends on lengths, and long calls take seconds.
        shape, most = setting.shape, _FEW if setting.device == "cpu" else setting.shape.seq_len + levels.keys(setting)
        one = replace(shape, batch=1, heads=shape.heads // shape.kv_heads, kv_heads=1)
        q, k, v = (
            torch.empty(1, heads, min(many, most), one.head_dim, dtype=DTYPES[setting.dtype], device=setting.device)
            for heads, many in ((one.heads, one.seq_len), *2 * [(1, levels.keys(setting))])
        )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                q.requires_grad_(setting.direction != "forward")
                self.build(pattern, replace(setting, shape=one)).call(q, k, v)
                if setting.device == "cuda":
                    torch.cuda.synchronize()
            except _NO_REFUSAL:
                raise
            except RuntimeError as error:
                return reason([str(each.message) for each in said], self.called) or " ".join(str(error).split())
        return None


def _textbook_bytes(pattern: Pattern, setting: Setting) -> int:
    """Return the peak bytes of one call of torch's textbook; S are the scores, T is a query tensor, U keys.

    It computes float16 and bfloat16 in float32, and repeats keys and values for each query head: U has as many heads as
    T. Forward holds scaled queries, a causal mask `N N`, and all that was converted or repeated, and beside these 2 S
    and a byte for each score, or S and the output with its conversion. Training also keeps scaled keys. Its backward
    takes 3 S + 2 T + 2 U, or S + 3 T + 3 U if scores are small. `backward` is that of `eager`.
    """
    shape, n, keys = setting.shape, setting.shape.seq_len, levels.keys(setting)
    dtype = "float32" if itemsize(setting.dtype) < itemsize("float32") else setting.dtype
    if setting.direction == "backward":
        repeated = replace(shape, kv_heads=shape.heads)
        return eager.predict_bytes(pattern, replace(setting, dtype=dtype, shape=repeated), 0)
    converts, repeats = dtype != setting.dtype, shape.kv_heads < shape.heads
    pairs, size = shape.batch * shape.heads * n * keys, itemsize(dtype)
    s, t, u = pairs * size, query_bytes(shape, dtype), query_bytes(shape.at(keys), dtype)
    held = t + (2 * u if repeats else 0) + (n**2 * size if pattern.spans(n).pairs() < n**2 else 0)
    held += t + 2 * key_bytes(shape.at(keys), dtype) if converts else 0
    forward = held + s + max(s + pairs, t + ((t + s) // 2 if converts else 0))
    if setting.direction == "forward":
        return forward
    backward = 3 * s + 2 * t + 2 * u - (t // 2 if converts else 0)
    return max(forward + u, backward, s + 3 * t + 3 * u)


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
