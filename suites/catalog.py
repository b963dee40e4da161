"""The variants that there are, each looked at before a suite may use it."""

import importlib.util
import traceback
import types
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, Literal, Union, get_args, get_origin

from attnbench import variants
from attnbench.suites.problem import Problem, SuiteError
from attnbench.suites.values import Leaf, flag, integer, null, number, one_of, pair, text
from attnbench.variants import Variant, kernels

LARGEST = 2**31 - 1
"""The largest integer of a suite: products of two still fit into 64 bits."""

SIZES = ("batch", "heads", "kv_heads", "head_dim", "seq_len")
NAMES = ("variant", "implementation", "dtype", "device", "direction", "threads", "layout", *SIZES)
"""What an exclusion names besides parameters; no parameter can have such a name."""

Catalog = tuple[tuple[str, Variant], ...]


def catalog() -> Catalog:
    """All variants by name.

    Raises:
        SuiteError: the file of a variant is broken; one problem for each such file.
    """
    there, problems = [], []
    for name in variants.names():
        try:
            variant = variants.load(name)
            _check(variant)
            there.append((name, variant))
        except Exception as error:  # a file of the user's runs here: whatever it raises is told, with file and line
            problems.append(_broken(name, error))
    if problems:
        raise SuiteError(problems)
    return tuple(there)


def leaves(each: "Field[Any]") -> list[Leaf]:
    """The kinds of value that a parameter takes.

    Raises:
        TypeError: a kind of value that a suite cannot write.
    """
    minimum = each.metadata.get("minimum")
    low = -LARGEST if minimum is None else minimum
    odd = each.metadata.get("odd", False)
    makers: dict[Any, Callable[[], Leaf]] = {
        int: lambda: integer(low, LARGEST, odd=odd),
        tuple[int, int]: lambda: pair(low, LARGEST, odd=odd),
        float: lambda: number(low, LARGEST),
        bool: flag,
        str: lambda: text("text"),
        types.NoneType: null,
    }
    return [
        one_of(get_args(kind)) if get_origin(kind) is Literal else _make(each, kind, makers) for kind in kinds(each)
    ]


def kinds(each: "Field[Any]") -> tuple[Any, ...]:
    """The types of a parameter."""
    union = get_origin(each.type) in (Union, types.UnionType)
    return get_args(each.type) if union else (each.type,)


def _make(each: "Field[Any]", kind: Any, makers: dict[Any, Callable[[], Leaf]]) -> Leaf:
    """The leaf of a type."""
    if kind not in makers:
        known = "int, tuple[int, int], float, bool, str, None or Literal"
        raise TypeError(f"parameter {each.name}: expected {known}, found {kind!r}")
    return makers[kind]()


def _check(variant: Variant) -> None:
    """Whether suites can use a variant.

    Raises:
        TypeError: they cannot.
    """
    for each in fields(variant.pattern):
        leaves(each)
        if each.name in NAMES:
            raise TypeError(f"parameter {each.name}: expected a name that no key of a suite has; rename it")
    if not variant.build and variant.implementation not in kernels.names():
        raise TypeError(f"expected an implementation of {', '.join(kernels.names())}, found {variant.implementation!r}")


def _broken(name: str, error: Exception) -> Problem:
    """What is wrong with the file of a variant, and where."""
    spec = importlib.util.find_spec(f"attnbench.variants.{name}")
    file = str(spec.origin) if spec else name
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    reason = " ".join(str(error).split()).removeprefix(f"{file}: ")
    return Problem(file, line, None, (), f"expected a variant, found {type(error).__name__}: {reason}")
