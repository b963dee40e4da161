"""Levels by name, and their text in a setting."""

from functools import lru_cache

from attnbench.variants import _kinds
from attnbench.variants._setting import ATTENTION
from attnbench.variants.levels._level import Level

_PACKAGE = __name__.rpartition(".")[0]


def names() -> tuple[str, ...]:
    """Return the names of all levels but `attention`."""
    return _kinds.names(_PACKAGE)


def load(name: str) -> type[Level]:
    """Return the class of the level called `name`.

    Raises:
        KeyError: there is no such level.
    """
    found: type[Level] = _kinds.module(_PACKAGE, name).LEVEL
    return found


def describe(name: str) -> str:
    """Return the first line of the docstring of the level's module."""
    return _kinds.summary(_kinds.module(_PACKAGE, name))


def written(name: str, parameters: Level) -> str:
    """Return a level as a setting holds it: `layer`, or `layer(positions=rotary)`, without parameters at defaults."""
    return _kinds.written(name, parameters)


def brief(level: str) -> str:
    """Return the text of a level for readers: that of a setting, but a task has its data first."""
    found = read(level)
    return found.brief(level.partition("(")[0]) if found else level


@lru_cache
def read(level: str) -> Level | None:
    """Return the level that `written` wrote, or None for `attention`.

    Raises:
        ValueError: it is not a level.
    """
    if level == ATTENTION:
        return None
    name, given = _kinds.parsed(level) or ("", {})
    if name not in names():
        raise ValueError(f"level: expected one of {', '.join([ATTENTION, *names()])}, found {level!r}")
    try:
        return load(name)(**given)
    except TypeError as error:
        raise ValueError(f"level: {error}") from None
