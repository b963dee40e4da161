"""Figure of a run with one length: time of one call, speed-up and peak memory per series, the fastest on top."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from attnbench.reports.data.settings import Setting, attempted, names, without_floor
from attnbench.reports.data.values import floats, positive
from attnbench.reports.drawing import fixed, log_ticks, panels
from attnbench.reports.drawing.log_ticks import Ticks
from attnbench.reports.drawing.panels import Banded
from attnbench.reports.drawing.style import NOTE_COLOUR, Look, looks, points, scale
from attnbench.reports.findings.run import Run
from attnbench.reports.text import cells

PLACE = 40
READING = (
    "The fastest on top. Further left is less time and less memory, but right of 1 is a speed-up: the "
    "stroke is where it would be if time followed work."
)


def applies(run: Run) -> bool:
    """Check that the run varies neither lengths nor keys per query."""
    return not run.several_lengths and not any(each.sweeps for each in run.results)


_WIDTH, _ROW, _GAP_X, _GAP_Y = 2.4, 0.19, 0.25, 0.75
"""Inches: width of a panel, height of a series, and gaps beside and below a panel."""
_CHARACTER = 0.062
"""Inches of a letter in a name."""


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


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw one row per series and one column per quantity; series without a number show their status."""
    found, more = panels.fitting(run.settings)
    frame = without_floor(run.frame)
    shown = [each for each in _QUANTITIES if (floats(frame[each.columns.middle]) > 0).any()]
    title = " at N = ".join(["Time, speed-up and memory", *map(str, run.frame["seq_len"].unique())])
    if not shown:
        return panels.blank(title, panels.context(run), "Nothing to draw: no case passed.", width)
    looked = looks(run.frame)
    ranked = [_ranked(each) for each in found]
    bound = any(each.bound for each in shown)
    note = f"{panels.context(run)}. {panels.intervals(run, 'Bars')}{' Strokes: bound by work.' if bound else ''}"
    note += more
    figure, places, inches, named = _stacked(ranked, len(shown), width) if width else _beside(ranked, len(shown), note)
    for setting, rows, panels_of in zip(found, ranked, places, strict=True):
        words = setting.title if len(found) > 1 else ""
        panels_of[0].set_title(fixed.title(words, inches) if width else words, loc="left")
        for quantity, axes in zip(shown, panels_of, strict=True):
            _draw(axes, rows, quantity, looked)
            _across(axes, frame, quantity, inches)
            shows_names = axes is panels_of[0] or _first_column(axes)
            written = [fixed.fitted(name, named, 7) for name in names(rows)] if shows_names else []
            axes.set_yticks(range(len(rows)), written, fontsize=points(7))
            axes.set_ylim(len(rows) - 0.2, -0.8)
        _endings(panels_of[0], rows, looked)
    panels.header(figure, title, note)
    return figure


def _first_column(axes: Axes) -> bool:
    """Check whether a panel has no other one at its left; without a grid, only the first of a row is such."""
    spec = axes.get_subplotspec()
    return spec is not None and spec.is_first_col()


class _Layout(NamedTuple):
    """Figure with the panels of each setting."""

    figure: Figure
    places: list[list[Axes]]
    inches: float
    """The width of a panel, about."""
    named: float
    """The width of a name."""


def _beside(ranked: Sequence[pd.DataFrame], count: int, note: str) -> _Layout:
    """Create panels beside each other, each setting below the other."""
    named = _CHARACTER * max(len(name) for rows in ranked for name in names(rows))
    left = 0.3 + named
    width = left + count * (_WIDTH + _GAP_X)
    above = panels.header_height(note, width)
    height = above + sum(_ROW * (len(rows) + 1) + _GAP_Y for rows in ranked)
    figure, top, places = Figure(figsize=(width, height)), height - above, []
    for rows in ranked:
        tall = _ROW * (len(rows) + 1)
        lefts = [left + column * (_WIDTH + _GAP_X) for column in range(count)]
        boxes = [(x / width, (top - tall) / height, _WIDTH / width, tall / height) for x in lefts]
        places.append([figure.add_axes(box) for box in boxes])
        top -= tall + _GAP_Y
    return _Layout(figure, places, _WIDTH, 2 * named)


def _stacked(ranked: Sequence[pd.DataFrame], count: int, width: float) -> _Layout:
    """Create panels for a width, beside each other if it is a page, else below each other with names of their own."""
    across = count if width / scale() > 6 else 1
    named = width * (0.42 if across == 1 else 0.25)
    lines = [[1 + fixed.fitted(name, named, 7).count("\n") for name in names(rows)] for rows in ranked]
    row = _ROW if max(map(max, lines)) == 1 else _ROW * 0.7 * max(map(max, lines))
    heights = [row * scale() * (len(rows) + 1) + fixed.DECORATION * scale() for rows in ranked]
    figure, spec = fixed.grid(width, [each for each in heights for _ in range(count // across)], across)
    every = [figure.add_subplot(spec[i]) for i in range(len(ranked) * count)]
    places = [every[i : i + count] for i in range(0, len(every), count)]
    return _Layout(figure, places, (width - named - 0.3) / across - 0.1, named)


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


def _across(axes: Axes, frame: pd.DataFrame, quantity: _Quantity, inches: float) -> None:
    """Give all panels of a quantity the same logarithmic x axis."""
    low, high = panels.reach(floats(frame[[*quantity.columns, *quantity.bound]]))
    ends = float(np.exp(low)), float(np.exp(high))
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.xaxis.set_minor_locator(NullLocator())
    places = fixed.apart(quantity.ticks(*ends), inches / float(np.log2(ends[1] / ends[0])))
    axes.set_xticks([place for place, _ in places], [text for _, text in places], fontsize=points(7))
    axes.set_xlabel(fixed.fitted(quantity.words, inches, 8.5))
    axes.grid(axis="both", color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)


def _endings(axes: Axes, rows: pd.DataFrame, looked: dict[str, Look]) -> None:
    """Write the status of series without a time."""
    for place, (name, status) in enumerate(zip(names(rows), rows["status"], strict=True)):
        if status != "passed":
            options: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": points(6.5)}
            axes.text(0.02, place, cells.SHORT[status], color=looked[name].colour, **options)
