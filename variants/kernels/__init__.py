"""How a variant is computed: one implementation is one module, generic over patterns.

An implementation module has three functions; `dtype` is torch's name for it ("float32"), `device` "cpu" or
"cuda", `direction` "forward", "backward" or "training":

- `supports(pattern, shape, dtype, device, direction) -> str | None`: why it cannot compute this, or nothing.
- `predict_bytes(pattern, shape, dtype, device, direction, threads) -> int`: the peak bytes that one call will
  allocate; `threads` are those of the CPU that have a workspace each, 0 on CUDA.
- `build(pattern, shape, dtype, device) -> Kernel`: layouts and masks made ready; this is preparation, never timed
  with the call.

Importing this package does not import torch; loading an implementation does.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from attnbench.variants._pattern import Pattern
from attnbench.variants._shape import Shape

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Kernel:
    """An implementation made ready for one pattern and shape.

    `attend(q, k, v)` takes queries `B H N D` and keys and values `B K N D` (K = kv_heads) and returns `B H N D`.
    `computed_pairs` counts the scores that a call really computes, over batch and heads; None where the library
    underneath does not say. `prepared_bytes` is what the preparation holds (masks, layouts). `compiled` says that
    the first call compiles, and with it every first call of another shape, or with gradients where there were none.
    """

    attend: "Callable[[Tensor, Tensor, Tensor], Tensor]"
    computed_pairs: int | None
    prepared_bytes: int = 0
    compiled: bool = False


class Implementation(Protocol):
    """What an implementation module offers."""

    def supports(self, pattern: Pattern, shape: Shape, dtype: str, device: str, direction: str) -> str | None:
        """Why this cannot be computed, or nothing."""

    def predict_bytes(
        self, pattern: Pattern, shape: Shape, dtype: str, device: str, direction: str, threads: int
    ) -> int:
        """Peak bytes that one call will allocate, inputs apart."""

    def build(self, pattern: Pattern, shape: Shape, dtype: str, device: str) -> Kernel:
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
