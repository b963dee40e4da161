"""Time and peak memory of one call against the sequence length, both axes logarithmic."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import attempted
from attnbench.reports.figures import log_ticks, panels
from attnbench.reports.figures.style import GUIDE_COLOUR
from attnbench.reports.stats.statistics import floats, positive


def time(run: Run) -> Figure:
    """Time of one call."""
    drawn = panels.sheet(run, "Time of one call", panels.intervals(run, "Bands"))
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, panels.TIME, drawn.looks[name])
    panels.share_y(drawn, log_ticks.times, *panels.TIME)
    panels.label_y(drawn, "time of one call")
    return _finished(drawn)


def memory(run: Run) -> Figure:
    """Peak memory of one call."""
    drawn = panels.sheet(run, "Peak memory of one call", "Peak of the allocator, inputs apart.")
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            axes.plot(part["seq_len"], positive(floats(part["peak_bytes"])), **drawn.looks[name].options())
    panels.share_y(drawn, log_ticks.sizes, "peak_bytes", missing="no peak above 0")
    panels.label_y(drawn, "peak memory of one call")
    return _finished(drawn)


def _finished(drawn: panels.Sheet) -> Figure:
    """The figure with its slopes, failures and legend."""
    for setting, axes in drawn.panels:
        if setting.frame["seq_len"].nunique() > 1 and (setting.frame["status"] == "passed").any():
            _slopes(axes, 1 - drawn.strip)
    panels.mark_failures(drawn)
    panels.legend(drawn)
    return drawn.figure


def _slopes(axes: Axes, top: float) -> None:
    """What growing as N and as N^2 looks like: two thin lines in the upper left corner, where no data lies."""
    (left, right), (low, high) = np.log(axes.get_xlim()), np.log(axes.get_ylim())
    high = low + (high - low) * top
    run = min(0.24 * (right - left), 0.22 * (high - low))
    x, y = left + 0.05 * (right - left), high - 0.06 * (high - low) - 2 * run
    for power, text in ((1, "∝ N"), (2, "∝ N²")):
        end = np.exp(x + run), np.exp(y + power * run)
        axes.plot([np.exp(x), end[0]], [np.exp(y), end[1]], color=GUIDE_COLOUR, linewidth=0.8, zorder=1)
        axes.annotate(text, end, (3, 0), textcoords="offset points", va="center", fontsize=7, color=GUIDE_COLOUR)
