"""Tables of a setting with one row per series, at the length at which series are compared."""

from collections.abc import Callable

import pandas as pd

from attnbench.reports.data.capacity import NO_BUDGET, NO_FORWARD, TOO_FEW
from attnbench.reports.data.growth import APART, FEW_LENGTHS
from attnbench.reports.data.run import Results
from attnbench.reports.data.settings import attempted, names
from attnbench.reports.text import cells, escape, units

_WORK = (
    "",
    "allowed pairs",
    "computed pairs",
    "waste",
    "GFLOP/s",
    "of roof",
    "bound",
    "speed-up",
    "realised",
    "error",
    "tokens/s",
)
_BEFORE = ("", "preparation", "held", "compilation", "first call")
_REASONS = (FEW_LENGTHS, APART, NO_BUDGET, NO_FORWARD, TOO_FEW)
_ERRORS = ("", "error vs full", "that of the mean of all values", "it is", "ties")


def tables(results: Results) -> list[str]:
    """Return the tables of a setting in which some case passed."""
    errors = [_titled(results, "error against full attention", _errors(results))] if len(results.errors) else []
    return [
        _titled(results, "work", _rows(results, _WORK, cells.work)),
        _titled(results, f"memory{_budget(results)}", _memory(results)),
        *errors,
        _titled(results, "before the first value", _rows(results, _BEFORE, cells.before)),
    ]


def _rows(results: Results, header: tuple[str, ...], written: Callable[[pd.Series], list[str]]) -> str:
    """Return a table whose cells a function writes; a case that did not pass has its status in the first."""
    n, rows = results.compared_at, []
    for name, part in attempted(results.setting.frame):
        row = cells.by_length(part).get(n)
        if row is not None:
            passed = row["status"] == "passed"
            told = written(row) if passed else [cells.SHORT[row["status"]], *[""] * (len(header) - 2)]
            rows.append([escape.text(name), *told])
    return escape.table([*header], rows)


def _memory(results: Results) -> str:
    """Return how memory grows, if lengths vary, and the longest sequence that fits."""
    growth = dict(results.growth)
    passed = results.setting.frame[
        (results.setting.frame["seq_len"] == results.compared_at) & (results.setting.frame["status"] == "passed")
    ]
    rows = [
        [escape.text(name), cells.memory_exponent(growth[name]), cells.fits(row)]
        for name, (_, row) in zip(names(passed), passed.iterrows(), strict=True)
    ]
    return escape.folded(["", "memory grows as", "fits up to N"], rows, _REASONS)


def _budget(results: Results) -> str:
    """Return the memory budget of the setting in brackets; empty if it is unknown."""
    known = results.setting.frame["budget_bytes"].dropna()
    return f" (budget {units.size(known.iloc[0])})" if len(known) else ""


def _errors(results: Results) -> str:
    """Return the errors against full attention, the smallest first."""
    told = zip(names(results.errors), results.errors.iterrows(), strict=True)
    return escape.table([*_ERRORS], [[escape.text(name), *cells.vs_full(row)] for name, (_, row) in told])


def _titled(results: Results, words: str, table: str) -> str:
    return f"### {escape.text(results.setting.title)}: {words} at N = {results.compared_at}\n\n{table}"
