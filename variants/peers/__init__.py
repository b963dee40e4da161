"""Attention of other projects, as implementations to measure against: one module for each, as in `kernels`.

A module imports its package only in `build`, so that nothing else needs it: `pip install 'attnbench[peers]'`.
"""

import importlib.util

from attnbench.variants._setting import Shape


def refusal(peer: str, requirement: str, shape: Shape) -> str | None:
    """Return why a peer cannot be called at all, or None.

    `requirement` is its package and version, as in `transformers 4.50 or later`; the package may be loaded later.
    """
    package = requirement.split()[0].replace("-", "_")
    if importlib.util.find_spec(package) is None:
        return f"{peer} needs the package {requirement}, found none; pip install 'attnbench[peers]'"
    if shape.kv_heads != shape.heads:
        return f"{peer} takes as many kv_heads as heads, found kv_heads {shape.kv_heads} and heads {shape.heads}"
    return None
