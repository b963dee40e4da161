"""Levels: what stands around a mechanism when it is measured. Each is a module that names its class `LEVEL`.

At level `attention` nothing does: queries, keys and values are given. At level `layer` there are projections around it.
At level `encoder` there are several such layers. Importing this package does not import torch.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import ATTENTION, Direction, Setting, Shape

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from attnbench.variants._variant import Variant

Attend = Callable[..., "Tensor"]
"""What lies within a level: attention, from queries `B H N D`, keys and values `B K N D` to outputs `B H N D`, or a
layer, from tokens `B N C` to tokens `B N C`."""
Predict = Callable[[Direction], int]
"""Function that predicts the peak bytes of one call of a mechanism alone in a direction."""
Update = Callable[["Sequence[Tensor | None]"], None]
"""Function that changes learned weights, given their gradients."""


@dataclass(frozen=True)
class Level(Parameters):
    """What stands around one mechanism, or around several layers, with its parameters. A level subclasses it."""

    @property
    def depth(self) -> int:
        """The number of mechanisms in it. Each has its own weights."""
        return 1

    @property
    def inner(self) -> "Level":
        """The level around each mechanism: itself, unless it holds layers."""
        return self

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the size of each input of a call, and then that of the output."""
        raise NotImplementedError

    def draw(self, shape: Shape, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw the inputs, and then the gradient of the output, on the CPU: standard normal float32 numbers."""
        import torch

        return tuple(torch.randn(*each, generator=generator) for each in self.sizes(shape))

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw the level's own weights, as a variant's `weights` does, without those of the layers in it."""
        raise NotImplementedError

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Return the output, computed in the dtype of the weights. `within` are its mechanisms or its layers."""
        raise NotImplementedError

    def update(self, learned: "Sequence[Tensor]") -> "tuple[Update, tuple[Tensor, ...]] | None":
        """Return what a call in the direction `training` does after gradients, and all that this changes; or None."""
        del learned
        return None

    def flops(self, setting: Setting) -> int:
        """Return the FLOPs of one call in the setting's direction, without those of what lies within."""
        raise NotImplementedError

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Return the peak bytes that one call will allocate, given those of a mechanism alone."""
        raise NotImplementedError

    def fitted(self, widths: Collection[int]) -> Self:
        """Return the level without parameters that the width of tokens decides.

        Raises:
            ValueError: it does not exist at one of the widths, H D.
        """
        del widths
        return self

    def refusal(self, setting: Setting) -> str | None:
        """Return why the level does not exist in a setting, or None."""
        del setting
        return None


class Held(NamedTuple):
    """The weights of a case: those of a level that holds layers, and for each mechanism those around it and its own."""

    outer: "tuple[Tensor, ...]"
    inner: "tuple[tuple[Tensor, ...], ...]"
    own: "tuple[tuple[Tensor, ...], ...]"

    @property
    def groups(self) -> "list[tuple[Tensor, ...]]":
        """The weights of the outer level, if there are any, and then those of each layer."""
        layers = [(*inner, *own) for inner, own in zip(self.inner, self.own, strict=True)]
        return [self.outer, *layers] if self.outer else layers

    @property
    def flat(self) -> "tuple[Tensor, ...]":
        """All weights in this order."""
        return tuple(each for group in self.groups for each in group)


class Around(NamedTuple):
    """What stands around the mechanisms of a case: a level that holds layers, and the level that makes each a layer."""

    outer: Level | None
    inner: Level | None

    @property
    def depth(self) -> int:
        """The number of mechanisms."""
        return self.outer.depth if self.outer else 1

    def call(self, setting: Setting, attends: Sequence[Attend], weights: Held, *inputs: "Tensor") -> "Tensor":
        """Return the output of all levels around mechanisms."""
        layers = attends
        if self.inner:
            pairs = zip(attends, weights.inner, strict=True)
            layers = [partial(self.inner.call, setting, (attend,), mine) for attend, mine in pairs]
        return self.outer.call(setting, layers, weights.outer, *inputs) if self.outer else layers[0](*inputs)

    def flops(self, setting: Setting) -> int:
        """Return the FLOPs of one call, without those of the mechanisms."""
        outer, inner = (each.flops(setting) if each else 0 for each in self)
        return outer + self.depth * inner

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Return the peak bytes that one call will allocate."""
        level = self.outer or self.inner
        return level.predict_bytes(setting, mechanism) if level else mechanism(setting.direction)


def around(level: str, lowest: str) -> Around | None:
    """Return what stands around mechanisms that exist from the level `lowest` on, or None if nothing does."""
    found = read(level)
    if found is None:
        return None
    outer = None if found.inner is found else found
    inner = found.inner if lowest == ATTENTION else None
    return Around(outer, inner) if outer or inner else None


def learned(variant: "Variant", parameters: Parameters, setting: Setting) -> int:
    """Return how many learned numbers a case has: those of its mechanisms and of what stands around them."""
    import torch

    def count(draw: "Callable[[Setting, Generator], tuple[Tensor, ...]]") -> int:
        drawn = draw(setting, torch.Generator().manual_seed(0))
        return sum(each.numel() for each in drawn if isinstance(each, torch.nn.Parameter) and each.requires_grad)

    own = count(partial(variant.weights, parameters)) if variant.weights else 0
    level = around(setting.level, variant.level)
    if level is None:
        return own
    outer, inner = (count(each.weights) if each else 0 for each in level)
    return outer + level.depth * (inner + own)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all levels but `attention`."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(__path__)))


def load(name: str) -> type[Level]:
    """Return the class of the level called `name`.

    Raises:
        KeyError: there is no such level.
    """
    if name not in names():
        raise KeyError(name)
    found: type[Level] = importlib.import_module(f"{__name__}.{name}").LEVEL
    return found


def describe(name: str) -> str:
    """Return the first line of the docstring of the level's module."""
    load(name)
    return (importlib.import_module(f"{__name__}.{name}").__doc__ or "").partition("\n")[0]


def written(name: str, parameters: Level) -> str:
    """Return a level as a setting holds it: `layer`, or `layer(positions=rotary)`, without parameters at defaults."""
    given = {each: getattr(parameters, each.name) for each in fields(parameters)}
    told = [f"{each.name}={_text(value)}" for each, value in given.items() if value != each.default]
    return f"{name}({', '.join(told)})" if told else name


@lru_cache
def read(level: str) -> Level | None:
    """Return the level that `written` wrote, or None for `attention`.

    Raises:
        ValueError: it is not a level.
    """
    if level == ATTENTION:
        return None
    match = re.fullmatch(r"(\w+)(?:\((\w+=[^=,()]+(?:, \w+=[^=,()]+)*)\))?", level)
    if not match or match[1] not in names():
        raise ValueError(f"level: expected one of {', '.join([ATTENTION, *names()])}, found {level!r}")
    told = dict(each.split("=") for each in match[2].split(", ")) if match[2] else {}
    try:
        return load(match[1])(**{name: _value(value) for name, value in told.items()})
    except TypeError as error:
        raise ValueError(f"level: {error}") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
