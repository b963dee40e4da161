"""Levels: what stands around a mechanism when it is measured. Each is a module that names its class `LEVEL`.

At level `attention` nothing does: queries, keys and values are given. Importing this package does not import torch.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import ATTENTION, Setting, Shape

if TYPE_CHECKING:
    from torch import Generator, Tensor

Attend = Callable[..., "Tensor"]
"""Attention as a level calls it: from queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""


@dataclass(frozen=True)
class Level(Parameters):
    """What stands around a mechanism, with its parameters. A level subclasses it."""

    def inputs(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the size of each input of a call; the last dimension but one is the sequence.

        The output has the size of the first.
        """
        raise NotImplementedError

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw the level's own weights, as a variant's `weights` does."""
        raise NotImplementedError

    def call(self, setting: Setting, attend: Attend, weights: "tuple[Tensor, ...]", *inputs: "Tensor") -> "Tensor":
        """Return the output, computed in the dtype of the inputs."""
        raise NotImplementedError

    def flops(self, setting: Setting) -> int:
        """Return the FLOPs of one call in the setting's direction, without those of the mechanism."""
        raise NotImplementedError

    def predict_bytes(self, setting: Setting, mechanism: int) -> int:
        """Return the peak bytes that one call will allocate, given those of the mechanism alone."""
        raise NotImplementedError

    def refusal(self, shape: Shape) -> str | None:
        """Return why the level does not exist at a shape, or None."""
        del shape
        return None


def names() -> list[str]:
    """Return the names of all levels but `attention`."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__))


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
