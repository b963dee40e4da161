"""The available variants, each checked before a suite may use it."""

import ast
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from attnbench import variants
from attnbench.suites.problem import Problem, near
from attnbench.suites.schema.values import Leaf, flag, integer, null, number, one_of, pair, text
from attnbench.variants import AXES, Parameters, Pattern, Variant, VariantError, kernels

LARGEST = 2**31 - 1
"""The largest integer of a suite: products of two still fit into 64 bits."""

NAMES = ("variant", "implementation", *AXES)
"""What an exclusion names besides parameters; no parameter can have such a name."""

Catalog = tuple[tuple[str, Variant], ...]


def catalog() -> Catalog:
    """All variants by name, those apart whose files are broken."""
    return _looked_at()[0]


def problems(named: object = None) -> list[Problem]:
    """What is wrong with the files of variants: of those alone that a suite's list has `named`, if one is given."""
    found = _looked_at()[1]
    if named is None:
        return list(found.values())
    entries = named if isinstance(named, list | tuple) else []
    names = [next(iter(each), None) if isinstance(each, dict) else each for each in entries]
    return [problem for name, problem in found.items() if name in names]


def _looked_at() -> tuple[Catalog, dict[str, Problem]]:
    """The variants that are sound, and what is wrong with each of the others."""
    there, found = [], {}
    for name in variants.names():
        try:
            variant = variants.load(name)
            _check(variant)
            there.append((name, variant))
        # A file of the user's runs here: whatever it raises, and were it an exit, is told, with file and line.
        except (Exception, SystemExit) as error:
            found[name] = broken(name, error)
    return tuple(there), found


def leaves(each: "Field[Any]") -> list[Leaf]:
    """The kinds of value that a parameter takes.

    Raises:
        VariantError: a kind of value that a suite cannot write.
    """
    minimum = each.metadata.get("minimum")
    low = -LARGEST if minimum is None else minimum
    high = each.metadata.get("maximum") or LARGEST
    odd = each.metadata.get("odd", False)
    makers: dict[Any, Callable[[], Leaf]] = {
        int: lambda: integer(low, high, odd=odd),
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


def broken(name: str, error: BaseException) -> Problem:
    """What is wrong with the file of a variant that raised `error`, and where in it."""
    file = variants.file(name)
    if isinstance(error, VariantError):
        return Problem(near(file), _line(file, error.name), None, (), str(error))
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    line = lines[-1] if lines else None
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno
    reason = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        reason = f"{reason}; {_whence(file, error.name or '')}"
    return Problem(near(file), line, None, (), f"expected a variant, found {type(error).__name__}: {reason}")


def _whence(file: Path, name: str) -> str:
    """From where a variant's file imports modules, and what to do about the one that was not found."""
    beside = file.with_name(f"{name.removeprefix('attnbench.variants.').partition('.')[0].lstrip('_')}.py")
    shared = beside.with_name(f"_{beside.name}")
    if beside.exists() or shared.exists():
        rename = "" if shared.exists() else f"rename {beside.name} to {shared.name} and "
        return f"files beside it are no modules of their own: {rename}import attnbench.variants.{shared.stem}"
    return (
        f"modules are found where {sys.executable} has them installed and on PYTHONPATH, files beside this one as "
        "attnbench.variants._NAME; install it, add its folder to PYTHONPATH, or put it there as _NAME.py"
    )


def _make(each: "Field[Any]", kind: Any, makers: dict[Any, Callable[[], Leaf]]) -> Leaf:
    """The leaf of a type."""
    if isinstance(kind, str):
        instead = "remove `from __future__ import annotations`"
        raise VariantError(f"parameter {each.name}: expected a type, found the text {kind!r}; {instead}", each.name)
    if kind not in makers:
        expected = "int, tuple[int, int], float, bool, str, None or Literal"
        raise VariantError(f"parameter {each.name}: expected {expected}, found {kind!r}", each.name)
    return makers[kind]()


def _check(variant: Variant) -> None:
    """Whether suites can use a variant.

    Raises:
        VariantError: they cannot.
    """
    _check_parameters(variant.parameters)
    for each in fields(variant.parameters):
        if not each.metadata.get("doc"):
            made = f'{each.name}: ... = parameter("what it is")'
            raise VariantError(f"parameter {each.name}: expected {made}, found no word on what it is", each.name)
        leaves(each)
        if each.name in NAMES:
            raise VariantError(
                f"parameter {each.name}: expected a name that no key of a suite has; rename it", each.name
            )
    _check_functions(variant)
    if variant.reference and not variant.build:
        raise VariantError("expected a build beside the reference, found none; nothing else computes such a variant")
    if not variant.build and variant.implementation not in kernels.names():
        names = ", ".join(kernels.names())
        raise VariantError(f"expected an implementation of {names}, found {variant.implementation!r}")


def _check_functions(variant: Variant) -> None:
    """Whether a mechanism that is no pattern says what else there is to say, and a pattern does not.

    Raises:
        VariantError: it is not so.
    """
    needed = {"build": variant.build, "reference": variant.reference, "work": variant.work}
    missing = [name for name, function in needed.items() if function is None]
    if missing and not variant.is_pattern:
        names = f"{', '.join(missing[:-1])} and {missing[-1]}" if len(missing) > 1 else missing[0]
        what = "a subclass of Pattern says what it computes by its keys, and any other needs build, reference and work"
        raise VariantError(f"expected {names} in Variant(...), found none; {what}", "VARIANT")
    for name in ("weights", "work", "options"):
        if variant.is_pattern and getattr(variant, name) is not None:
            raise VariantError(f"expected no {name} beside a pattern, found one; remove it", "VARIANT")


def _check_parameters(parameters: Any) -> None:
    """Whether a class is that of a mechanism's parameters.

    Raises:
        VariantError: it is not.
    """
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        expected = "a subclass of Pattern or of Parameters"
        raise VariantError(f"expected Variant(...) to begin with {expected}, found {parameters!r}")
    name = parameters.__name__
    if any(isinstance(each, Field) for each in vars(parameters).values()):
        raise VariantError(f"expected @dataclass(frozen=True) above class {name}, found none", name)
    if not issubclass(parameters, Pattern):
        return
    pattern = parameters
    if pattern.spans is Pattern.spans and pattern.allowed is Pattern.allowed:
        raise VariantError(f"expected spans(n) or allowed(i, j, n) in class {name}, found neither", name)


def _line(file: Path, name: str) -> int | None:
    """The line at which a file first gives a value to a name, or defines a class of that name."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case (
                ast.ClassDef(name=found)
                | ast.AnnAssign(target=ast.Name(id=found))
                | ast.Assign(targets=[ast.Name(id=found)])
            ) if found == name:
                return node.lineno
    return None
