"""Attention of other projects, as implementations to measure against: one module for each, as in `kernels`.

A module imports its package only in `build`, so that nothing else needs it: `pip install 'attnbench[peers]'`. Its
`REQUIREMENT` is the package and its version, as in `transformers 4.50 or later`.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from importlib import metadata

from attnbench.variants._setting import Shape

FLASH_LINEAR_ATTENTION = "flash-linear-attention 0.6.0"
"""The version that `fla` calls, and so do the peers of mechanisms whose names begin with it."""


def names() -> list[str]:
    """Return the names of all peers, sorted."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_"))


def refusal(peer: str, requirement: str, shape: Shape) -> str | None:
    """Return why a peer cannot be called at all, or None.

    The package of its `requirement` may be loaded later.
    """
    package = requirement.split()[0].replace("-", "_")
    if importlib.util.find_spec(package) is None:
        return f"{peer} needs the package {requirement}, found none; pip install 'attnbench[peers]'"
    return refused_sharing(peer, shape)


def refused_sharing(peer: str, shape: Shape) -> str | None:
    """Return why a peer does not take fewer key heads than heads, or None if there are as many."""
    if shape.kv_heads == shape.heads:
        return None
    return f"{peer} takes as many kv_heads as heads, found kv_heads {shape.kv_heads} and heads {shape.heads}"


def requirements() -> list[str]:
    """Return the packages of all peers with their versions."""
    return [importlib.import_module(f"{__name__}.{name}").REQUIREMENT for name in names()]


def installed(requirements: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, by package."""
    found = {}
    for package in sorted({each.split()[0] for each in requirements}):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
