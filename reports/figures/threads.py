"""Time of one call against the number of threads, for runs that vary it."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import SERIES, Setting, attempted, comparison_length
from attnbench.reports.figures import log_ticks, panels
from attnbench.reports.figures.style import GUIDE_COLOUR
from attnbench.reports.summary.threads import groups

ACROSS = panels.Across("count", "threads", log_ticks.whole)


def time(run: Run) -> Figure:
    """Time of one call at the length that series are compared at; grey lines are what threads could give."""
    shown = _shown(run)
    lengths = sorted({int(each.frame["seq_len"].iloc[0]) for each in shown})
    note = f"N = {' or '.join(map(str, lengths))}. Bands: 95 % intervals. Thin: twice the threads, half the time."
    drawn = panels.sheet(run, "Time of one call against threads", note, ACROSS, shown)
    for setting, axes in drawn.panels:
        for name, cases in attempted(setting.frame):
            part = cases.sort_values("count")
            axes.plot(part["count"], part["ideal_ns"], color=GUIDE_COLOUR, linewidth=0.7, zorder=1)
            panels.line(axes, part, ACROSS, panels.TIME, drawn.looks[name])
    panels.share_y(drawn, log_ticks.times, *panels.TIME, "ideal_ns")
    panels.label_y(drawn, "time of one call")
    panels.legend(drawn, [Line2D([], [], color=GUIDE_COLOUR, linewidth=0.7, label="by threads alone")])
    return drawn.figure


def _shown(run: Run) -> list[Setting]:
    """Each group of settings that differ by threads alone, at the length that it is compared at.

    `ideal_ns` is the time with the fewest threads that a series has, shared among all.
    """
    found = []
    for row, (title, frame) in enumerate(groups(run)):
        n = min(comparison_length(each) for _, each in frame.groupby("count"))
        here = frame[frame["seq_len"] == n].sort_values("count", kind="stable")
        first = here.groupby(list(SERIES))[["time_ns", "count"]].transform("first")
        ideal_ns = first["time_ns"] * first["count"] / here["count"]
        found.append(Setting(title, row, 0, here.assign(ideal_ns=ideal_ns)))
    return found
