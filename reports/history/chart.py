"""The figure of a history: one case and metric over runs, for the script of the page."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d

from attnbench.reports.data.values import finite, plain
from attnbench.reports.history.changes import BASELINE, Changes
from attnbench.reports.history.history import ERROR, METRICS, RATIO, TIME, TIMES, Values
from attnbench.reports.history.tables import cells, machine, summary
from attnbench.reports.html import figures

_HEIGHT = 380
_MOST = 300_000
"""Most numbers in a page: 2 MB."""
_DIGITS = 5
_WORDS = {
    RATIO: "time over the baseline's",
    TIME: "time (to compare within one machine)",
    "peak_bytes": "peak memory",
    "allowed_pairs": "allowed pairs",
    "computed_pairs": "computed pairs",
    ERROR: "largest error against the oracle",
}
_UNITS = dict(zip(METRICS, ("ratio", "time", "size", "count", "count", "error"), strict=True))
"""How `format.js` writes each metric."""
_HOVER = ("value", "commit", "date", "run", "machine")


def item() -> dict[str, Any]:
    """Return an empty figure for `Bokeh.embed.embed_item`; x counts the runs."""
    main = figures.blank(
        height=_HEIGHT,
        x_range=Range1d(start=-0.5, end=0.5, name="runs"),
        y_range=Range1d(start=0, end=1, name="range"),
    )
    main.axis.minor_tick_line_color = None
    main.xaxis.name, main.yaxis.name = "x", "quantity"
    main.xaxis.ticker = FixedTicker(name="places")
    main.xaxis.major_label_orientation = 0.7
    spans = _source("spans", "x", "colour", "words")
    points = _source("points", "x", "y", "low", "high", "colour", *_HOVER)
    lines = main.vspan("x", line_color="colour", line_width=2, line_dash="6 4", source=spans)
    main.segment("x", "low", "x", "high", line_color="colour", line_width=1.5, source=points)
    marks = main.scatter("x", "y", size=8, line_color="colour", fill_color="colour", source=points)
    main.add_tools(HoverTool(renderers=[marks], tooltips=[(name, f"@{name}") for name in _HOVER], visible=False))
    main.add_tools(HoverTool(renderers=[lines], tooltips=[("", "@words")], visible=False))
    return figures.embedded(main)


def data(changes: Changes) -> dict[str, Any]:
    """Return runs, and the values and changes of the cases that are shown, those that changed most first."""
    history = changes.history
    shown = _shown(changes)
    runs = [
        {"commit": history.label(i), "date": each.date[:16].replace("T", " "), "run": plain(each.name, 60)}
        | {"machine": machine(int(history.machines[i])), "place": int(history.machines[i])}
        for i, each in enumerate(history.runs)
    ]
    metrics = []
    for name, values in history.values.items():
        known = np.isfinite(values.value[shown]).any(axis=1)
        if known.any():
            told = [_numbers(values, case, intervals=name in TIMES) for case in shown]
            metrics.append({"name": name, "words": _WORDS[name], "unit": _UNITS[name], "values": told})
    titles = [plain(history.cases["title"][case]) for case in shown]
    place = {case: i for i, case in enumerate(shown)}
    spans = [
        {
            "case": place[each.case],
            "metric": TIME if each.metric == BASELINE else each.metric,
            "x": each.after - 0.5,
            "worse": each.worse,
            "words": f"{' '.join(filter(None, cells(each, history)[2:4]))}: {summary(group, history)}",
        }
        for group in changes.groups
        for each in group.changes
        if each.case in place
    ]
    return {"runs": runs, "metrics": metrics, "titles": titles, "spans": spans, "cases": len(history.cases)}


def _shown(changes: Changes) -> list[int]:
    """Return as many rows of cases as a page holds: those that changed, the most severe first, and baselines last."""
    history = changes.history
    changed = [each.case for group in changes.groups for each in group.changes]
    numbers = len(history.runs) * (len(history.values) + 2 * len(TIMES))
    others = np.argsort(history.baseline_rows == np.arange(len(history.cases)), kind="stable").tolist()
    return list(dict.fromkeys([*changed, *others]))[: max(_MOST // numbers, 1)]


def _numbers(values: Values, case: int, *, intervals: bool) -> list[list[float | None]]:
    """Return the values of a case, and the ends of their intervals if the metric has any."""
    arrays = values if intervals else (values.value,)
    return [[_short(each) for each in array[case]] for array in arrays]


def _short(value: float) -> float | None:
    """Return a number with the digits that a figure shows; None if it is missing."""
    return float(f"{value:.{_DIGITS}g}") if finite(value) is not None else None


def _source(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource(name=name, data={each: [] for each in columns})
