"""A named attention mechanism, found by the name of its file."""

import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attnbench.variants
from attnbench.variants._parameters import Parameters
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting, Work

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants.kernels import Program

Weights: TypeAlias = "tuple[Tensor, ...]"
"""What a mechanism has beside its inputs: learned where an `nn.Parameter`, else fixed."""
OWN = "own"
"""The implementation name of a variant that brings its own `build`."""
_TAKEN_BEFORE = 4
"""Arguments of a `build` of version 0.1."""


class VariantError(TypeError):
    """A file is no variant: what was expected and found, and the name in the file that this is about."""

    def __init__(self, text: str, name: str = "VARIANT") -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class Variant:
    """An attention mechanism as its file declares it.

    `parameters` is the class of its parameters. Where that is a `Pattern`, everything else follows from its spans.
    `implementation` is the one used where a suite names none: a fixed preference, never a measured choice.

    A pattern may bring its own program, called `own` in suites: `build(pattern, setting)`, as in
    `attnbench.variants.kernels`. Where it cannot compute a case it raises NotImplementedError, which says why. What is
    not softmax attention over a pattern's keys also brings a `reference(pattern, q, k, v, rows)`: slow and obvious, the
    outputs `B H R D` of the queries at `rows` `[R]`, in the dtype of its inputs `B H N D` and `B K N D`. Then this is
    the oracle, `own` is the only implementation, and the pattern just says which keys a query depends on.

    A mechanism that is no pattern says all of it itself, and `own` is its only implementation:

    - `weights(parameters, setting, generator)`, where it has any: tensors in float32 on the CPU, drawn from a torch
      generator. An `nn.Parameter` among them is learned: its gradient is computed and proved beside those of q, k, v.
    - `reference(parameters, q, k, v, rows, weights)`: as that of a pattern, with the weights.
    - `options(parameters, q, k, v, rows, weights)`, where it chooses by content: the scores `B H R ... C` of the C
      options that the queries at `rows` have, -inf for one that is forbidden, and how many of the largest are chosen.
      The program then says what it chose, and `reference` takes that as its last argument.
    - `work(parameters, setting)`: the FLOPs of one call in the setting's direction, from its formula.
    - `build(parameters, setting, weights)`: the program; its weights have the dtype and the device of the setting.
    """

    parameters: type[Parameters]
    source: str
    implementation: str = "blockwise"
    build: "Callable[..., Program] | None" = None
    reference: "Callable[..., Tensor] | None" = None
    examples: tuple[Mapping[str, Any], ...] = field(default=({},), hash=False)
    """Parameters to draw it with, the first of them, and to try it with; others have their defaults."""
    weights: "Callable[..., Weights] | None" = None
    work: "Callable[..., Work] | None" = None
    options: "Callable[..., tuple[Tensor, int]] | None" = None

    @property
    def is_pattern(self) -> bool:
        """Whether a pattern says what it computes, or what it depends on."""
        return issubclass(self.parameters, Pattern)

    def program(self, parameters: Parameters, setting: Setting, weights: "Weights" = ()) -> "Program":
        """What `build` makes, also where it takes `(pattern, shape, dtype, device)`, as in version 0.1.

        Raises:
            TypeError: the variant brings no `build`.
        """
        if self.build is None:
            raise TypeError("the variant brings no build of its own")
        if not self.is_pattern:
            return self.build(parameters, setting, weights)
        if len(inspect.signature(self.build).parameters) == _TAKEN_BEFORE:
            return self.build(parameters, setting.shape, setting.dtype, setting.device)
        return self.build(parameters, setting)

    def flops(self, parameters: Parameters, setting: Setting) -> int:
        """The FLOPs of one call of a mechanism that is no pattern, as its `work` says.

        Raises:
            TypeError: it says something else.
        """
        told = self.work(parameters, setting) if self.work else None
        if isinstance(told, Work) and type(told.flops) is int and told.flops >= 0:
            return told.flops
        raise TypeError(f"work: expected Work(flops) with an integer of at least 0, found {told!r:.80}")

    def implementations(self, generic: Iterable[str]) -> list[str]:
        """What computes it, of those that are generic over patterns and its own."""
        return [*(() if self.reference else generic), *([OWN] if self.build else ())]


def names() -> list[str]:
    """The names of all variants: the modules of this package, and of folders added with `extend`."""
    return sorted(name for name, is_package in _modules().items() if not is_package and not name.startswith("_"))


def load(name: str) -> Variant:
    """The variant called `name`.

    Raises:
        KeyError: there is no such variant.
        VariantError: its file declares no `VARIANT`.
    """
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"attnbench.variants.{name}")
    variant = getattr(module, "VARIANT", None)
    if not isinstance(variant, Variant):
        found = "none" if variant is None else repr(variant)
        raise VariantError(
            f"expected VARIANT = Variant(...), found {found}; a file that is no variant has a name that begins with _"
        )
    return variant


def describe(name: str) -> str:
    """The docstring of the variant's file: formula, source, how its keys are counted, cost."""
    load(name)
    return (importlib.import_module(f"attnbench.variants.{name}").__doc__ or "").strip()


def file(name: str) -> Path:
    """The file of the variant called `name`, which need not be sound.

    Raises:
        KeyError: there is no such variant.
    """
    spec = importlib.util.find_spec(f"attnbench.variants.{name}")
    if spec is None or spec.origin is None:
        raise KeyError(name)
    return Path(spec.origin)


def extend(folder: Path) -> None:
    """Find the one-file variants of `folder` too. Files that begin with `_` are none, but theirs to import.

    Raises:
        ValueError: `folder` is no folder, or one of its files has a name that is taken, or that is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of variants, found none")
    path = str(folder.resolve())
    if path in attnbench.variants.__path__:
        return
    taken = _modules()
    for each in sorted(each for each in folder.glob("*.py") if not each.name.startswith(".")):
        if not each.stem.isidentifier():
            raise ValueError(f"{each}: expected a name of letters, digits and _, found {each.stem}; rename the file")
        if each.stem in taken or callable(getattr(attnbench.variants, each.stem, None)):
            raise ValueError(f"{each}: expected a name that is free, found {each.stem}, which is taken; rename it")
    attnbench.variants.__path__.append(path)
    importlib.invalidate_caches()


def _modules() -> dict[str, bool]:
    """The modules that there are, and whether each is a package."""
    return {module.name: module.ispkg for module in pkgutil.iter_modules(attnbench.variants.__path__)}
