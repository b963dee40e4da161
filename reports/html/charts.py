"""Interactive figures of a run: what each can show, its menus, the look of its series, and the data of its cases.

A figure has all settings of the run. The page shows one of them, and one quantity, as its menus say.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from attnbench.reports.data.results import Results
from attnbench.reports.data.run import Run
from attnbench.reports.data.settings import SETTING, Setting, attempted, names
from attnbench.reports.data.values import floats, plain
from attnbench.reports.drawing import log_ticks
from attnbench.reports.drawing.style import Look, looks
from attnbench.reports.html.marks import options, swatch
from attnbench.reports.html.metrics import METRICS, Metric
from attnbench.reports.text import cells
from attnbench.reports.text.names import short

MOST_SERIES = 12
"""With more series than this, a figure begins with those of the first table."""
_DIGITS = 5
_TICKS = 9


class Series(NamedTuple):
    """Series of a figure."""

    name: str
    short: str
    """Its name for the legend and the hover."""
    label: str
    look: Look
    shown: bool
    """Whether the figure begins with it."""

    @property
    def swatch(self) -> Markup:
        """Its line and marker."""
        return swatch(self.look)


class Menu(NamedTuple):
    """Axis in which the settings of a figure differ."""

    name: str
    values: list[str]
    first: int
    """The place of the value with which the figure begins."""


class Across(NamedTuple):
    """What lies along the x axis."""

    words: str
    ticks: list[tuple[float, str]]
    """Places, and their labels."""
    ends: tuple[float, float]


class Chart(NamedTuple):
    """Interactive figure."""

    name: str
    title: str
    across: Across | None
    """None: a ranking, whose x axis is the quantity."""
    menus: list[Menu]
    metrics: list[Metric]
    series: list[Series]
    failing: bool
    """Whether some case has no number."""
    data: dict[str, Any]
    """For the script of the page: see `chart.js`."""


def of(run: Run) -> list[Chart]:
    """Return the figures of a run: over lengths, over keys per query, or a ranking if it varies neither."""
    parts = [(each, _in_series(each.frame)) for each in run.settings]
    swept = [(each.setting, _swept(each)) for each in run.results if each.sweeps]
    found = []
    if run.several_lengths and parts:
        across = _across("sequence length N", log_ticks.lengths, parts)
        found.append(_chart(run, "length", "Over the sequence length", across, parts))
    if swept:
        across = _across("keys per query", log_ticks.counts, swept)
        found.append(_chart(run, "keys", f"Over keys per query at N = {_lengths(swept)}", across, swept))
    if not found and parts:
        found.append(_chart(run, "ranking", f"Ranking at N = {_lengths(parts)}", None, parts))
    return [each for each in found if each.metrics]


def _in_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the series of a setting that are supported at some length, by length."""
    return pd.concat([part.assign(name=name, x=part["seq_len"]) for name, part in attempted(frame)])


def _swept(results: Results) -> pd.DataFrame:
    """Return the sweeps of a setting by keys. Their baselines are at both ends, so that each is a level line."""
    swept = pd.concat([each.frame.assign(name=each.name, x=each.frame["keys"]) for each in results.sweeps])
    baselines = pd.concat([each.baseline for each in results.sweeps]).assign(name=names)
    baselines = baselines[~baselines.index.duplicated() & ~baselines["name"].isin(set(swept["name"]))]
    return pd.concat([swept, *(baselines.assign(x=swept["x"].agg(end)) for end in ("min", "max"))])


def _lengths(parts: Sequence[tuple[Setting, pd.DataFrame]]) -> str:
    return " or ".join(map(str, sorted({int(n) for _, part in parts for n in part["seq_len"]})))


def _across(words: str, ticks: log_ticks.Places, parts: Sequence[tuple[Setting, pd.DataFrame]]) -> Across:
    values = sorted({float(x) for _, part in parts for x in part["x"]})
    room = max(values[-1] / values[0], 2.0) ** 0.06
    return Across(words, ticks(values, _TICKS), (values[0] / room, values[-1] * room))


def _chart(
    run: Run, name: str, title: str, across: Across | None, parts: Sequence[tuple[Setting, pd.DataFrame]]
) -> Chart:
    """Return a figure of the settings in `parts`; their frames have the columns `name` of the series and `x`."""
    frame = pd.concat([part.assign(setting=i) for i, (_, part) in enumerate(parts)])
    for low, high in (("tokens_low", "time_high_ns"), ("tokens_high", "time_low_ns")):
        frame[low] = frame["tokens_per_s"] * frame["time_ns"] / frame[high]
    menus = [_menu(run, frame, axis) for axis in SETTING if frame[axis].nunique() > 1]
    firsts = [part.iloc[0] for _, part in parts]
    settings = [[menu.values.index(str(row[menu.name])) for menu in menus] for row in firsts]
    metrics = [each for each in METRICS if (floats(frame[each.columns[0]]) > 0).any()]
    series = _series(run, frame)
    places = {each.name: i for i, each in enumerate(series)}
    quantities = [_values(frame, each) for each in metrics]
    texts, cases = {}, {"series": frame["name"].map(places), "setting": frame["setting"], "n": frame["seq_len"]}
    for column in ("status", "reason", "flags"):
        codes, found = pd.factorize(frame[column])
        cases[column] = pd.Series(codes)
        texts[column] = [plain(each) for each in found]
    texts["short"] = [cells.SHORT.get(each, "") for each in texts["status"]]
    data = {
        "ranking": across is None,
        "settings": settings,
        "series": [{"name": each.short, **options(each.look)} for each in series],
        "metrics": [told for told, _ in quantities],
        "cases": {column: values.tolist() for column, values in cases.items()}
        | {"x": [_rounded(x) for x in frame["x"]], "processes": frame["processes"].tolist()},
        "values": [values for _, values in quantities],
        "texts": texts,
    }
    failing = across is not None and bool((frame["status"] != "passed").any())
    return Chart(name, title, across, menus, metrics, series, failing, data)


def _menu(run: Run, frame: pd.DataFrame, axis: str) -> Menu:
    """Return the menu of an axis. It begins with the setting of the first table."""
    values = list(frame[axis].astype(str).unique())
    first = str(run.summary.results.setting.frame[axis].iloc[0]) if run.summary else ""
    return Menu(axis, values, values.index(first) if first in values else 0)


def _series(run: Run, frame: pd.DataFrame) -> list[Series]:
    """Return the series of a figure. If they are many, it begins with a few."""
    found = looks(frame)
    first = set(found)
    if len(found) > MOST_SERIES and run.summary:
        first = {each.name for each in run.summary.rows} | set(frame["baseline"])
    labels, named = dict(zip(frame["name"], frame["label"], strict=True)), short(run.frame)
    # If none of the first is here, as in a sweep, all are shown.
    first = first if first & set(labels) else set(labels)
    return [
        Series(name, plain(named.get(name, name)), labels[name], look, name in first)
        for name, look in found.items()
        if name in labels
    ]


def _values(frame: pd.DataFrame, metric: Metric) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the axis of a quantity says, and the quantity of each case, also in words."""
    numbers = [[*row, *[math.nan] * (3 - len(row))] for row in floats(frame[list(metric.columns)]).tolist()]
    values: dict[str, Any] = {
        "middle": [_rounded(row[0]) for row in numbers],
        "words": [metric.written(*row) if row[0] > 0 else "" for row in numbers],
    }
    if len(metric.columns) > 1:
        values |= {end: [_rounded(row[i]) for row in numbers] for i, end in enumerate(("low", "high"), 1)}
    if metric.bound:
        values["bound"] = [_rounded(each) for each in floats(frame[metric.bound])]
    drawn = [each for part in values.values() for each in part if isinstance(each, int | float)]
    ticks = metric.ticks(min(drawn), max(drawn))
    return {"words": metric.words, "reading": metric.reading, "one": bool(metric.bound), "ticks": ticks}, values


def _rounded(value: float) -> float | int | None:
    """Return a positive number with a few digits; None if there is none."""
    if not (value > 0 and math.isfinite(value)):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded >= 10**_DIGITS else rounded
