"""Figures of bokeh without data, which the script of the page fills, and bokeh's own script."""

import json
import re
from typing import Any

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    FixedTicker,
    HoverTool,
    Range1d,
)
from bokeh.models.annotations.geometry import Span
from bokeh.models.layouts import LayoutDOM
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup

from attnbench.reports.html.charts import Across, Chart

_HEIGHT, _LEFT, _RIGHT = 372, 74, 40
"""Pixels of a figure, and of the room beside it for its y axis and its tools, which the strip above it has too."""
_BAND, _BOUND = 0.16, 0.9
"""Opacities."""
_POINTS = ("x", "y", "low", "high", "marker", "size", "colour", "fill", "name", "value", "n", "status", "flags", "many")
_LINES = ("xs", "ys", "colour", "dash", "width")
_ENDED = ("x", "y", "colour", "words", "name", "n", "status", "reason")
_ROW = "font-size: 12px"


def script() -> Markup:
    """Return the script of bokeh without widgets, tables and formulas, which no figure here needs."""
    return Markup(Resources(mode="inline", components=["bokeh"]).js_raw[0])


def item(chart: Chart) -> dict[str, Any]:
    """Return the figure of a chart for `Bokeh.embed.embed_item`."""
    return embedded(_layout(chart))


def embedded(layout: LayoutDOM) -> dict[str, Any]:
    """Return a figure for `Bokeh.embed.embed_item`. Equal figures give equal items."""
    made = json.dumps(json_item(layout))
    numbers: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return f'"{found[1]}": "{numbers.setdefault(found[2], f"p{len(numbers)}")}"'

    # Bokeh numbers all models of a process. Here the first of each figure is p0.
    told: dict[str, Any] = json.loads(re.sub(r'"(id|root_id)": "(p\d+)"', renamed, made))
    return told


def _layout(chart: Chart) -> LayoutDOM:
    """Return the strip of cases without a number, if there are any, above the figure."""
    main = _ranking(chart) if chart.across is None else _lines(chart, chart.across)
    if not chart.failing:
        return main
    return column(_strip(main), main, sizing_mode="stretch_width", spacing=0)


def _lines(chart: Chart, across: Across) -> figure:
    """Return a figure of lines with bands, both axes logarithmic."""
    start, end = across.ends
    main = _figure(chart, x_range=Range1d(start=start, end=end), y_range=Range1d(start=1, end=10, name="range"))
    bands, lines, bounds = (_source(name, _LINES) for name in ("bands", "lines", "bounds"))
    main.patches("xs", "ys", source=bands, fill_color="colour", fill_alpha=_BAND, line_color=None)
    main.multi_line("xs", "ys", source=bounds, line_color="colour", line_dash="6 4", line_alpha=_BOUND)
    main.multi_line("xs", "ys", source=lines, line_color="colour", line_dash="dash", line_width="width")
    _points(chart, main)
    main.xaxis.axis_label = across.words
    main.xaxis.ticker = FixedTicker(ticks=[place for place, _ in across.ticks])
    main.xaxis.major_label_overrides = dict(across.ticks)
    main.add_layout(Span(location=1, dimension="width", name="one", line_color="#8a8f95", visible=False))
    return main


def _ranking(chart: Chart) -> figure:
    """Return a figure of one row per series, with bars for intervals and strokes for bounds."""
    main = _figure(chart, x_range=Range1d(start=1, end=10, name="range"), y_range=FactorRange(name="rows"))
    bars, bounds = (_source(name, ("x", "y", "low", "high", "colour")) for name in ("bars", "bounds"))
    main.segment("low", "y", "high", "y", source=bars, line_color="colour", line_width=2)
    main.scatter("x", "y", source=bounds, marker="dash", angle=1.5708, size=12, line_color="colour")
    _points(chart, main)
    ended = _source("ended", _ENDED)
    main.text("x", "y", "words", source=ended, text_color="colour", text_font_size="11px", text_baseline="middle")
    main.add_layout(Span(location=1, dimension="height", name="one", line_color="#8a8f95", visible=False))
    return main


def blank(**options: Any) -> figure:
    """Return an empty figure as wide as its place. Its colours are those of the page's style sheet."""
    main = figure(
        sizing_mode="stretch_width",
        tools="pan,box_zoom,reset,save",
        active_drag=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    main.toolbar.logo = None
    main.axis.axis_label_text_font_style = "normal"
    return main


def _figure(chart: Chart, **ranges: Any) -> figure:
    """Return an empty figure of a chart."""
    main = blank(
        name="main",
        height=_HEIGHT,
        x_axis_type="log",
        y_axis_type="log" if chart.across else "auto",
        toolbar_location="right",
        min_border_left=_LEFT,
        min_border_right=_RIGHT,
        **ranges,
    )
    quantity = main.yaxis if chart.across else main.xaxis
    quantity.name = "quantity"
    quantity.ticker = FixedTicker(name="ticks")
    return main


def _points(chart: Chart, main: figure) -> None:
    """Add the points of the cases, which tell what they are to who points at them."""
    points = main.scatter(
        "x",
        "y",
        source=_source("points", _POINTS),
        marker="marker",
        size="size",
        line_color="colour",
        fill_color="fill",
        line_width=1.3,
    )
    keys = [("keys per query", "@x{0,0.[0]}")] if chart.name == "keys" else []
    told = [("", "@name"), ("", "@value"), ("N", "@n"), *keys, ("processes", "@many"), ("status", "@status")]
    main.add_tools(HoverTool(renderers=[points], tooltips=[*told, ("flags", "@flags")], limit=4, visible=False))


def _strip(main: figure) -> figure:
    """Return the strip above a figure that says how cases ended that have no number, a row per series."""
    strip = figure(
        name="strip",
        height=30,
        sizing_mode="stretch_width",
        x_axis_type="log",
        x_range=main.x_range,
        y_range=FactorRange(name="rows"),
        tools="",
        toolbar_location=None,
        min_border_left=_LEFT,
        min_border_right=_RIGHT,
        background_fill_color="#8a8f95",
        background_fill_alpha=0.13,
        border_fill_color=None,
        outline_line_color=None,
    )
    strip.axis.visible = False
    strip.grid.visible = False
    ended = _source("ended", _ENDED)
    strip.text(
        "x",
        "y",
        "words",
        source=ended,
        text_color="colour",
        text_font_size="11px",
        text_baseline="middle",
        text_align="center",
    )
    area = strip.scatter("x", "y", source=ended, marker="square", size=16, fill_alpha=0, line_alpha=0)
    marks = _source("marks", ("x", "y", "marker", "colour", "fill"))
    strip.scatter("x", "y", source=marks, marker="marker", size=6, line_color="colour", fill_color="fill")
    told = [("", "@name"), ("N", "@n"), ("status", "@status"), ("reason", "@reason")]
    strip.add_tools(HoverTool(renderers=[area], tooltips=told, limit=4, visible=False))
    return strip


def _source(name: str, columns: tuple[str, ...]) -> ColumnDataSource:
    return ColumnDataSource(name=name, data={each: [] for each in columns})
