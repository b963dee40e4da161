"""Kinds of levels and of data: modules found by name, and their parameters as text, as in `layer(positions=rotary)`."""

import importlib
import json
import pkgutil
import re
from dataclasses import fields
from functools import cache
from types import ModuleType
from typing import Any

from attnbench.variants._parameters import Parameters

_PARAMETER = r"\w+=[^=,()]+(?:\([^()]*\))?"
"""A parameter as text. Its value may have parameters itself."""


@cache
def names(package: str) -> tuple[str, ...]:
    """Return the names of the modules in a package, sorted, without those that begin with `_`."""
    found = (each.name for each in pkgutil.iter_modules(importlib.import_module(package).__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def module(package: str, name: str) -> ModuleType:
    """Return the module of a kind.

    Raises:
        KeyError: there is no such module.
    """
    if name not in names(package):
        raise KeyError(name)
    return importlib.import_module(f"{package}.{name}")


def summary(module: ModuleType) -> str:
    """Return the first line of a module's docstring."""
    return (module.__doc__ or "").partition("\n")[0]


def written(name: str, parameters: Parameters) -> str:
    """Return a kind and its parameters as text, without parameters at their defaults."""
    given = changed(parameters)
    return f"{name}({', '.join(given)})" if given else name


def changed(parameters: Parameters) -> list[str]:
    """Return the parameters that are not at their defaults, each as text."""
    names = [each.name for each in fields(parameters) if getattr(parameters, each.name) != each.default]
    return [assigned(parameters, name) for name in names]


def assigned(parameters: Parameters, name: str) -> str:
    """Return a parameter and its value as text, as in `positions=rotary`."""
    value = getattr(parameters, name)
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def parsed(text: str) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the parameters that `written` wrote, or None if it wrote no such text."""
    match = re.fullmatch(rf"(\w+)(?:\(({_PARAMETER}(?:, ?{_PARAMETER})*)\))?", text)
    if not match:
        return None
    given = (each.split("=", 1) for each in re.findall(_PARAMETER, match[2] or ""))
    return match[1], {name: _value(value) for name, value in given}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
