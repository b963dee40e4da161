"""First screen of a run: a table of at most ten series, as plain text."""

import math
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.values import FEWEST_PROCESSES, verdicts
from attnbench.reports.findings.growth import FEW_PROCESSES
from attnbench.reports.findings.run import Run
from attnbench.reports.findings.summary import Row, Summary
from attnbench.reports.text import by_score, cells, units
from attnbench.reports.text.cells import NONE
from attnbench.reports.text.names import short

_TIME = ("time_ns", "time_low_ns", "time_high_ns")
_SPEEDUP = ("speedup", "speedup_low", "speedup_high")


class Table(NamedTuple):
    """Header and rows of a table, as plain strings."""

    header: list[str]
    rows: list[list[str]]


def table(run: Run) -> Table:
    """Return the series of the most important setting against its baseline; empty if no case passed.

    Columns: mechanism, the score of trained models, the length from which it is faster than the baseline, times as fast
    at the comparison length, peak memory as a fraction of the baseline's, realised share of the saved work, trust. The
    baseline's row has its time and bytes.
    """
    found = run.summary
    if found is None:
        return Table([], [])
    named, several = short(run.frame), found.results.several_lengths
    compared = any(not math.isnan(each.case["speedup"]) for each in found.rows)
    against = ["faster from" if several else "it is", "times as fast"]
    scored = any(not math.isnan(each.case["score"]) for each in found.rows)
    header = ["", *(["score"] * scored), *(against if compared else ["a call"]), "memory", "realised", "trust"]
    rows = [
        [named[each.name], *(_score(each.case) * scored), *_cells(found, each, compared=compared)]
        for each in found.rows
    ]
    if all(row[-2] == NONE for row in rows):
        header, *rows = [[*each[:-2], each[-1]] for each in (header, *rows)]
    return Table(header, rows)


def caption(run: Run) -> str:
    """Return what the table is about, and what it leaves out."""
    found = run.summary
    if found is None:
        return ""
    others, results = sum(each.passed for each in run.results) - 1, found.results
    against = f" against {short(run.frame).get(results.baseline, results.baseline)}" if results.baseline else ""
    more = [f"{found.left_out} more series"] if found.left_out else []
    more += [f"{others} other setting{'s' if others > 1 else ''}"] if others else []
    rest = f"; the report has {' and '.join(more)}" if more else ""
    return f"{results.setting.title}{against} at N = {results.compared_at}{rest}"


def _cells(found: Summary, row: Row, *, compared: bool) -> list[str]:
    """Return the cells of a series after its name."""
    case, is_baseline = row.case, row.name == found.results.baseline
    time = units.time(*(case[name] for name in _TIME))
    if not compared:
        told = [time]
    elif is_baseline:
        told = ["the baseline", f"{time} a call"]
    else:
        told = [_faster(found, row), _times(case)]
    realised = NONE if math.isnan(case["realised"]) or is_baseline else units.percent(case["realised"])
    return [*told, _memory(case, is_baseline=is_baseline), realised, row.trust]


def _score(case: pd.Series) -> list[str]:
    """Return the cell of the score of a trained model."""
    score, low, high = (float(case[name]) for name in ("score", "score_low", "score_high"))
    return [NONE if math.isnan(score) else by_score.percent(score, low, high)]


def _faster(found: Summary, row: Row) -> str:
    """Return from which length on a series is faster than the baseline; at one length, whether it is."""
    told, growth = str(verdicts(*row.case[[*_SPEEDUP[1:]]])), row.growth
    if not found.results.several_lengths or growth is None:
        return told or _no_verdict(row)
    return cells.crossover(growth, brief=True)


def _no_verdict(row: Row) -> str:
    """Return why a case cannot be compared with its baseline."""
    if row.case["processes"] < FEWEST_PROCESSES or row.growth is None:
        return FEW_PROCESSES
    return str(row.growth["crossover_reason"])


def _times(case: pd.Series) -> str:
    """Return the speed-up with its interval: `3.1 (2.9 to 3.3)`."""
    value, low, high = (float(case[name]) for name in _SPEEDUP)
    return NONE if math.isnan(value) else units.interval(value, low, high)


def _memory(case: pd.Series, *, is_baseline: bool) -> str:
    """Return peak memory as a fraction of the baseline's, or in bytes."""
    if math.isnan(case["peak_fraction"]) or is_baseline:
        return NONE if pd.isna(case["peak_bytes"]) else units.size(case["peak_bytes"])
    return units.fraction(case["peak_fraction"])
