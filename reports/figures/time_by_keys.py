"""Figure of the time of one call over keys per query, with the density above."""

from matplotlib.figure import Figure

from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.findings.run import Run

PLACE = 50
READING = (
    "Lower is faster. Both axes are logarithmic: a straight line is a power of the keys that a query "
    "sees, and a level one costs the same for few keys as for many. The line across is the baseline: where another "
    "meets it, its pattern stops paying."
)


def applies(run: Run) -> bool:
    """Check whether the run varies keys per query."""
    return any(each.sweeps for each in run.results)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the time of one call, with that of the baseline as a horizontal line."""
    drawn, names = across.over_keys(run, "Time of one call against keys per query", "Bands: 95 % intervals.", width)
    for (setting, axes), own in zip(drawn.panels, names, strict=False):
        for name, part in across.by_keys(setting):
            look = drawn.looks[name]
            if name in own:
                panels.line(axes, part, across.KEYS, panels.TIME, look)
            else:
                middle, low, high = (part[each].iloc[0] for each in panels.TIME)
                axes.axhline(middle, color=look.colour, linewidth=look.width, linestyle=look.line)
                axes.axhspan(low, high, color=look.colour, alpha=panels.BAND, linewidth=0)
    panels.share_y(drawn, log_ticks.times, *panels.TIME)
    panels.label_y(drawn, "time of one call")
    across.densities(drawn)
    panels.legend(drawn)
    return drawn.figure
