"""Figure of the memory held during one call, with one panel per series and one row per setting."""

import textwrap

from matplotlib.figure import Figure

from attnbench.reports.data.run import Run
from attnbench.reports.drawing import memory_timeline, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, colours

PLACE = 91
READING = ""
_SIDE, _TALL, _GAP_X, _GAP_Y, _LEFT, _HEADER = 1.7, 1.15, 0.65, 0.95, 0.6, 1.4


def applies(run: Run) -> bool:
    """Check whether the run was profiled."""
    return bool(run.profiles)


def draw(run: Run) -> Figure:
    """Draw one panel per series and one row per setting, at the comparison length."""
    found, more = panels.fitting(run.settings)
    kept = {each.row for each in found}
    rows = [each for each in run.profiled if each.compared and each.setting.row in kept]
    if not rows:
        return panels.blank(memory_timeline.TITLE, panels.context(run), "Nothing to draw: no case was profiled.")
    width = max(_LEFT + max(len(each.compared) for each in rows) * (_SIDE + _GAP_X), 5.0)
    height = _HEADER + len(rows) * (_TALL + _GAP_Y) - 0.4
    figure = Figure(figsize=(width, height))
    colour_of = colours(run.frame)
    for row, (setting, _, n, shown) in enumerate(rows):
        top = _HEADER + row * (_TALL + _GAP_Y)
        words = f"{setting.title}, N = {n}"
        figure.text(0.1 / width, 1 - (top - 0.42) / height, words, fontsize=9, fontweight="bold", va="bottom")
        for column, (name, profile) in enumerate(shown):
            left = (_LEFT + column * (_SIDE + _GAP_X)) / width
            axes = figure.add_axes((left, 1 - (top + _TALL) / height, _SIDE / width, _TALL / height))
            memory_timeline.steps(axes, profile, colour_of.get(name.rpartition("/")[0], BASELINE_COLOUR), most=3)
            lines = textwrap.wrap(name.replace("/", " / "), 32, break_on_hyphens=False)
            axes.set_title("\n".join(lines), fontsize=7, fontweight="normal", loc="left", pad=3)
            axes.tick_params(labelsize=6.5)
    note = f"{panels.context(run)}. What the allocator holds beyond what was held before the call, inputs apart. "
    note += f"Each panel has scales of its own; recording stretches the time.{more}"
    panels.header(figure, memory_timeline.TITLE, note)
    return figure
