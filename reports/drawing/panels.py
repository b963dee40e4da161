"""Figures of panels: one column per direction, one row per device, dtype and shape; mostly over the length."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.data.settings import Setting, attempted, without_floor
from attnbench.reports.data.values import FloatArray, floats
from attnbench.reports.drawing import fixed, strip
from attnbench.reports.drawing.log_ticks import Places, Ticks
from attnbench.reports.drawing.log_ticks import lengths as ticks_of_length
from attnbench.reports.drawing.style import NOTE_COLOUR, Look, looks, points
from attnbench.reports.findings.run import Run
from attnbench.reports.text.context import context as context
from attnbench.reports.text.context import intervals as intervals
from attnbench.variants import FLOOR

WIDTH, HEIGHT = 3.9, 3.0
"""Inches of a panel, without the strip of cases that did not pass."""
_LEFT, _BOTTOM, _GAP_X, _GAP_Y = 0.8, 0.55, 0.3, 0.8
_HEADER, _LINE = 0.76, 0.14
"""Inches of a header, and of each line of its note."""
_LEGEND = 2.9
_MARGIN = 0.12


class Across(NamedTuple):
    """Quantity on the logarithmic x axis of a panel."""

    column: str
    """A column of the panel's frame."""
    words: str
    ticks: Places


LENGTH = Across("seq_len", "sequence length N", ticks_of_length)


class Banded(NamedTuple):
    """Columns of a number with an interval."""

    middle: str
    low: str
    high: str


TIME = Banded("time_ns", "time_low_ns", "time_high_ns")
SPEEDUP = Banded("speedup", "speedup_low", "speedup_high")
BAND = 0.2
"""The opacity of a band."""
MOST_ROWS = 20
"""The most rows of panels. A figure with more would be metres long."""


class Panel(NamedTuple):
    """Setting with its axes."""

    setting: Setting
    axes: Axes


class Sheet(NamedTuple):
    """Figure with its panels."""

    figure: Figure
    panels: list[Panel]
    looks: dict[str, Look]
    strip: float
    """The share of a panel's height, at its top, for cases that did not pass."""
    strip_rows: int = 0
    """The most series of a panel with such cases."""
    beside: tuple[pd.DataFrame, ...] = ()
    """For each panel the series that other panels of its setting have; empty if a panel has all series."""
    width: float | None = None
    """The inches of the figure, if it has a fixed width."""
    axes_width: float = WIDTH
    """Inches of a panel, about."""


def sheet(
    run: Run,
    title: str,
    note: str,
    across: Across = LENGTH,
    shown: Sequence[Setting] | None = None,
    values: Sequence[float] = (),
    width: float | None = None,
) -> Sheet:
    """Create empty panels under a title and a note, for every setting of a run or for those in `shown`.

    The x axis holds the ascending `values`, or all values of the column if there are none. With a `width` in inches,
    the figure has no title and no note: they are its label.
    """
    found, more = fitting(run.settings if shown is None else shown)
    if not found:
        reason = "Nothing to draw: no case is supported here."
        return Sheet(blank(title, context(run), reason, width), [], {}, 0.0, width=width)
    failures = max(len(strip.failing(each)) for each in found)
    high = strip.height(failures)
    one_row = not any(each.row for each in found)
    found = fixed.placed(found, width) if width else found
    rows, columns = 1 + max(each.row for each in found), 1 + max(each.column for each in found)
    note = f"{context(run)}. {note}{more}"
    frame = run.frame if shown is None else pd.concat([each.frame for each in found])
    if width:
        figure, spec = fixed.grid(width, [fixed.row() + high] * rows, columns)
        axes_width, tall = fixed.axes_width(width, columns), fixed.TALL + high
    else:
        axes_width, tall = WIDTH, HEIGHT + high
        width_all = _LEFT + columns * (WIDTH + _GAP_X) + _LEGEND
        above = header_height(note, width_all)
        height_all = above + rows * tall + (rows - 1) * _GAP_Y + _BOTTOM
        figure = Figure(figsize=(width_all, height_all))
    panels = []
    for each in found:
        if width:
            axes = figure.add_subplot(spec[each.row, each.column])
        else:
            left = _LEFT + each.column * (WIDTH + _GAP_X)
            bottom = height_all - above - (each.row + 1) * tall - each.row * _GAP_Y
            axes = figure.add_axes((left / width_all, bottom / height_all, WIDTH / width_all, tall / height_all))
        words = str(each.frame["direction"].iloc[0]) if one_row else each.title
        axes.set_title(fixed.title(words, axes_width) if width else words, loc="left")
        x_axis(axes, across, values or np.unique(floats(frame[across.column])).tolist(), axes_width)
        panels.append(Panel(each, axes))
    header(figure, title, note)
    return Sheet(figure, panels, looks(frame), high / tall, failures, width=width, axes_width=axes_width)


def fitting(found: Sequence[Setting]) -> tuple[list[Setting], str]:
    """Return as many settings as a figure holds, without floors, and a sentence on what is left out."""
    floors = sorted({label for each in found for label in each.frame["label"][each.frame["family"] == FLOOR]})
    found = [each._replace(frame=without_floor(each.frame)) for each in found]
    found = [each for each in found if len(each.frame)]
    rows = list(dict.fromkeys(each.row for each in found))
    kept = set(rows[:MOST_ROWS])
    more = f" {len(rows) - MOST_ROWS} more settings are left out; table.csv has them." if len(rows) > MOST_ROWS else ""
    more += f" Not drawn: the floor, {', '.join(floors)}." if floors else ""
    return [each for each in found if each.row in kept], more


def line(axes: Axes, part: pd.DataFrame, across: Across, banded: Banded, look: Look) -> None:
    """Draw a series and its band."""
    x, (middle, low, high) = part[across.column], (part[name] for name in banded)
    axes.plot(x, middle, **look.options())
    axes.fill_between(x, low, high, color=look.colour, alpha=BAND, linewidth=0)


def share_y(drawn: Sheet, ticks: Ticks, *names: str, missing: str = "no case passed") -> None:
    """Give the panels of each row the same logarithmic y axis, which holds the columns `names` below the strips.

    Panels show `missing` if these columns have no number.
    """
    for setting, axes in drawn.panels:
        beside = [each.setting.frame[[*names]] for each in drawn.panels if each.setting.row == setting.row]
        values = floats(pd.concat(beside))
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        if not (values > 0).any():
            axes.set_yticks([])
            axes.text(0.5, 0.4, missing, transform=axes.transAxes, ha="center", color=NOTE_COLOUR)
            continue
        low, high = reach(values)
        axes.set_ylim(np.exp(low), np.exp(low + (high - low) / (1 - drawn.strip)))
        places = ticks(float(np.exp(low)), float(np.exp(high)))
        axes.set_yticks([place for place, _ in places], ["" if setting.column else text for _, text in places])
        axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)


def reach(values: FloatArray) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that holds the positive values, as logarithms."""
    inside = np.log(values[values > 0])
    low, high = float(inside.min()), float(inside.max())
    pad = max(0.06 * (high - low), 0.3)
    return low - pad, high + pad


def label_y(drawn: Sheet, text: str) -> None:
    """Label the y axis at the left of each row."""
    for setting, axes in drawn.panels:
        if setting.column == 0:
            axes.set_ylabel(fixed.fitted(text, fixed.TALL, 8.5) if drawn.width else text)


def legend(drawn: Sheet, extra: Iterable[Line2D] = ()) -> None:
    """Draw the legend of the series at the right of the panels, or below them if the figure has a fixed width."""
    seen = {name for each in drawn.panels for name, _ in attempted(each.setting.frame)}
    handles = [Line2D([], [], label=name, **look.options()) for name, look in drawn.looks.items() if name in seen]
    if drawn.width:
        fixed.legend(drawn.figure, [*handles, *extra])
    elif handles:
        boxes = [each.axes.get_position() for each in drawn.panels]
        at = (max(box.x1 for box in boxes) + 0.1 / drawn.figure.get_figwidth(), max(box.y1 for box in boxes))
        drawn.figure.legend(handles=[*handles, *extra], loc="upper left", bbox_to_anchor=at, handlelength=2.8)


def blank(title: str, note: str, reason: str, width: float | None = None) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure = Figure(figsize=(width or 6.0, 1.2), layout="constrained" if width else None)
    header(figure, title, note)
    words = fixed.fitted(reason, width - 0.2, 9) if width else reason
    figure.text(0.1 / (width or 6.0), 0.15, words, color=NOTE_COLOUR, fontsize=points(9))
    return figure


def header(figure: Figure, title: str, note: str) -> None:
    """Write title and note at the top left, or keep them as the label of a figure with a fixed width."""
    figure.set_label(f"{title}. {note}")
    if figure.get_layout_engine() is not None:
        return
    width, height = figure.get_size_inches()
    left = 0.1 / width
    figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=points(11), fontweight="bold")
    options: dict[str, Any] = {"va": "top", "color": NOTE_COLOUR, "fontsize": points(7.5), "linespacing": 1.3}
    figure.text(left, 1 - 0.34 / height, _wrapped(note, width), **options)


def header_height(note: str, width: float) -> float:
    """Return the inches of title and note above the panels of a figure."""
    return _HEADER + _LINE * (1 + _wrapped(note, width).count("\n"))


def _wrapped(note: str, width: float) -> str:
    """Break a note into lines that fit a figure."""
    return "\n".join(textwrap.wrap(note, int((width - 0.2) / 0.075)))


def x_axis(axes: Axes, across: Across, values: Sequence[float], inches: float = WIDTH) -> None:
    """Set up the x axis in octaves, with room for text at both ends; `inches` is about how wide it is."""
    octaves = max(float(np.log2(values[-1] / values[0])), 1.0)
    middle = np.sqrt(values[0] * values[-1])
    reach = 2 ** (octaves * (0.5 + _MARGIN))
    axes.set_xscale("log", base=2)
    axes.set_xlim(middle / reach, middle * reach)
    axes.xaxis.set_minor_locator(NullLocator())
    octave = inches / (2 * octaves * (0.5 + _MARGIN))
    places = fixed.apart(across.ticks(values, 9), octave)
    axes.set_xticks([place for place, _ in places], [text for _, text in places])
    axes.set_xlabel(across.words)
