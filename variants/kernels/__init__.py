"""Implementations that compute a variant: each is one module, generic over patterns.

An implementation module has three functions:

- `supports(pattern, setting) -> str | None`: return why it cannot compute this, or None.
- `predict_bytes(pattern, setting, threads) -> int`: return the peak bytes that one call will allocate. `threads` is the
  number of CPU threads with a workspace each, 0 on CUDA.
- `build(pattern, setting) -> Program`: prepare layouts and masks. This is not part of the timed call.

Importing this package does not import torch; loading an implementation does.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

from attnbench.variants import peers
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import DECODE, Setting
from attnbench.variants.kernels import _building

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants.kernels._decoding import Decoder

PREFERRED, PORTABLE = "native", "blockwise"
"""The implementations of patterns for which a suite names none; the first needs a C++ compiler and a CPU."""
SHARED = "context_parallel"
"""The implementation in which several processes share a sequence: `world` is above 1 for it alone."""


@dataclass(frozen=True)
class Program:
    """An implementation prepared for one mechanism and setting, ready to be called."""

    call: "Callable[..., Tensor]"
    """`call(q, k, v)` maps queries `B H N D`, keys and values `B K N D` (K = kv_heads) to outputs `B H N D`."""
    computed_pairs: int | None = None
    """Scores that a call computes, over batch and heads; None if the library underneath does not say."""
    prepared_bytes: int = 0
    """Bytes that the preparation holds: masks, layouts."""
    compiled: bool = False
    """Whether calls compile: the first call, and the first of each other shape and with gradients."""
    weights: "tuple[Tensor, ...]" = ()
    """The weights it was built with, if its mechanism has weights; set by the caller of `build`."""
    choice: "Callable[..., Tensor | tuple[Tensor, ...]] | None" = None
    """Returns what `call` chooses by content on the same inputs: the indices `B H N ... m` of m options, int64.

    If a variant has other choosers than the queries, their number stands in place of N. Within a level it is a tuple of
    what each mechanism chooses.
    """
    update: "Callable[[Sequence[Tensor | None]], None] | None" = None
    """Changes learned weights, given their gradients, as the last part of a call in the direction `training`."""
    state: "tuple[Tensor, ...]" = ()
    """All that a call changes by its definition, such as slots of a cache. It is put back before each value and after
    each proved call."""
    state_bytes: int | None = None
    """Bytes of the cache or state that a call in the direction `decode` reads."""
    measure_ranks: "Callable[[Callable[[], object]], tuple[int, int]] | None" = None
    """Runs a call that uses other processes. Returns the most bytes that one of them allocates at a time, and the most
    that one sends to others."""


def Kernel(  # noqa: N802  # the name of a program in variant files of version 0.1
    attend: "Callable[[Tensor, Tensor, Tensor], Tensor]",
    computed_pairs: int | None,
    prepared_bytes: int = 0,
    compiled: bool = False,
) -> Program:
    """Return a `Program`, for variant files of version 0.1."""
    return Program(attend, computed_pairs, prepared_bytes, compiled)


class Implementation(Protocol):
    """Functions of an implementation module."""

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Return why this cannot be computed, or None."""

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Return the peak bytes that one call will allocate, without its inputs."""

    def build(self, pattern: Pattern, setting: Setting) -> Program:
        """Prepare the implementation for a pattern and a setting."""


def names() -> list[str]:
    """Return the names of all implementations."""
    return sorted(_packages())


def usual(implementation: str, devices: Collection[str], directions: Collection[str] = ()) -> str:
    """Return a variant's usual implementation, or `PORTABLE` if that is `PREFERRED` and cannot be built here.

    A suite that also measures on CUDA takes `PORTABLE` everywhere, so that its devices are compared in one
    implementation, and so does one that decodes, which `PREFERRED` does not. Nothing is built.
    """
    if implementation != PREFERRED:
        return implementation
    elsewhere = set(devices) != {"cpu"} or DECODE in directions
    return PORTABLE if elsewhere or _building.refusal() is not None else implementation


def load(name: str) -> Implementation:
    """Return the implementation called `name`.

    Raises:
        KeyError: there is no such implementation.
    """
    return cast(Implementation, importlib.import_module(f"{_packages()[name]}.{name}"))


def decoder(name: str) -> "Decoder":
    """Return how the implementation called `name` decodes."""
    from attnbench.variants.kernels._decoding import Decoder

    return Decoder(name)


@cache
def _packages() -> dict[str, str]:
    """Return the package of each implementation by the implementation's name."""
    folders = {__name__: __path__, peers.__name__: peers.__path__}
    found = ((package, each.name) for package, path in folders.items() for each in pkgutil.iter_modules(path))
    return {name: package for package, name in found if not name.startswith("_")}
