"""Variants: named attention mechanisms, each found by the name of its file."""

import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attnbench.variants
from attnbench.variants import mechanism_peers
from attnbench.variants._decoding import Decoding
from attnbench.variants._parameters import Parameters
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import ATTENTION, DECODE, Setting, Work

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants.kernels import Program

Family = Literal["pattern", "by content", "low rank", "kernel", "recurrent", "convolution", "other", "floor"]
"""Kinds of mechanisms, in the order of a list: keys by place; keys by content; few keys or weights of low rank; feature
maps instead of a softmax; a state that is carried along; neighbours without attention; any other; no mixing at all."""
FLOOR: Final = "floor"
"""The family of what does not mix tokens. Reports compare it with the baseline, and rank it with nothing."""
Weights: TypeAlias = "tuple[Tensor, ...]"
"""Weights of a mechanism, besides its inputs: an `nn.Parameter` is learned, other tensors are fixed."""
OWN = "own"
"""The implementation name of a variant that brings its own `build`."""
_TAKEN_BEFORE = 4
"""Number of arguments of a `build` of version 0.1."""


class VariantError(TypeError):
    """A file is not a variant; `name` is the name in the file that the error is about."""

    def __init__(self, text: str, name: str = "VARIANT") -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class Variant:
    """An attention mechanism as its file declares it.

    `parameters` is the class of its parameters. If that is a `Pattern`, everything else follows from its spans, and
    for a `Scored` one from `modified`.
    `implementation` is used if a suite names none: a fixed preference, not a measured choice. Instead of `native`, a
    suite takes `blockwise` if it also measures on CUDA, or if it is read where there is no C++ compiler.

    A pattern may have its own program, called `own` in suites: `build(pattern, setting)`, as in
    `attnbench.variants.kernels`. It raises NotImplementedError with the reason if it cannot compute a case. A mechanism
    that is not softmax attention over a pattern's keys also needs a slow and obvious
    `reference(pattern, q, k, v, rows)`. It returns the outputs `B H R D` of the queries at `rows` `[R]`, in the dtype
    of its inputs `B H N D` and `B K N D`. The reference is then the oracle, `own` is the only implementation, and the
    pattern only says which keys a query depends on.

    A mechanism that is not a pattern defines everything itself. Its implementations are `own` and the programs of other
    projects in `attnbench.variants.mechanism_peers`:

    - `weights(parameters, setting, generator)`, if it has any: tensors in float32 on the CPU, drawn from a torch
      generator. An `nn.Parameter` among them is learned: its gradient is computed and checked like those of q, k, v.
    - `reference(parameters, q, k, v, rows, weights)`: as for a pattern, with the weights.
    - `options(parameters, q, k, v, rows, weights)`, if it chooses by content: the scores `B H R ... C` of the C options
      of the queries at `rows`, -inf for a forbidden one, and how many of the largest are chosen. The program then
      returns what it chose, and `reference` takes that as its last argument. If only some
      parameters make it choose, `Parameters.chooses` says which; with the others, the program has no choice.
    - `choosers(parameters, n)`, if others than the N queries of a head choose: how many of them a head has. `rows` of
      `options`, and the third dimension of the choice, then number these.
    - `work(parameters, setting)`: the FLOPs of one call in the setting's direction, from its formula.
    - `build(parameters, setting, weights)`: the program; its weights have the dtype and the device of the setting.
    """

    parameters: type[Parameters]
    source: str
    implementation: str = "native"
    build: "Callable[..., Program] | None" = None
    reference: "Callable[..., Tensor] | None" = None
    examples: tuple[Mapping[str, Any], ...] = field(default=({},), hash=False)
    """Parameters with which to test it, the first also to draw it; those that are not named have their defaults."""
    weights: "Callable[..., Weights] | None" = None
    work: "Callable[..., Work] | None" = None
    options: "Callable[..., tuple[Tensor, int]] | None" = None
    choosers: "Callable[..., int] | None" = None
    family: Family = "other"
    """What kind of mechanism it is. Subclasses of `Pattern` are patterns, whatever stands here."""
    level: str = ATTENTION
    """The lowest level at which it exists. One that mixes tokens in another way than by attention begins at `layer`."""
    decoding: Decoding | None = None
    """How it computes one token after another, if it can. A pattern needs none: implementations decode it."""

    @property
    def is_pattern(self) -> bool:
        """Whether its parameters are a pattern."""
        return issubclass(self.parameters, Pattern)

    @property
    def kind(self) -> Family:
        """The family to which it belongs."""
        return "pattern" if self.is_pattern else self.family

    def program(self, parameters: Parameters, setting: Setting, weights: "Weights" = ()) -> "Program":
        """Return what `build` makes, also for a `build(pattern, shape, dtype, device)` of version 0.1.

        Raises:
            TypeError: the variant has no `build`.
        """
        if self.build is None:
            raise TypeError("the variant brings no build of its own")
        if not self.is_pattern:
            return self.build(parameters, setting, weights)
        if len(inspect.signature(self.build).parameters) == _TAKEN_BEFORE:
            return self.build(parameters, setting.shape, setting.dtype, setting.device)
        return self.build(parameters, setting)

    def flops(self, parameters: Parameters, setting: Setting) -> int:
        """Return the FLOPs of one call of a mechanism that is not a pattern, from its `work`.

        Raises:
            TypeError: `work` does not return a `Work` with a valid number of FLOPs.
        """
        work = self.decoding.work if self.decoding and setting.direction == DECODE else self.work
        told = work(parameters, setting) if work else None
        if isinstance(told, Work) and type(told.flops) is int and told.flops >= 0:
            return told.flops
        raise TypeError(f"work: expected Work(flops) with an integer of at least 0, found {told!r:.80}")


def names() -> list[str]:
    """Return the names of all variants: the modules of this package and of folders added with `extend`."""
    return sorted(name for name, is_package in _modules().items() if not is_package and not name.startswith("_"))


def load(name: str) -> Variant:
    """Return the variant called `name`.

    Raises:
        KeyError: there is no such variant.
        VariantError: its file declares no `VARIANT`.
    """
    known = getattr(sys.modules.get(f"attnbench.variants.{name}"), "VARIANT", None)
    if isinstance(known, Variant) and not name.startswith("_"):
        return known  # without a look at the folders, which takes a millisecond
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


def implementations(name: str, generic: Iterable[str]) -> list[str]:
    """Return a variant's implementations by name: the `generic` ones, unless it has a reference, `own`, and peers."""
    variant = load(name)
    return [*(() if variant.reference else generic), *([OWN] if variant.build else ()), *mechanism_peers.names(name)]


def describe(name: str) -> str:
    """Return the docstring of the variant's file: formula, source, how its keys are counted, cost."""
    load(name)
    return (importlib.import_module(f"attnbench.variants.{name}").__doc__ or "").strip()


def formula(name: str) -> list[str]:
    """Return the lines of the formula in the docstring of the variant's file; none if there is none."""
    lines = describe(name).splitlines()
    found = [bool(re.match(" {4}", line)) for line in lines]
    if True not in found:
        return []
    first = found.index(True)
    last = found.index(False, first) if False in found[first:] else len(lines)
    return [line.strip() for line in lines[first:last]]


def cost(name: str) -> str | None:
    """Return the sentence on cost in the docstring of the variant's file, or None."""
    found = re.search(r"\bCost: (.+?)\.(?:\s|$)", " ".join(describe(name).split()))
    return found and found[1]


def file(name: str) -> Path:
    """Return the file of the variant called `name`; the file need not be valid.

    Raises:
        KeyError: there is no such variant.
    """
    spec = importlib.util.find_spec(f"attnbench.variants.{name}")
    if spec is None or spec.origin is None:
        raise KeyError(name)
    return Path(spec.origin)


def extend(folder: Path) -> None:
    """Add the one-file variants of `folder`. Files that begin with `_` are not variants; variants may import them.

    Raises:
        ValueError: `folder` is not a folder, or one of its files has a name that is taken or is not an identifier.
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
    """Return the names of all modules, and whether each is a package."""
    return {module.name: module.ispkg for module in pkgutil.iter_modules(attnbench.variants.__path__)}
