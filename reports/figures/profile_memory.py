"""Figure of the memory held during one call, with one panel per series and one row per setting."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnbench.reports.data.profiles import Profiled
from attnbench.reports.drawing import fixed, memory_timeline, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, colours, points, scale
from attnbench.reports.findings.run import Run

PLACE = 91
READING = ""
_SIDE, _TALL, _GAP_X, _GAP_Y, _LEFT, _HEADER = 1.7, 1.15, 0.65, 0.95, 0.6, 1.4


def applies(run: Run) -> bool:
    """Check whether the run was profiled."""
    return bool(run.profiles)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw one panel per series and one row per setting, at the comparison length."""
    found, more = panels.fitting(run.settings)
    kept = {each.row for each in found}
    rows = [each for each in run.profiled if each.compared and each.setting.row in kept]
    if not rows:
        return panels.blank(memory_timeline.TITLE, panels.context(run), "Nothing to draw: no case was profiled.", width)
    figure, places = _stacked(rows, width) if width else _beside(rows)
    colour_of = colours(run.frame)
    for (setting, _, n, shown), spots in zip(rows, places, strict=True):
        for (name, profile), axes in zip(shown, spots, strict=True):
            memory_timeline.steps(axes, profile, colour_of.get(name.rpartition("/")[0], BASELINE_COLOUR), most=3)
            words = f"{setting.title}, N = {n}: {name}" if width else name.replace("/", " / ")
            inches = fixed.axes_width(width, columns(width)) if width else _SIDE
            lines = textwrap.wrap(words, 32, break_on_hyphens=False)
            told = fixed.fitted(words, inches, 7) if width else "\n".join(lines)
            axes.set_title(told, fontsize=points(7), fontweight="normal", loc="left", pad=3)
            axes.tick_params(labelsize=points(6.5))
    note = f"{panels.context(run)}. What the allocator holds beyond what was held before the call, inputs apart. "
    note += f"Each panel has scales of its own; recording stretches the time.{more}"
    panels.header(figure, memory_timeline.TITLE, note)
    return figure


def columns(width: float) -> int:
    """Return how many panels of a figure of a width are beside each other."""
    return max(int(width / ((_SIDE + _GAP_X) * scale())), 1)


def _beside(rows: Sequence[Profiled]) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure with a row of panels for each setting, and the title of each."""
    width = max(_LEFT + max(len(each.compared) for each in rows) * (_SIDE + _GAP_X), 5.0)
    height = _HEADER + len(rows) * (_TALL + _GAP_Y) - 0.4
    figure, places = Figure(figsize=(width, height)), []
    for row, (setting, _, n, shown) in enumerate(rows):
        top = _HEADER + row * (_TALL + _GAP_Y)
        options: dict[str, Any] = {"fontsize": points(9), "fontweight": "bold", "va": "bottom"}
        figure.text(0.1 / width, 1 - (top - 0.42) / height, f"{setting.title}, N = {n}", **options)
        lefts = [(_LEFT + column * (_SIDE + _GAP_X)) / width for column in range(len(shown))]
        boxes = [(left, 1 - (top + _TALL) / height, _SIDE / width, _TALL / height) for left in lefts]
        places.append([figure.add_axes(box) for box in boxes])
    return figure, places


def _stacked(rows: Sequence[Profiled], width: float) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure of a width, in which each setting begins a row of panels."""
    across = columns(width)
    counts = [len(each.compared) for each in rows]
    tall = (_TALL + fixed.DECORATION) * scale()
    figure, spec = fixed.grid(width, [tall] * sum(-(-count // across) for count in counts), across)
    places, first = [], 0
    for count in counts:
        spots = [divmod(i, across) for i in range(count)]
        places.append([figure.add_subplot(spec[first + row, column]) for row, column in spots])
        first += -(-count // across)
    return figure, places
