"""A named attention mechanism, found by the name of its file."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attnbench.variants
from attnbench.variants._pattern import Pattern

if TYPE_CHECKING:
    from attnbench.variants.kernels import Kernel

OWN = "own"
"""The implementation name of a variant that brings its own `build`."""


@dataclass(frozen=True)
class Variant:
    """An attention mechanism as its file declares it.

    `pattern` is the class of its parameters. `implementation` is the one used where a suite names none: a
    fixed preference, never a measured choice. A variant may bring its own kernel, called `own` in suites:
    `build(pattern, shape, dtype, device)`, as in `attnbench.variants.kernels`.
    """

    pattern: type[Pattern]
    source: str
    implementation: str = "blockwise"
    build: "Callable[[Any, Any, str, str], Kernel] | None" = None


def names() -> list[str]:
    """The names of all variants: the modules of this package, and of folders added with `extend`."""
    modules = pkgutil.iter_modules(attnbench.variants.__path__)
    return sorted(module.name for module in modules if not module.ispkg and not module.name.startswith("_"))


def load(name: str) -> Variant:
    """The variant called `name`.

    Raises:
        KeyError: there is no such variant.
        TypeError: its file declares no `VARIANT`.
    """
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"attnbench.variants.{name}")
    variant = getattr(module, "VARIANT", None)
    if not isinstance(variant, Variant):
        raise TypeError(f"{module.__file__}: expected VARIANT = Variant(...), found {variant!r}")
    return variant


def describe(name: str) -> str:
    """The docstring of the variant's file: formula, source, how its keys are counted, cost."""
    load(name)
    return (importlib.import_module(f"attnbench.variants.{name}").__doc__ or "").strip()


def extend(folder: Path) -> None:
    """Find the one-file variants of `folder` too.

    Raises:
        ValueError: `folder` is no folder, or one of its files has the name of a variant that is there already.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of variants, found none")
    path = str(folder.resolve())
    if path in attnbench.variants.__path__:
        return
    taken = {path.stem for path in folder.glob("*.py")} & set(names())
    if taken:
        raise ValueError(
            f"{folder / (min(taken) + '.py')}: a variant called {min(taken)} exists already; rename the file"
        )
    attnbench.variants.__path__.append(path)
    importlib.invalidate_caches()
