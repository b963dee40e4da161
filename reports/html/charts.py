"""Interactive figures of a run: what each can show, its menus, the look of its series, and the data of its cases.

A figure has all settings of the run. The page shows one of them, and one quantity, as its menus say.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from attnbench.reports.data.settings import SETTING, names
from attnbench.reports.data.values import floats, plain
from attnbench.reports.drawing import log_ticks
from attnbench.reports.drawing.style import Look, looks
from attnbench.reports.findings.results import Results
from attnbench.reports.findings.run import Run
from attnbench.reports.html.marks import options, swatch
from attnbench.reports.html.metrics import METRICS, Metric
from attnbench.reports.text import cells
from attnbench.reports.text.names import short
from attnbench.variants import levels

MOST_SERIES = 12
"""With more series than this, a figure begins with those of the first table."""
_DIGITS = 5
_TICKS = 9
_REACH = 4.0
"""Ticks go as far beyond the values, for the ends of intervals."""


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
    words: list[str]
    """The values as they are shown."""
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
    """For the script of the page, which finds the numbers of the cases in the data of the table of all cases."""


def of(run: Run) -> list[Chart]:
    """Return the figures of a run: over lengths, over keys per query, or a ranking if it varies neither."""
    parts = [_in_series(each.frame) for each in run.settings]
    swept = [_swept(each) for each in run.results if each.sweeps]
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
    """Return the cases of a setting by length, with the `name` of their series, without those never supported."""
    frame = frame.assign(name=names(frame), x=frame["seq_len"])
    supported = (frame["status"] != "unsupported").groupby(frame["name"]).transform("any")
    return frame[supported].sort_values("seq_len", kind="stable")


def _swept(results: Results) -> pd.DataFrame:
    """Return the sweeps of a setting by keys. Their baselines are at both ends, so that each is a level line."""
    swept = pd.concat([each.frame.assign(name=each.name, x=each.frame["keys"]) for each in results.sweeps])
    baselines = pd.concat([each.baseline for each in results.sweeps]).assign(name=names)
    baselines = baselines[~baselines.index.duplicated() & ~baselines["name"].isin(set(swept["name"]))]
    return pd.concat([swept, *(baselines.assign(x=swept["x"].agg(end)) for end in ("min", "max"))])


def _lengths(parts: Sequence[pd.DataFrame]) -> str:
    return " or ".join(map(str, sorted({int(n) for part in parts for n in part["seq_len"]})))


def _across(words: str, ticks: log_ticks.Places, parts: Sequence[pd.DataFrame]) -> Across:
    values = sorted({float(x) for part in parts for x in part["x"]})
    room = max(values[-1] / values[0], 2.0) ** 0.06
    return Across(words, ticks(values, _TICKS), (values[0] / room, values[-1] * room))


def _chart(run: Run, name: str, title: str, across: Across | None, parts: Sequence[pd.DataFrame]) -> Chart:
    """Return a figure of settings, each with its cases; these have the `name` of their series and `x`."""
    frame = pd.concat(parts)
    menus = [_menu(run, frame, axis) for axis in SETTING if frame[axis].nunique() > 1]
    metrics = [each for each in METRICS if (floats(frame[each.column]) > 0).any()]
    series = _series(run, frame)
    order = {each.name: i for i, each in enumerate(series)}
    # The places of cases in the run's frame: a list for each setting and series.
    rows = [[part.index[part["name"] == each].tolist() for each in order] for part in parts]
    data = {
        "ranking": across is None,
        "settings": [[menu.values.index(str(part[menu.name].iloc[0])) for menu in menus] for part in parts],
        "series": [{"name": each.short, **options(each.look)} for each in series],
        "metrics": [_axis(frame, each) for each in metrics],
        "rows": rows,
        "short": cells.SHORT,
    }
    if name == "keys":
        data["x"] = [[[_rounded(x) for x in part["x"][part["name"] == each]] for each in order] for part in parts]
    failing = across is not None and bool((frame["status"] != "passed").any())
    return Chart(name, title, across, menus, metrics, series, failing, data)


def _menu(run: Run, frame: pd.DataFrame, axis: str) -> Menu:
    """Return the menu of an axis. It begins with the setting of the first table."""
    values = list(frame[axis].astype(str).unique())
    brief = [levels.brief(each) for each in values] if axis == "level" else values
    words = brief if len(set(brief)) == len(values) else values
    first = str(run.summary.results.setting.frame[axis].iloc[0]) if run.summary else ""
    return Menu(axis, values, words, values.index(first) if first in values else 0)


def _series(run: Run, frame: pd.DataFrame) -> list[Series]:
    """Return the series of a figure. If they are many, it begins with a few."""
    found = looks(frame)
    first = set(found)
    if len(found) > MOST_SERIES and run.summary:
        first = {each.name for each in run.summary.rows} | set(frame["baseline"])
    labels, named = dict(zip(frame["name"], frame["label"], strict=True)), short(run.frame)
    # If none of the first is here, as in a sweep, all are shown.
    first = first if first & set(labels) else set(labels)
    told = {name: plain(named.get(name, name)) for name in found if name in labels}
    many = Counter(told.values())
    # Two names that differ only in what is not shown are told apart by a number.
    return [
        Series(name, shown if many[shown] == 1 else f"{shown} [{i}]", labels[name], found[name], name in first)
        for i, (name, shown) in enumerate(told.items())
    ]


def _axis(frame: pd.DataFrame, metric: Metric) -> dict[str, Any]:
    """Return what the script gets of a quantity: its columns, its words and its ticks."""
    numbers = floats(frame[[metric.column, *filter(None, [metric.bound])]])
    drawn = numbers[numbers > 0]
    ticks = metric.ticks(float(drawn.min()) / _REACH, float(drawn.max()) * _REACH)
    return {**metric.told, "ticks": ticks}


def _rounded(value: float) -> float:
    """Return a number with a few digits."""
    return float(f"{value:.{_DIGITS}g}")
