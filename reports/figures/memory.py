"""Figure of peak memory of one call over the sequence length, both axes logarithmic."""

from matplotlib.figure import Figure

from attnbench.reports.data.settings import attempted
from attnbench.reports.data.values import floats, positive
from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.findings.run import Run

PLACE = 20
READING = "Lower is better. A pattern can save time and yet need more memory than a fused full attention."


def applies(run: Run) -> bool:
    """Check whether the run has several lengths."""
    return run.several_lengths


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw peak memory of one call."""
    drawn = across.lengths(run, "Peak memory of one call", "Peak of the allocator, inputs apart.", width)
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            axes.plot(part["seq_len"], positive(floats(part["peak_bytes"])), **drawn.looks[name].options())
    panels.share_y(drawn, log_ticks.sizes, "peak_bytes", missing="no peak above 0")
    panels.label_y(drawn, "peak memory of one call")
    across.slopes(drawn)
    return across.over_lengths(drawn, "peak_bytes")
