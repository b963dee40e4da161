"""Other projects' programs of mechanisms that are not patterns: one module for each, beside the variant's own `build`.

A module names the variant that it computes, `VARIANT = "linformer"`, and its `REQUIREMENT` as in `peers`. Its functions
are those of an implementation, but take a mechanism's parameters, and `build` also the weights that the variant draws.
So it is proved against the variant's `reference`, with the same weights. Modules import only NumPy; torch and their
package are imported in functions.
"""

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from attnbench.variants import peers
from attnbench.variants._setting import DECODE, Setting

if TYPE_CHECKING:
    from attnbench.variants import Weights
    from attnbench.variants.kernels import Program


class Peer(Protocol):
    """Functions of a module, the variant that it computes, and the package that it needs."""

    VARIANT: str
    REQUIREMENT: str

    def supports(self, parameters: Any, setting: Setting) -> str | None:
        """Return why this cannot be computed, or None."""

    def predict_bytes(self, parameters: Any, setting: Setting, threads: int) -> int:
        """Return the peak bytes that one call will allocate, without its inputs and weights."""

    def build(self, parameters: Any, setting: Setting, weights: "Weights") -> "Program":
        """Prepare the program; its weights have the dtype and the device of the setting."""


def names(variant: str | None = None) -> list[str]:
    """Return the names of the peers that compute a variant, or of all."""
    return [name for name, peer in _peers().items() if variant in (None, peer.VARIANT)]


def load(name: str) -> Peer:
    """Return the peer called `name`.

    Raises:
        KeyError: there is no such peer.
    """
    return _peers()[name]


def requirements() -> list[str]:
    """Return the packages of all peers with their versions."""
    return [peer.REQUIREMENT for peer in _peers().values()]


def refusal(peer: str, requirement: str, setting: Setting) -> str | None:
    """Return why a peer cannot be called at all in a setting, or None; `requirement` is its package and version."""
    return refused_setting(peer, setting) or peers.refusal(peer, requirement, setting.shape)


def refused_setting(peer: str, setting: Setting) -> str | None:
    """Return why no peer computes what a setting asks for, or None."""
    from attnbench.variants import levels

    if setting.direction == DECODE:
        return f"{peer} does not decode"
    if levels.has_bias(setting):
        return levels.BIAS_REFUSED
    if setting.shape.lengths:
        return f"{peer} computes all N tokens of every sequence, and this batch is padded"
    return None


@cache
def _peers() -> dict[str, Peer]:
    """Return all peers by name."""
    found = (each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_"))
    return {name: cast(Peer, importlib.import_module(f"{__name__}.{name}")) for name in found}
