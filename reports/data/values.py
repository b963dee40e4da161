"""What cells of a table hold: text on one line, numbers with intervals, columns as arrays."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.stats.crossover import ALWAYS, CROSSES, NEVER, UNCLEAR, Crossover
from attnbench.reports.stats.statistics import FEWEST_PROCESSES, FloatArray, Interval

__all__ = ["ALWAYS", "CROSSES", "FEWEST_PROCESSES", "NEVER", "UNCLEAR", "Crossover", "FloatArray", "Interval"]
"""What a run is made of and what renders it may name, without knowing how it is computed."""

LONGEST = 400
"""Characters of a text that came from outside, such as an exception's message."""
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")


def plain(value: object, longest: int | None = LONGEST) -> str:
    """One line without control characters, cut off where it is longer than `longest`."""
    line = " ".join(_CONTROL.sub("", str(value)).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"


def cell(value: object) -> str:
    """An axis that is not a number in every case, as a cell of a table."""
    return "null" if value is None else str(value)


def finite(value: Any) -> Any:
    """A cell of a frame for JSON: Python's own numbers, null where there is none."""
    told = value.item() if isinstance(value, np.generic) else value
    return None if pd.isna(told) or (isinstance(told, float) and math.isinf(told)) else told


def floats(column: "pd.Series | pd.DataFrame") -> FloatArray:
    """The numbers of a column, or of several, NaN where there is none."""
    return column.to_numpy(np.float64, na_value=np.nan)


def positive(values: FloatArray) -> FloatArray:
    """The values that have a logarithm, NaN in place of the others."""
    return np.where(values > 0, values, np.nan)
