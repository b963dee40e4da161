"""Levels: what stands around a mechanism when it is measured. Each is a module that names its class `LEVEL`.

At level `attention` nothing does: queries, keys and values are given. At level `layer` there are projections around it.
At level `encoder` there are several such layers, and at
`encoder_decoder` on two sides. Importing this package does not import torch.
"""

import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import ATTENTION, Setting, Shape

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from attnbench.variants._variant import Variant

Attend = Callable[..., "Tensor"]
"""What lies within a level: attention, from queries `B H N D`, keys and values `B K N D` to outputs `B H N D`, or a
layer, from tokens `B N C` to tokens `B N C`. If the level has a bias, attention takes its table after the values."""
Predict = Callable[..., int]
"""Function of a direction that predicts the peak bytes of one call of a mechanism alone: that of the first place in the
level, or of the place with this number."""
Draws = Callable[..., "tuple[Tensor, ...]"]
"""Function of parameters, a setting and a generator that draws weights."""
Update = Callable[["Sequence[Tensor | None]"], None]
"""Function that changes learned weights, given their gradients."""
BIAS_REFUSED = "positions: relative adds a learned bias to scores, which only eager and sdpa_masked do, for patterns"
"""Why a case does not exist at a level that adds a bias to scores."""
_PARAMETER = r"\w+=[^=,()]+(?:\([^()]*\))?"
"""A parameter of a level as text. Its value may have parameters itself."""
CROSS_REFUSED = "attention: cross takes keys of another sequence: use full in eager, sdpa or a forced kernel, or linear"
"""Why an implementation does not exist at a level that crosses."""


@dataclass(frozen=True)
class Level(Parameters):
    """What stands around one mechanism, or around several layers, with its parameters. A level subclasses it."""

    integers: ClassVar[bool] = False
    """Whether its inputs are integers, which have no gradient."""

    @property
    def depth(self) -> int:
        """The number of mechanisms in it. Each has its own weights."""
        return 1

    @property
    def inner(self) -> "Level":
        """The level around each mechanism: itself, unless it holds layers."""
        return self

    @property
    def has_bias(self) -> bool:
        """Whether it adds a bias to the scores of its mechanism: a[h, clip(j - i, -R, R)], from a table a."""
        return False

    @property
    def crosses(self) -> bool:
        """Whether the keys of its mechanism are those of another sequence than its queries."""
        return False

    def keys(self, shape: Shape) -> int:
        """Return the number of keys of its mechanism."""
        return shape.seq_len

    def mechanism(self, parameters: Parameters) -> Parameters:
        """Return the parameters of its mechanism, given those that a case names."""
        return parameters

    def mismatch(self, parameters: Parameters) -> str | None:
        """Return why it cannot hold a mechanism with the parameters that `mechanism` returned, or None."""
        del parameters
        return None

    def places(self, shape: Shape) -> "tuple[tuple[Level, Shape], ...]":
        """Return the level around each mechanism, and the shape there."""
        return ((self.inner, shape),) * self.depth

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

    def project(self, setting: Setting, weights: "tuple[Tensor, ...]", x: "Tensor", first: int) -> "tuple[Tensor, ...]":
        """Return what a layer gives its mechanism of some tokens, the first of which has the position `first`."""
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

    def at(self, n: int) -> Self:
        """Return the level with no other sequence longer than n."""
        del n
        return self

    def fitted(self, widths: Collection[int], batches: Collection[int]) -> Self:
        """Return the level without parameters that the shapes decide.

        Raises:
            ValueError: it does not exist at one of the widths of tokens, H D, or of the batches.
        """
        del widths, batches
        return self

    @property
    def length(self) -> int | None:
        """N, if the level fixes it."""
        return None

    def beside(self, learned: int, shape: Shape) -> Self:
        """Return the level around layers with so many learned numbers each."""
        del learned, shape
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

    def wide(self) -> "Held":
        """Return all in float64. Those that require a gradient still do."""

        def widened(some: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
            return tuple(each.detach().double().requires_grad_(each.requires_grad) for each in some)

        return Held(widened(self.outer), tuple(map(widened, self.inner)), tuple(map(widened, self.own)))


class Around(NamedTuple):
    """What stands around the mechanisms of a case: a level that holds layers, and the level that makes each a layer."""

    outer: Level | None
    inner: Level | None

    def call(self, setting: Setting, attends: Sequence[Attend], weights: Held, *inputs: "Tensor") -> "Tensor":
        """Return the output of all levels around mechanisms."""
        layers = self.layers(setting, attends, weights)
        return self.outer.call(setting, layers, weights.outer, *inputs) if self.outer else layers[0](*inputs)

    def layers(self, setting: Setting, attends: Sequence[Attend], weights: Held) -> Sequence[Attend]:
        """Return the layers around mechanisms."""
        if not self.inner:
            return attends
        pairs = zip(attends, weights.inner, strict=True)
        return [partial(self.inner.call, setting, (attend,), mine) for attend, mine in pairs]

    def flops(self, setting: Setting) -> int:
        """Return the FLOPs of one call, without those of the mechanisms."""
        level = self.outer or self.inner
        assert level  # something stands around mechanisms
        outer = self.outer.flops(setting) if self.outer else 0
        if not self.inner:
            return outer
        return outer + sum(each.flops(replace(setting, shape=shape)) for each, shape in level.places(setting.shape))

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Return the peak bytes that one call will allocate."""
        level = self.outer or self.inner
        return level.predict_bytes(setting, mechanism) if level else mechanism(setting.direction)


def around(variant: "Variant", parameters: Parameters, setting: Setting) -> Around | None:
    """Return what stands around the mechanisms of a variant, or None if nothing does."""
    found = read(setting.level)
    if found is None:
        return None
    inner = found.inner if variant.level == ATTENTION else None
    outer = None if found.inner is found else found
    if outer and outer.length:
        outer = outer.beside(_of_layer(variant.weights, parameters, setting, whole=inner is None), setting.shape)
    return Around(outer, inner) if outer or inner else None


def has_bias(setting: Setting) -> bool:
    """Check whether what stands around the mechanisms of a setting adds a bias to their scores."""
    found = read(setting.level)
    return found is not None and found.inner.has_bias


def crosses(setting: Setting) -> bool:
    """Check whether the keys of mechanisms in a setting are those of another sequence."""
    found = read(setting.level)
    return found is not None and found.inner.crosses


def keys(setting: Setting) -> int:
    """Return the number of keys of a mechanism in a setting."""
    found = read(setting.level)
    return found.inner.keys(setting.shape) if found else setting.shape.seq_len


def learned(variant: "Variant", parameters: Parameters, setting: Setting) -> int:
    """Return how many learned numbers a case has: those of its mechanisms and of what stands around them."""
    level, found = around(variant, parameters, setting), read(setting.level)
    if level is None or found is None:
        return _of_mechanism(variant.weights, parameters, setting)
    total = _count(level.outer.weights, setting) if level.outer else 0
    for (each, shape), many in Counter(found.places(setting.shape)).items():
        there = replace(setting, shape=shape)
        around_it = _count(each.weights, there) if level.inner else 0
        total += many * (around_it + _of_mechanism(variant.weights, each.mechanism(parameters), there))
    return total


@lru_cache(maxsize=64)
def _of_layer(draw: "Draws | None", parameters: Parameters, setting: Setting, *, whole: bool) -> int:
    """Return how many learned numbers the first layer has; a mechanism may be the `whole` of it."""
    found = read(setting.level)
    assert found
    layer, shape = found.places(setting.shape)[0]
    there = replace(setting, shape=shape)
    return (0 if whole else _count(layer.weights, there)) + _of_mechanism(draw, layer.mechanism(parameters), there)


def _of_mechanism(draw: "Draws | None", parameters: Parameters, setting: Setting) -> int:
    """Return how many learned numbers a mechanism has."""
    return _count(partial(draw, parameters), setting) if draw else 0


def _count(draw: "Callable[[Setting, Generator], tuple[Tensor, ...]]", setting: Setting) -> int:
    """Return how many learned numbers are drawn."""
    import torch

    drawn = draw(setting, torch.Generator().manual_seed(0))
    return sum(each.numel() for each in drawn if isinstance(each, torch.nn.Parameter) and each.requires_grad)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all levels but `attention`."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_")))


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
    match = re.fullmatch(rf"(\w+)(?:\(({_PARAMETER}(?:, {_PARAMETER})*)\))?", level)
    if not match or match[1] not in names():
        raise ValueError(f"level: expected one of {', '.join([ATTENTION, *names()])}, found {level!r}")
    told = dict(each.split("=", 1) for each in re.findall(_PARAMETER, match[2] or ""))
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
