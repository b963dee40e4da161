"""FlashAttention of its own packages, whose versions 2 and 3 have the same functions."""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._support import refusal
from attnbench.variants.peers import _cuda, _sequences

_MOST_WIDTH = 256


@dataclass(frozen=True)
class Flash:
    """Implementation that calls the functions of one package."""

    name: str
    module: str
    """The module with `flash_attn_func` and `flash_attn_varlen_func`."""
    requirement: str
    """The package and its version."""
    install: str
    """How to get the package."""
    most: tuple[int, int] | None = None
    """The highest compute capability of its kernels, if there is one."""
    sums_keys: bool = False
    """Whether dK and dV of shared key heads are summed in float32."""

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Support full attention, clipped windows and blocks in 16 bits, unless the package refuses a call."""
        refused = refusal(pattern, setting) or _cuda.refused_dtype(self.name, setting)
        width = setting.shape.head_dim
        if refused is None and (width % 8 or width > _MOST_WIDTH):
            refused = f"{self.name} takes a head_dim that is a multiple of 8, at most {_MOST_WIDTH}, found {width}"
        if refused is None and _sequences.of(pattern.spans(setting.shape.seq_len)) is None:
            refused = f"{self.name} takes full attention, blocks, and windows without gaps, clipped at the ends"
        refused = refused or _cuda.refusal(self.name, self.module, self.requirement, self.install, setting)
        refused = refused or self._too_new()
        return refused or _cuda.tried(self.name, self.build, pattern, setting)

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Return the peak bytes of one call."""
        del threads
        shape, found = setting.shape, _sequences.known(pattern, setting)
        copied = found.copied_bytes(shape, setting.dtype) if found.cut else 0
        several = len(found.lengths)
        return _cuda.flash_bytes(setting, copied=copied, sequences=several, sums_keys=self.sums_keys)

    def build(self, pattern: Pattern, setting: Setting) -> Program:
        """Prepare where sequences begin, if there are several."""
        package = importlib.import_module(self.module)
        shape, found = setting.shape, _sequences.known(pattern, setting)
        told: dict[str, Any] = {"causal": found.causal, "window_size": found.window}
        if not found.cut:

            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
                tokens = (each.transpose(1, 2) for each in (q, k, v))
                return _output(package.flash_attn_func(*tokens, **told)).transpose(1, 2)

            return Program(attend)
        bounds, longest = found.bounds(shape.batch, setting.device), max(found.lengths)
        told |= {f"cu_seqlens_{each}": bounds for each in "qk"} | {f"max_seqlen_{each}": longest for each in "qk"}

        def attend_sequences(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """Do the same for several sequences, which lie one after another."""
            tokens = map(_sequences.packed, (q, k, v))
            return _sequences.unpacked(_output(package.flash_attn_varlen_func(*tokens, **told)), shape)

        return Program(attend_sequences, None, bounds.nbytes)

    def _too_new(self) -> str | None:
        """Return why this device has no kernels, or None. Without them, some packages end the process."""
        if self.most is None or torch.cuda.get_device_capability() <= self.most:
            return None
        has, found = (".".join(map(str, each)) for each in (self.most, torch.cuda.get_device_capability()))
        return f"{self.name} has kernels up to compute capability {has}, found {found}"


def _output(found: Any) -> Tensor:
    """Return the output. Earlier versions of FlashAttention 3 also return the log-sum-exp."""
    out: Tensor = found[0] if isinstance(found, tuple) else found
    return out
