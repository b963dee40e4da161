"""Figure of what models learned, as Long Range Arena draws it: speed across, score up, memory as bubbles."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnbench.reports.drawing import bubbles, families, fixed, labels, panels
from attnbench.reports.drawing.bubbles import Bubble
from attnbench.reports.drawing.style import GUIDE_COLOUR
from attnbench.reports.findings.learned import Learned
from attnbench.reports.findings.run import Run

PLACE = 5
READING = (
    "Right trains faster, up finds more targets, and a smaller bubble needs less memory. A line is the 95 % interval "
    "over seeds, and the dotted one is guessing."
)
_ENDS = -0.04, 1.06
"""Scores at the bottom and at the top."""


def applies(run: Run) -> bool:
    """Check whether the run trained models."""
    return bool(run.learned)


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw a panel for each task. In a figure of a width, bubbles have numbers, and a list has the names."""
    found, size = run.learned, bubbles.size(width)
    short = families.short_names(pd.concat([each.setting.frame for each in found]))
    note = f"{panels.context(run)}. Speed of the steps of training, and peak memory of a step."
    figure, places = bubbles.sheet(len(found), note, width)
    most = max(float(model.case["peak_bytes"]) for each in found for model in each.models)
    keys = []
    for task, axes in zip(found, places, strict=True):
        axes.set_title(fixed.title(task.task.data, size.wide) if width else task.task.data, loc="left")
        shown = _bubbles(task, most, size.largest)
        numbers = bubbles.numbers(shown)
        bubbles.panel(axes, shown, numbers if width else short, size, _ENDS)
        _label(axes, task)
        if width:
            keys.append((axes, fixed.arranged(bubbles.listed(shown, numbers, short), size.wide, labels.SIZE)))
    every = {str(model.case["family"]) for task in found for model in task.models}
    handles = bubbles.families(every), bubbles.sizes(most, size.largest)
    bubbles.finish(figure, places[0], handles, keys if width else None)
    panels.header(figure, "Score, speed and memory of training", note)
    return figure


def _bubbles(found: Learned, most: float, largest: float) -> list[Bubble]:
    """Return the bubbles of a panel, the largest first."""
    made = [
        Bubble(
            each.name,
            str(each.case["family"]),
            each.examples_per_s,
            each.score.mean,
            bubbles.diameter(float(each.case["peak_bytes"]), most, largest),
        )
        for each in found.models
    ]
    return sorted(made, key=lambda each: -each.diameter)


def _label(axes: Axes, found: Learned) -> None:
    """Label the axes of a panel, and draw intervals and the score of guessing."""
    axes.set_xlabel("examples per second")
    axes.set_ylabel("score")
    places = np.arange(0, 1.01, 0.2)
    axes.set_yticks(places, [f"{100 * each:.0f} %" for each in places])
    axes.axhline(found.task.form.chance, color=GUIDE_COLOUR, linewidth=0.8, linestyle=":", zorder=0)
    for each in found.models:
        if not np.isnan(each.score.low):
            ends = [max(each.score.low, 0.0), min(each.score.high, 1.0)]
            colour = bubbles.COLOUR[str(each.case["family"])]
            axes.plot([each.examples_per_s] * 2, ends, color=colour, linewidth=1.2, alpha=0.8)
