"""Helpers for the cells of a table: text on one line, numbers for JSON, columns as arrays."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.stats.crossover import (
    ALWAYS,
    CLOSE,
    CROSSES,
    FASTER,
    NEVER,
    SLOWER,
    UNCLEAR,
    Crossover,
    verdicts,
)
from attnbench.reports.stats.statistics import FEWEST_PROCESSES, FloatArray, Interval

__all__ = [
    "ALWAYS",
    "CLOSE",
    "CROSSES",
    "FASTER",
    "FEWEST_PROCESSES",
    "NEVER",
    "SLOWER",
    "UNCLEAR",
    "Crossover",
    "FloatArray",
    "Interval",
    "verdicts",
]
"""Names of `stats` that rendering modules may import from here, so that they do not depend on `stats` itself."""

LONGEST = 400
"""Most characters kept of an outside text, such as an exception's message."""
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")


def plain(value: object, longest: int | None = LONGEST) -> str:
    """Return the value as one line without control characters, at most `longest` characters."""
    line = " ".join(_CONTROL.sub("", str(value)).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"


def cell(value: object) -> str:
    """Format the value of an axis that is not always a number."""
    return "null" if value is None else str(value)


def word(value: Any) -> str:
    """Write a cell of text, or of yes or no; empty if it is missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return "" if pd.isna(value) else plain(value)


def finite(value: Any) -> Any:
    """Convert a cell of a frame for JSON: a Python number, or None if it is missing or infinite."""
    told = value.item() if isinstance(value, np.generic) else value
    return None if pd.isna(told) or (isinstance(told, float) and math.isinf(told)) else told


def floats(column: "pd.Series | pd.DataFrame") -> FloatArray:
    """Return the numbers of one or several columns; NaN if missing."""
    return column.to_numpy(np.float64, na_value=np.nan)


def positive(values: FloatArray) -> FloatArray:
    """Return the positive values, with NaN in place of the others, so that a logarithm exists."""
    return np.where(values > 0, values, np.nan)
