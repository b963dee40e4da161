"""Figure of a run with one length: time of one call, speed-up and peak memory per series, the fastest on top."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from attnbench.reports.data.run import Run
from attnbench.reports.data.settings import Setting, attempted, names, without_floor
from attnbench.reports.data.values import floats, positive
from attnbench.reports.drawing import log_ticks, panels
from attnbench.reports.drawing.log_ticks import Ticks
from attnbench.reports.drawing.panels import Banded
from attnbench.reports.drawing.style import NOTE_COLOUR, Look, looks
from attnbench.reports.text import cells

PLACE = 40
READING = (
    "The fastest on top. Left is faster and leaner, but right of 1 is a speed-up: the stroke is where it "
    "would be if time followed work."
)


def applies(run: Run) -> bool:
    """Check that the run varies neither lengths nor keys per query."""
    return not run.several_lengths and not any(each.sweeps for each in run.results)


_WIDTH, _ROW, _GAP_X, _GAP_Y = 2.4, 0.19, 0.25, 0.75
"""Inches: width of a panel, height of a series, and gaps beside and below a panel."""
_CHARACTER = 0.062
"""Inches of a letter in a name."""

_TICKS = 5
"""The most ticks of a panel."""


class _Quantity(NamedTuple):
    """Quantity that a column of panels shows."""

    words: str
    columns: Banded
    bound: tuple[str, ...]
    """The column of the bound by work, if there is one."""
    ticks: Ticks


_QUANTITIES = (
    _Quantity("time of one call", panels.TIME, (), log_ticks.times),
    _Quantity("speed-up against the baseline", panels.SPEEDUP, ("bound_speedup",), log_ticks.ratios),
    _Quantity("peak memory of one call", Banded("peak_bytes", "peak_bytes", "peak_bytes"), (), log_ticks.sizes),
)


def draw(run: Run) -> Figure:
    """Draw one row per series and one column per quantity; series without a number show their status."""
    found, more = panels.fitting(run.settings)
    frame = without_floor(run.frame)
    shown = [each for each in _QUANTITIES if (floats(frame[each.columns.middle]) > 0).any()]
    title = " at N = ".join(["Time, speed-up and memory", *map(str, run.frame["seq_len"].unique())])
    if not shown:
        return panels.blank(title, panels.context(run), "Nothing to draw: no case passed.")
    looked = looks(run.frame)
    ranked = [_ranked(each) for each in found]
    left = 0.3 + _CHARACTER * max(len(name) for rows in ranked for name in names(rows))
    width = left + len(shown) * (_WIDTH + _GAP_X)
    bound = any(each.bound for each in shown)
    note = f"{panels.context(run)}. {panels.intervals(run, 'Bars')}{' Strokes: bound by work.' if bound else ''}"
    note += more
    above = panels.header_height(note, width)
    height = above + sum(_ROW * (len(rows) + 1) + _GAP_Y for rows in ranked)
    figure = Figure(figsize=(width, height))
    top = height - above
    for setting, rows in zip(found, ranked, strict=True):
        tall = _ROW * (len(rows) + 1)
        for column, quantity in enumerate(shown):
            x = left + column * (_WIDTH + _GAP_X)
            axes = figure.add_axes((x / width, (top - tall) / height, _WIDTH / width, tall / height))
            _draw(axes, rows, quantity, looked)
            _across(axes, frame, quantity)
            axes.set_yticks(range(len(rows)), [] if column else list(names(rows)), fontsize=7)
            axes.set_ylim(len(rows) - 0.2, -0.8)
            if not column:
                axes.set_title(setting.title if len(found) > 1 else "", loc="left")
                _endings(axes, rows, looked)
        top -= tall + _GAP_Y
    panels.header(figure, title, note)
    return figure


def _ranked(setting: Setting) -> pd.DataFrame:
    """Return the series of a setting, the fastest first, those without a time last."""
    return pd.concat([part for _, part in attempted(setting.frame)]).sort_values("time_ns", kind="stable")


def _draw(axes: Axes, rows: pd.DataFrame, quantity: _Quantity, looked: dict[str, Look]) -> None:
    """Draw a point and its interval for each series."""
    numbers = positive(floats(rows[[*quantity.columns, *quantity.bound]]))
    for place, (name, values) in enumerate(zip(names(rows), numbers, strict=True)):
        look, (middle, low, high, *bound) = looked[name], values
        axes.plot([low, high], [place, place], color=look.colour, linewidth=1.2)
        axes.plot([middle], [place], **{**look.options(), "linestyle": "none", "markersize": 4.5})
        axes.plot(bound, [place] * len(bound), "|", color=look.colour, markersize=7)
    if quantity.bound:
        axes.axvline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)


def _across(axes: Axes, frame: pd.DataFrame, quantity: _Quantity) -> None:
    """Give all panels of a quantity the same logarithmic x axis."""
    low, high = panels.reach(floats(frame[[*quantity.columns, *quantity.bound]]))
    ends = float(np.exp(low)), float(np.exp(high))
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.xaxis.set_minor_locator(NullLocator())
    places = quantity.ticks(*ends)
    places = places[:: len(places) // (_TICKS + 1) + 1]
    axes.set_xticks([place for place, _ in places], [text for _, text in places], fontsize=7)
    axes.set_xlabel(quantity.words)
    axes.grid(axis="both", color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)


def _endings(axes: Axes, rows: pd.DataFrame, looked: dict[str, Look]) -> None:
    """Write the status of series without a time."""
    for place, (name, status) in enumerate(zip(names(rows), rows["status"], strict=True)):
        if status != "passed":
            options: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 6.5}
            axes.text(0.02, place, cells.SHORT[status], color=looked[name].colour, **options)
