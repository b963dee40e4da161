"""Figure of the time of one call over the number of threads."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.data.settings import Setting, attempted
from attnbench.reports.drawing import log_ticks, panels
from attnbench.reports.drawing.style import GUIDE_COLOUR
from attnbench.reports.findings.run import Run

ACROSS = panels.Across("count", "threads", log_ticks.whole)
PLACE = 70
READING = "Lower is faster. Where a line leaves the thin one that starts with it, threads are not used in full."


def applies(run: Run) -> bool:
    """Check whether the run has settings that differ only in their threads."""
    return bool(run.threads)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the time of one call at the comparison length; grey lines show perfect scaling."""
    shown = [Setting(each.title, row, 0, each.compared) for row, each in enumerate(run.threads)]
    lengths = sorted({int(each.frame["seq_len"].iloc[0]) for each in shown})
    note = f"N = {' or '.join(map(str, lengths))}. Bands: 95 % intervals. Thin: twice the threads, half the time."
    drawn = panels.sheet(run, "Time of one call against threads", note, ACROSS, shown, width=width)
    for setting, axes in drawn.panels:
        for name, cases in attempted(setting.frame):
            part = cases.sort_values("count")
            axes.plot(part["count"], part["ideal_ns"], color=GUIDE_COLOUR, linewidth=0.7, zorder=1)
            panels.line(axes, part, ACROSS, panels.TIME, drawn.looks[name])
    panels.share_y(drawn, log_ticks.times, *panels.TIME, "ideal_ns")
    panels.label_y(drawn, "time of one call")
    panels.legend(drawn, [Line2D([], [], color=GUIDE_COLOUR, linewidth=0.7, label="by threads alone")])
    return drawn.figure
