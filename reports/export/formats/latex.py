"""Tables of a run for a paper, in LaTeX with the package booktabs."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.settings import without_floor
from attnbench.reports.findings import lengths
from attnbench.reports.findings.results import Results
from attnbench.reports.findings.run import Run
from attnbench.reports.text import cells, latex, units
from attnbench.reports.text.context import context, intervals

PASSED_ONLY = False
_FLAGGED = r"$^\dagger$"
_UNITS = {"µs": r"$\mu$s"}
_TIME, _PEAK = "time_ns", "peak_bytes"


class Metric(NamedTuple):
    """Number that a table shows."""

    words: str
    interval: str
    """What shows the interval in a cell; empty if there is none."""
    cell: Callable[[pd.Series, float, str], str]
    """Function from a case, and scale and unit of its column, to LaTeX."""
    unit: Callable[[Sequence[float]], tuple[float, str]]
    """Function from the numbers of a column to their scale and unit."""
    column: str
    best: Callable[[pd.DataFrame, Run], list[int]]
    """Function from the cases of a column to the rows of the best."""


def _time(row: pd.Series, scale: float, unit: str) -> str:
    """Write a time without its unit, and half of its interval."""
    del unit
    low, high = row["time_low_ns"], row["time_high_ns"]
    told = units.honest(row[_TIME] / scale, low / scale, high / scale)
    return f"{told} {units.spread(low, high)}".rstrip()


def _speedup(row: pd.Series, scale: float, unit: str) -> str:
    """Write a speed-up with its interval."""
    del scale, unit
    value, low, high = (row[name] for name in ("speedup", "speedup_low", "speedup_high"))
    if pd.isna(value):
        return cells.NONE
    return units.interval(value, low, high, "x") if low < high else cells.times(row)


def _memory(row: pd.Series, scale: float, unit: str) -> str:
    """Write a peak without its unit."""
    if pd.isna(row[_PEAK]):
        return cells.NONE
    return units.number(row[_PEAK] / scale, 3) if unit != "B" else f"{row[_PEAK]:,}"


def _fastest(frame: pd.DataFrame, run: Run) -> list[int]:
    return lengths.fastest_rows(frame, run.paired_log_ns)


def _smallest(frame: pd.DataFrame, run: Run) -> list[int]:
    del run
    return [int(row) for row in frame.index[frame[_PEAK] == frame[_PEAK].min()]]


METRICS = {
    "time": Metric("time of one call", "±", _time, units.time_scale, _TIME, _fastest),
    "speedup": Metric("speed-up against {against}", "Brackets", _speedup, lambda _: (1.0, ""), _TIME, _fastest),
    "memory": Metric("peak memory of one call", "", _memory, units.size_scale, _PEAK, _smallest),
}


def write(run: Run, journal: Journal, metric: str = "time") -> str:
    """Return a table for each setting: series by length, the best of each length in bold."""
    del journal
    found = METRICS[metric]
    tables = [_table(run, each, found, metric) for each in run.results]
    return "\n\n".join(["% Needs \\usepackage{booktabs,graphicx}", *(tables or ["% No case was measured."])]) + "\n"


def _table(run: Run, results: Results, metric: Metric, name: str) -> str:
    """Return the table of one setting."""
    frame = results.setting.frame
    columns = sorted(int(n) for n in frame["seq_len"].unique())
    scales, best = {}, set[int]()
    for n in columns:
        part = frame[frame["seq_len"] == n]
        scales[n] = metric.unit([float(each) for each in part[metric.column].dropna()])
        best.update(metric.best(without_floor(part), run))
    rows = []
    for series, told in results.cases.items():
        rows.append([latex.text(series), *(_cell(told.get(n), metric, *scales[n], best) for n in columns)])
    header = [["", *(f"$N = {n}$" for n in columns)]]
    if any(unit for _, unit in scales.values()):
        header.append(["", *(f"({_UNITS.get(unit, unit)})" if unit else "" for _, unit in scales.values())])
    label = re.sub("[^a-z0-9]+", "-", f"{run.meta['name']} {results.setting.title} {name}".lower()).strip("-")
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\small",
        rf"\caption{{{_caption(run, results, metric, flagged=bool((frame['flags'] != '').any()))}}}",
        rf"\label{{tab:{label}}}",
        latex.table("l" + "r" * len(columns), header, rows),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _cell(row: pd.Series | None, metric: Metric, scale: float, unit: str, best: set[int]) -> str:
    """Return a cell: a number, bold if it is among the best, or a status."""
    told = latex.text(cells.ended(row, lambda case: metric.cell(case, scale, unit)))
    if row is None or row["status"] != "passed":
        return told
    bold = rf"\textbf{{{told}}}" if row.name in best and told != cells.NONE else told
    return bold + (_FLAGGED if row["flags"] else "")


def _caption(run: Run, results: Results, metric: Metric, *, flagged: bool) -> str:
    """Return the caption: question, number, setting and machine, intervals, and what marks mean."""
    words = metric.words.format(against=results.baseline or "no baseline")
    question = str(run.meta["question"]).rstrip()
    told = [question if question.endswith(("?", ".", "!")) else f"{question}."]
    told.append(f"{words[0].upper()}{words[1:]}, {results.setting.title}. {context(run)}.")
    if metric.interval:
        told.append(intervals(run, metric.interval))
        told += ["They are Student's t of log times."] if run.outcomes.processes else []
    told.append("Bold: the best of a length" + (", and what is not shown to be slower." if metric.interval else "."))
    return latex.text(" ".join(told)) + (rf" {_FLAGGED}: doubtful, see the flags of the report." if flagged else "")
