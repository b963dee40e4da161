"""Catalog of the available variants. Each is checked before a suite may use it."""

import ast
import sys
import traceback
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from attnbench import variants
from attnbench.suites.problem import Problem, near
from attnbench.suites.schema.kinds import values
from attnbench.variants import (
    ATTENTION,
    AXES,
    WRITTEN,
    Parameters,
    Pattern,
    Scored,
    Variant,
    VariantError,
    kernels,
    levels,
)

NAMES = ("variant", "implementation", *WRITTEN)
"""Names in exclusions that are not parameters."""

Catalog = tuple[tuple[str, Variant], ...]


def catalog() -> Catalog:
    """Return all variants by name, without those whose files are broken."""
    return _looked_at()[0]


def problems(named: object = None) -> list[Problem]:
    """Return the problems of variants' files, but only of those in `named`, a suite's list of variants, if given."""
    found = _looked_at()[1]
    if named is None:
        return list(found.values())
    entries = named if isinstance(named, list | tuple) else []
    names = [next(iter(each), None) if isinstance(each, dict) else each for each in entries]
    return [problem for name, problem in found.items() if name in names]


def _looked_at() -> tuple[Catalog, dict[str, Problem]]:
    """Return the valid variants, and the problem of each other one."""
    there, found = [], {}
    for name in variants.names():
        try:
            variant = variants.load(name)
            _check(variant)
            there.append((name, variant))
        # A file of the user's runs here. It may raise anything, or even exit, and the error must name file and line.
        except (Exception, SystemExit) as error:
            found[name] = broken(name, error)
    return tuple(there), found


def broken(name: str, error: BaseException) -> Problem:
    """Return the problem of a variant's file that raised `error`, with its line."""
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
    """Say where a variant's file can import modules from, and what to do about a missing one."""
    beside = file.with_name(f"{name.removeprefix('attnbench.variants.').partition('.')[0].lstrip('_')}.py")
    shared = beside.with_name(f"_{beside.name}")
    if beside.exists() or shared.exists():
        rename = "" if shared.exists() else f"rename {beside.name} to {shared.name} and "
        return f"files beside it are no modules of their own: {rename}import attnbench.variants.{shared.stem}"
    return (
        f"modules are found where {sys.executable} has them installed and on PYTHONPATH, files beside this one as "
        "attnbench.variants._NAME; install it, add its folder to PYTHONPATH, or put it there as _NAME.py"
    )


def _check(variant: Variant) -> None:
    """Check whether suites can use a variant.

    Raises:
        VariantError: they cannot.
    """
    _check_parameters(variant.parameters)
    needed = {"build": variant.build, "reference": variant.reference, "work": variant.work}
    missing = [name for name, function in needed.items() if function is None]
    if missing and not variant.is_pattern:
        names = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        what = "a subclass of Pattern says what it computes by its keys, and any other needs build, reference and work"
        raise VariantError(f"expected {names} in Variant(...), found none; {what}")
    for name in ("weights", "work", "options", "choosers"):
        if variant.is_pattern and getattr(variant, name) is not None:
            raise VariantError(f"expected no {name} beside a pattern, found one; remove it")
    if variant.level not in (ATTENTION, *levels.names()):
        expected = ", ".join((ATTENTION, *levels.names()))
        raise VariantError(f"expected a level of {expected}, found {variant.level!r}")
    if variant.reference and not variant.build:
        raise VariantError("expected a build beside the reference, found none; nothing else computes such a variant")
    if not variant.build and variant.implementation not in kernels.names():
        names = ", ".join(kernels.names())
        raise VariantError(f"expected an implementation of {names}, found {variant.implementation!r}")


def _check_parameters(parameters: Any) -> None:
    """Check whether a class holds a mechanism's parameters, and whether a suite can write each of them.

    Raises:
        VariantError: it does not, or a suite cannot.
    """
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        expected = "a subclass of Pattern or of Parameters"
        raise VariantError(f"expected Variant(...) to begin with {expected}, found {parameters!r}")
    pattern, name = parameters, parameters.__name__
    if any(isinstance(each, Field) for each in vars(parameters).values()):
        raise VariantError(f"expected @dataclass(frozen=True) above class {name}, found none", name)
    if issubclass(pattern, Pattern) and pattern.spans is Pattern.spans and pattern.allowed is Pattern.allowed:
        raise VariantError(f"expected spans(n) or allowed(i, j, n) in class {name}, found neither", name)
    if issubclass(pattern, Scored) and pattern.modified is Scored.modified:
        raise VariantError(f"expected modified(...) in class {name}, which is Scored, found none", name)
    for each in fields(parameters):
        found = None
        if not each.metadata.get("doc"):
            found = f'expected {each.name}: ... = parameter("what it is"), found no word on what it is'
        elif each.name in ("variant", "implementation", *AXES):
            found = "expected a name that no key of a suite has; rename it"
        if found:
            raise VariantError(f"parameter {each.name}: {found}", each.name)
        values(each)


def _line(file: Path, name: str) -> int | None:
    """Return the line at which a file first assigns a name or defines a class of that name."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case (
                ast.ClassDef(name=found)
                | ast.AnnAssign(target=ast.Name(id=found))
                | ast.Assign(targets=[ast.Name(id=found)])
            ) if found == name:
                return node.lineno
    return None
