"""Figure of the time of one call over the sequence length, both axes logarithmic."""

from matplotlib.figure import Figure

from attnbench.reports.data.settings import attempted
from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.findings.run import Run

PLACE = 10
READING = (
    "Lower is faster. Both axes are logarithmic, so a straight line is a power of N: compare its slope with "
    "the two thin lines. The grey strip says how a case ended that has no number."
)


def applies(run: Run) -> bool:
    """Check whether the run has several lengths."""
    return run.several_lengths


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the time of one call."""
    drawn = across.lengths(run, "Time of one call", panels.intervals(run, "Bands"), width)
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, panels.TIME, drawn.looks[name])
    panels.share_y(drawn, log_ticks.times, *panels.TIME)
    panels.label_y(drawn, "time of one call")
    across.slopes(drawn)
    return across.over_lengths(drawn, "time_ns")
