"""How a variant is computed: one implementation is one module, generic over patterns.

An implementation module has three functions:

- `supports(pattern, setting) -> str | None`: why it cannot compute this, or nothing.
- `predict_bytes(pattern, setting, threads) -> int`: the peak bytes that one call will allocate; `threads` are those of
  the CPU that have a workspace each, 0 on CUDA.
- `build(pattern, setting) -> Program`: prepare layouts and masks; this is never timed with the call.

Importing this package does not import torch; loading an implementation does.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Program:
    """An implementation that is ready to be called, for one mechanism and setting."""

    call: "Callable[..., Tensor]"
    """`call(q, k, v)`: queries `B H N D`, keys and values `B K N D` (K = kv_heads) to outputs `B H N D`."""
    computed_pairs: int | None = None
    """Scores that a call computes, over batch and heads; None where the library underneath does not say."""
    prepared_bytes: int = 0
    """Bytes that the preparation holds: masks, layouts."""
    compiled: bool = False
    """Whether the first call compiles, and every first call of another shape or with gradients."""
    weights: "tuple[Tensor, ...]" = ()
    """What it was built with, where its mechanism has weights: told by whoever gave them."""
    choice: "Callable[[Tensor, Tensor, Tensor], Tensor] | None" = None
    """What `call` chooses by content on the same inputs: the numbers `B H N ... m` of the m options chosen, int64."""


def Kernel(  # noqa: N802  # the name of a program in variant files of version 0.1
    attend: "Callable[[Tensor, Tensor, Tensor], Tensor]",
    computed_pairs: int | None,
    prepared_bytes: int = 0,
    compiled: bool = False,
) -> Program:
    """A `Program`, as variant files of version 0.1 make it."""
    return Program(attend, computed_pairs, prepared_bytes, compiled)


class Implementation(Protocol):
    """What an implementation module offers."""

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Why this cannot be computed, or nothing."""

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Peak bytes that one call will allocate, inputs apart."""

    def build(self, pattern: Pattern, setting: Setting) -> Program:
        """Make ready."""


def names() -> list[str]:
    """The names of all implementations."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Implementation:
    """The implementation called `name`.

    Raises:
        KeyError: there is no such implementation.
    """
    if name not in names():
        raise KeyError(name)
    return cast(Implementation, importlib.import_module(f"attnbench.variants.kernels.{name}"))
