"""Tables of a setting with one row per series, at the length at which series are compared."""

from collections.abc import Callable

import pandas as pd

from attnbench.reports.data.settings import names
from attnbench.reports.findings.run import Results
from attnbench.reports.text import cells, escape

_WORK = (
    "",
    "allowed pairs",
    "computed pairs",
    "waste",
    "GFLOP/s",
    "of roof",
    "bound",
    "realised",
    "error",
    "tokens/s",
)
_BEFORE = ("", "preparation", "held", "compilation", "first call")
_ERRORS = ("", "error vs full", "of the mean", "better", "ties")


def tables(results: Results) -> list[str]:
    """Return the tables of a setting in which some case passed."""
    found = {"work": _rows(results, _WORK, cells.work)}
    if len(results.errors):
        found["error against full attention"] = _errors(results)
    found["before the first value"] = _rows(results, _BEFORE, cells.before)
    return [titled(results, f"{words} at N = {results.compared_at}", table) for words, table in found.items()]


def _rows(results: Results, header: tuple[str, ...], written: Callable[[pd.Series], list[str]]) -> str:
    """Return a table whose cells a function writes; a case that did not pass has its status in the first."""
    n, rows = results.compared_at, []
    for name, by_length in results.cases.items():
        if n in by_length:
            row = by_length[n]
            passed = row["status"] == "passed"
            told = written(row) if passed else [cells.SHORT[row["status"]], *[""] * (len(header) - 2)]
            rows.append([escape.text(name), *told])
    return escape.folded([*header], rows, [cells.NONE])


def _errors(results: Results) -> str:
    """Return the errors against full attention, the smallest first."""
    told = zip(names(results.errors), results.errors.iterrows(), strict=True)
    return escape.folded(
        [*_ERRORS], [[escape.text(name), *cells.vs_full(row)] for name, (_, row) in told], [cells.NONE]
    )


def titled(results: Results, words: str, table: str) -> str:
    """Return a table of a setting under its heading."""
    return f"### {escape.text(results.setting.title)}: {words}\n\n{table}"
