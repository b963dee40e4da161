"""Two runs in one figure: time of one call against the sequence length, A dashed and B solid."""

from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import attempted
from attnbench.reports.figures import log_ticks, panels
from attnbench.reports.figures.style import NOTE_COLOUR


def overlay(comparison: Comparison, a: Run, b: Run) -> Figure:
    """Times of both runs, case by case of B, with A's where it measured the same."""
    note = f"Solid: B ({comparison.b}), with its 95 % band. Dashed: A ({comparison.a})."
    before_ns = b.frame["case"].map(a.frame.set_index("case")["time_ns"])
    both = replace(b, frame=b.frame.assign(before_ns=before_ns))
    drawn = panels.sheet(both, "Time of one call, before and after", note)
    before: dict[str, Any] = {"linestyle": "--", "linewidth": 0.9, "marker": "x", "markersize": 3.5}
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, panels.TIME, drawn.looks[name])
            axes.plot(part["seq_len"], part["before_ns"], color=drawn.looks[name].colour, **before)
    panels.share_y(drawn, log_ticks.times, *panels.TIME, "before_ns")
    panels.label_y(drawn, "time of one call")
    panels.mark_failures(drawn)
    named = (Line2D([], [], color=NOTE_COLOUR, label="B"), Line2D([], [], color=NOTE_COLOUR, label="A", **before))
    panels.legend(drawn, named)
    return drawn.figure
