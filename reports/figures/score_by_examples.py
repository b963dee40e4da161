"""Figure of the scores of trained models over the number of examples to train with."""

import numpy as np
from matplotlib.figure import Figure

from attnbench.reports.data.settings import Setting, attempted
from attnbench.reports.drawing import fixed, log_ticks, panels
from attnbench.reports.drawing.style import GUIDE_COLOUR
from attnbench.reports.findings.run import Run

PLACE = 6
READING = "Higher finds more targets. Where two lines cross, the better mechanism depends on the number of examples."
ACROSS = panels.Across("examples", "examples to train with", log_ticks.whole)
_SCORE = panels.Banded("score", "score_low", "score_high")


def applies(run: Run) -> bool:
    """Check whether the run has tasks that differ in the number of examples alone."""
    return bool(run.learned_by_size)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw a panel for each group of such tasks; a dotted line is the score of guessing."""
    found = run.learned_by_size
    shown = [Setting(each.data, row, 0, each.frame) for row, each in enumerate(found)]
    note = "Bands: 95 % intervals over seeds. Dotted: guessing."
    drawn = panels.sheet(run, "Score against the number of examples", note, ACROSS, shown, width=width)
    places = np.arange(0, 1.01, 0.2)
    for setting, axes in drawn.panels:
        axes.set_title(fixed.title(setting.title, drawn.axes_width) if width else setting.title, loc="left")
        for name, part in attempted(setting.frame):
            panels.line(axes, part.sort_values("examples"), ACROSS, _SCORE, drawn.looks[name])
        axes.axhline(found[setting.row].tasks[0].task.form.chance, color=GUIDE_COLOUR, linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1.04)
        axes.set_yticks(places, [f"{100 * each:.0f} %" for each in places])
        axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
    panels.label_y(drawn, "score")
    panels.legend(drawn)
    return drawn.figure
