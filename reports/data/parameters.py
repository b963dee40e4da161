"""Parameters of variants as columns of their own: numbers where all values are numbers, text otherwise."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from attnbench.reports.data.columns import NAMES
from attnbench.suites.case import written

_PREFIX = "parameter_"
_MOST = 2**63
"""Whole numbers from here on do not fit a column of numbers."""


def with_parameters(frame: pd.DataFrame, parameters: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the frame with a column for each parameter, at the end; `parameters [cases]` are those of each case.

    A cell is missing if the variant does not have the parameter, or if its value is null.
    """
    found: dict[str, pd.Series] = {}
    for name in dict.fromkeys(name for each in parameters for name in each):
        taken = {*frame.columns, *found, *NAMES}
        found[_column(name, taken)] = _values([each.get(name) for each in parameters], frame.index)
    return pd.concat([frame, pd.DataFrame(found, frame.index)], axis=1)


def _column(name: str, taken: Iterable[str]) -> str:
    """Return the name of a parameter's column: its own, or `parameter_NAME` if a column is called so."""
    return _column(_PREFIX + name, taken) if name in taken else name


def _values(values: list[Any], index: pd.Index) -> pd.Series:
    """Return a column of a type that holds all values."""
    kinds = {_kind(each) for each in values if each is not None}
    if kinds == {"boolean"}:
        return pd.Series(values, index, "boolean")
    if kinds == {"Int64"}:
        return pd.Series(values, index, "Int64")
    if kinds in ({"float64"}, {"float64", "Int64"}):
        return pd.Series(values, index, "float64")
    text = [None if each is None else written(tuple(each) if isinstance(each, list) else each) for each in values]
    return pd.Series(text, index, "str")


def _kind(value: Any) -> str:
    """Return the type of the column that a value alone would need."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and abs(value) < _MOST:
        return "Int64"
    return "float64" if isinstance(value, float) else "str"
