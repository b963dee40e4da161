"""Two runs in one figure: time of one call against the sequence length, A dashed and B solid."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.figures import panels, ticks
from attnbench.reports.figures.looks import NOTE_COLOUR
from attnbench.reports.frame import Run
from attnbench.reports.settings import SETTING, attempted, series


def overlay(a: Run, b: Run) -> Figure:
    """Times of both runs; a panel for every setting of B, with A's where it has the same."""
    note = f"Solid: B ({b.folder}), with its 95 % band. Dashed: A ({a.folder})."
    drawn = panels.sheet(b, "Time of one call, before and after", note)
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, panels.TIME, drawn.looks[name])
        same = (a.frame[list(SETTING)] == setting.frame[list(SETTING)].iloc[0]).all(axis=1)
        for name, part in series(a.frame[same]):
            if name in drawn.looks:
                axes.plot(
                    part["seq_len"], part["time_ns"], color=drawn.looks[name].colour, linestyle="--", linewidth=0.9
                )
    panels.share_y(drawn, ticks.times, *panels.TIME)
    panels.label_y(drawn, "time of one call")
    panels.mark_failures(drawn)
    before = Line2D([], [], color=NOTE_COLOUR, linestyle="--", linewidth=0.9, label="A")
    panels.legend(drawn, [Line2D([], [], color=NOTE_COLOUR, label="B"), before])
    return drawn.figure
