"""Figure of the energy of one call over the sequence length, both axes logarithmic."""

from matplotlib.figure import Figure

from attnbench.reports.data.settings import attempted
from attnbench.reports.drawing import across, log_ticks, panels
from attnbench.reports.findings.run import Run

ENERGY = panels.Banded("energy_j", "energy_low_j", "energy_high_j")
PLACE = 27
READING = (
    "Lower is better. It is what the CPU's packages, or the GPU, take beyond being idle. A line has a gap where the "
    "counter is too coarse."
)


def applies(run: Run) -> bool:
    """Check whether the run knows energies at several lengths."""
    return run.several_lengths and any(each.has_energy for each in run.results)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the energy of one call."""
    drawn = across.lengths(run, "Energy of one call", panels.intervals(run, "Bands"), width)
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, ENERGY, drawn.looks[name])
    panels.share_y(drawn, log_ticks.energies, *ENERGY, missing="no energy was measured")
    panels.label_y(drawn, "energy of one call")
    across.slopes(drawn)
    return across.over_lengths(drawn, ENERGY.middle)
