"""Tables of a run on several machines: results by class of hardware, and how far machines of a class differ."""

from collections.abc import Callable

import pandas as pd

from attnbench.reports.findings.hardware import ByHardware, OnEach, Spread
from attnbench.reports.findings.run import Run
from attnbench.reports.text import cells, escape, units

_SHOWN = 20
"""Most cases whose spread between machines is listed: those that differ most."""


def markdown(run: Run) -> str:
    """Return the tables of all classes side by side, and that of the spread between machines."""
    found = [table for each in run.by_hardware for table in _of(each)]
    return "\n\n".join([*found, *([spread(run.between_machines)] if run.between_machines else [])])


def _of(found: ByHardware) -> list[str]:
    """Return the tables of settings that differ in their hardware."""
    title, against = escape.text(found.title), escape.text(found.baseline)
    beside = f" against {against}" if found.baseline else ""
    tables = [_table(f"{title}: time of a call at N = {found.seq_len}", found, _time)]
    if found.baseline:
        tables.append(_table(f"{title}: times as fast{beside} at N = {found.seq_len}", found, _times, result=True))
        if found.several_lengths:
            tables.append(_table(f"{title}: faster{beside} from", found, _crossover))
    return [*tables, _table(f"{title}: realised share of the saved work; share of the roof", found, _shares)]


def _table(title: str, found: ByHardware, written: Callable[[OnEach, str], str], *, result: bool = False) -> str:
    """Return a table with a row for each series and a column for each class."""
    header = ["", *map(escape.text, found.classes), *(["on all"] if result else [])]
    rows = [
        [escape.text(each.name), *(written(each, name) for name in found.classes), *([each.result] if result else [])]
        for each in found.series
    ]
    return f"### {title}\n\n{escape.table(header, rows)}"


def _time(series: OnEach, hardware: str) -> str:
    case = series.cases.get(hardware)
    return cells.NONE if case is None else units.time(*(case[f"time{end}_ns"] for end in ("", "_low", "_high")))


def _times(series: OnEach, hardware: str) -> str:
    case = series.cases.get(hardware)
    if case is None or pd.isna(case["speedup"]):
        return cells.NONE
    value, low, high = (float(case[f"speedup{end}"]) for end in ("", "_low", "_high"))
    return units.interval(value, low, high)


def _crossover(series: OnEach, hardware: str) -> str:
    growth = series.growth.get(hardware)
    return cells.NONE if growth is None else cells.crossover(growth, brief=True)


def _shares(series: OnEach, hardware: str) -> str:
    """Write the realised share of the saved work, and the share of the roof."""
    case = series.cases.get(hardware)
    told = [] if case is None else [case["realised"], case["roof_share"]]
    return "; ".join(cells.NONE if pd.isna(each) else units.percent(each) for each in told) or cells.NONE


def spread(found: tuple[Spread, ...]) -> str:
    """Return how much slower the slowest machine of a class is than the fastest, for the cases that differ most."""
    most = sorted(found, key=lambda each: -each.slowest_over_fastest)[:_SHOWN]
    rows = [
        [escape.text(each.name), escape.text(each.title), str(each.seq_len), str(each.machines), _over(each)]
        for each in most
    ]
    table = escape.table(["", "setting", "N", "machines", "slowest over fastest"], rows, "ll")
    return f"### Spread between machines\n\n{table}"


def _over(each: Spread) -> str:
    return f"{each.slowest_over_fastest:.2f}"
