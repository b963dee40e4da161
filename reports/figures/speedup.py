"""Figure of the speed-up over the sequence length, as measured and as bound by work."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.data.settings import attempted
from attnbench.reports.drawing import across, families, log_ticks, panels
from attnbench.reports.drawing.style import NOTE_COLOUR
from attnbench.reports.findings.run import Run

PLACE = 30
READING = (
    "Above 1 is faster than the baseline. The room between a solid line and the dashed one of its colour, drawn if "
    "there are few series, is work that was saved and time that was not."
)


def applies(run: Run) -> bool:
    """Check whether the run has several lengths."""
    return run.several_lengths


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw speed-ups, or a note if no case has a baseline."""
    baselines = [name for name in run.frame["baseline"].unique() if name]
    if not baselines:
        return panels.blank(
            "Speed-up", panels.context(run), "Nothing to draw: no case has a baseline in this run.", width
        )
    against = " and ".join(baselines)
    note = "Solid: measured, with 95 % interval."
    bounded = not families.many(run)
    if bounded:
        note += " Dashed: bound by work, the baseline's FLOPs over one's own."
    drawn = across.lengths(run, f"Speed-up against {against}", note, width)
    for setting, axes in drawn.panels:
        axes.axhline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
        for name, part in attempted(setting.frame):
            look = drawn.looks[name]
            panels.line(axes, part, panels.LENGTH, panels.SPEEDUP, look)
            if bounded and name not in baselines:
                axes.plot(part["seq_len"], part["bound_speedup"], color=look.colour, linestyle="--", linewidth=0.9)
    bounds = ["bound_speedup"] if bounded else []
    panels.share_y(drawn, log_ticks.ratios, *panels.SPEEDUP, *bounds, missing="no baseline passed")
    panels.label_y(drawn, f"speed-up against {against}")
    measured = Line2D([], [], color=NOTE_COLOUR, label="measured")
    bound = Line2D([], [], color=NOTE_COLOUR, linestyle="--", linewidth=0.9, label="bound by work")
    return across.over_lengths(drawn, "speedup", [measured, bound])
