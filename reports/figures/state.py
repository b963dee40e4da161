"""Figure of what decoding keeps of earlier tokens over the sequence length, both axes logarithmic."""

from matplotlib.figure import Figure

from attnbench.reports.data.settings import attempted
from attnbench.reports.data.values import floats, positive
from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.findings.run import Run

PLACE = 25
READING = "Lower keeps less. A cache of all tokens grows with N; a ring of the last tokens and a state do not."


def applies(run: Run) -> bool:
    """Check whether the run decodes at several lengths."""
    return run.several_lengths and any(each.kept for each in run.results)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the bytes of cache or state, for the settings that decode."""
    shown = [each.setting._replace(column=0) for each in run.results if each.kept]
    note = "What a call reads besides its inputs."
    drawn = panels.sheet(run, "Cache or state of earlier tokens", note, shown=shown, width=width)
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            axes.plot(part["seq_len"], positive(floats(part["state_bytes"])), **drawn.looks[name].options())
    panels.share_y(drawn, log_ticks.sizes, "state_bytes")
    panels.label_y(drawn, "cache or state")
    return across.over_lengths(drawn, "state_bytes")
