"""Figure of the speed-up over keys per query, with the density above."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.drawing.style import NOTE_COLOUR
from attnbench.reports.findings.run import Run

PLACE = 60
READING = (
    "Above 1 is faster than the baseline. The room below the dashed line is work that was saved and time that was not."
)


def applies(run: Run) -> bool:
    """Check whether the run varies keys per query."""
    return any(each.sweeps for each in run.results)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw speed-ups and their bound by work, or a note if no baseline passed."""
    if not any(sweep.against for each in run.results for sweep in each.sweeps):
        reason = "Nothing to draw: there is no baseline that passed."
        return panels.blank("Speed-up against keys per query", panels.context(run), reason, width)
    note = "Dashed: bound by work."
    drawn, names = across.over_keys(run, "Speed-up against keys per query", note, width)
    for (setting, axes), own in zip(drawn.panels, names, strict=False):
        axes.axhline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
        for name, part in across.by_keys(setting):
            if name in own:
                panels.line(axes, part, across.KEYS, panels.SPEEDUP, drawn.looks[name])
        bound = setting.frame.sort_values("keys")
        axes.plot(bound["keys"], bound["bound_speedup"], color=NOTE_COLOUR, linestyle="--", linewidth=0.9)
    panels.share_y(drawn, log_ticks.ratios, *panels.SPEEDUP, "bound_speedup")
    panels.label_y(drawn, "speed-up")
    across.densities(drawn)
    panels.legend(drawn, [Line2D([], [], color=NOTE_COLOUR, linestyle="--", linewidth=0.9, label="bound by work")])
    return drawn.figure
