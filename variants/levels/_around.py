"""What stands around the mechanisms of a case, its weights, and how many numbers it learns."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import ATTENTION, Setting
from attnbench.variants.levels._level import Attend, Level, Predict
from attnbench.variants.levels._reading import read

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from attnbench.variants._variant import Variant

Draws = Callable[..., "tuple[Tensor, ...]"]
"""Function of parameters, a setting and a generator that draws weights."""


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
