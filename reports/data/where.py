"""Conditions on the rows of a table, such as `dtype == 'float32' and seq_len >= 1024`. They never run code."""

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_GRAMMAR = "a comparison of columns with values, with and, or, not, in and brackets"
_LONGEST = 1000
"""The most characters of a condition, which its reader can take."""
Bools = npt.NDArray[np.bool_]


class WhereError(ValueError):
    """Raised if a condition cannot be read. The message says what was expected and found."""


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows of a frame for which a condition holds.

    A condition compares columns with numbers, texts and lists of them, by `==`, `!=`, `<`, `<=`, `>`, `>=`, `in` and
    `not in`, and joins comparisons by `and`, `or`, `not` and brackets. A comparison with a missing cell is false.

    Raises:
        WhereError: the condition is anything else, or names a column that is not there.
    """
    if len(condition) > _LONGEST:
        raise WhereError(f"expected a condition of at most {_LONGEST} characters, found {len(condition)}")
    try:
        with warnings.catch_warnings():
            # Python warns of odd escapes in texts.
            warnings.simplefilter("ignore")
            tree = ast.parse(condition.strip(), mode="eval")
        return frame[_holds(tree.body, frame)]
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as error:
        if isinstance(error, WhereError):
            raise
        raise WhereError(f"expected {_GRAMMAR}, found {condition}") from None


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column.

    Raises:
        WhereError: the frame does not have it.
    """
    if name not in frame.columns:
        raise WhereError(f"expected a column{nearest(name, frame.columns)}, found {name}")
    return frame[name]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the names that are spelled nearly so: `, such as seq_len`; empty if there are none."""
    near = difflib.get_close_matches(name, [*known], 3)
    return f", such as {', '.join(near)}" if near else " of the table"


def _holds(node: ast.expr, frame: pd.DataFrame) -> Bools:
    """Return for which rows a condition holds."""
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_holds(each, frame) for each in values]
            return np.logical_and.reduce(parts) if isinstance(op, ast.And) else np.logical_or.reduce(parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_holds(operand, frame)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return np.logical_and.reduce([_compared(one, op, other, frame) for one, op, other in pairs])
        case ast.Name(id=name) if column(frame, name).dtype in ("bool", "boolean"):
            return column(frame, name).fillna(False).to_numpy(np.bool_)
    raise WhereError(f"expected {_GRAMMAR}, found {ast.unparse(node)}")


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, frame: pd.DataFrame) -> Bools:
    """Return for which rows a comparison holds; a missing cell is like nothing."""
    one, other = _value(left, frame), _value(right, frame)
    known = np.ones(len(frame), np.bool_)
    for side in (one, other):
        if isinstance(side, pd.Series):
            known &= side.notna().to_numpy()
    _check_kinds(one, other)
    if isinstance(op, ast.In | ast.NotIn):
        if not (isinstance(one, pd.Series) and isinstance(other, list)):
            raise WhereError(f"expected a column in a list, found {ast.unparse(left)} in {ast.unparse(right)}")
        found = one.isin(other).to_numpy()
        return np.asarray(known & (found if isinstance(op, ast.In) else ~found))
    if type(op) not in _COMPARISONS or isinstance(one, list) or isinstance(other, list):
        raise WhereError(f"expected {_GRAMMAR}, found {ast.unparse(ast.Compare(left, [op], [right]))}")
    told = np.zeros(len(frame), np.bool_)
    sides = [each[known].to_numpy() if isinstance(each, pd.Series) else each for each in (one, other)]
    told[known] = np.asarray(_COMPARISONS[type(op)](*sides), np.bool_)
    return told


def _check_kinds(one: Any, other: Any) -> None:
    """Check that numbers are compared with numbers, and texts with texts."""
    parts = [part for side in (one, other) for part in (side if isinstance(side, list) else [side])]
    kinds = {_kind(part): part for part in parts}
    if len(kinds) > 1:
        told = [f"{each.name} ({kind})" if isinstance(each, pd.Series) else repr(each) for kind, each in kinds.items()]
        words = "expected to compare numbers with numbers and texts with texts"
        raise WhereError(f"{words}, found {' and '.join(told)}")


def _kind(value: Any) -> str:
    """Return what a column or a value holds."""
    if isinstance(value, pd.Series):
        if pd.api.types.is_bool_dtype(value.dtype):
            return "yes or no"
        return "number" if pd.api.types.is_numeric_dtype(value.dtype) else "text"
    return "text" if isinstance(value, str) else "yes or no" if isinstance(value, bool) else "number"


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    """Return a column, a number, a text, or a list of them."""
    match node:
        case ast.Name(id=name):
            return column(frame, name)
        case ast.Constant(value=str() | int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=elts) | ast.Tuple(elts=elts) if all(not isinstance(each, ast.Name) for each in elts):
            return [_value(each, frame) for each in elts]
    raise WhereError(f"expected {_GRAMMAR}, found {ast.unparse(node)}")
