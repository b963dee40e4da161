"""Figure of what models learned, as Long Range Arena draws it: speed across, score up, memory as bubbles."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attnbench.reports.drawing import bubbles, families, fixed, labels, panels
from attnbench.reports.drawing.bubbles import Bubble
from attnbench.reports.drawing.style import GUIDE_COLOUR, points
from attnbench.reports.findings.learned import Learned
from attnbench.reports.findings.run import Run

PLACE = 5
READING = (
    "Right trains faster, up finds more targets, and a smaller bubble needs less memory. A line is the 95 % interval "
    "over seeds, and the dotted one is guessing, unless all scores are far above it."
)
_MOST_TICKS = 6


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
        bubbles.panel(axes, shown, numbers if width else short, size, _ends(task))
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


def _ends(found: Learned) -> tuple[float, float]:
    """Return the scores at the bottom and at the top of a panel: those of all intervals, and of guessing if near."""
    low = min(max(each.score.mean if np.isnan(each.score.low) else each.score.low, 0.0) for each in found.models)
    high = max(min(each.score.mean if np.isnan(each.score.high) else each.score.high, 1.0) for each in found.models)
    chance = found.task.form.chance
    low = min(low, chance) if chance >= 2 * low - high else low
    room = max(0.08 * (high - low), 0.02)
    return low - room, high + room


def _label(axes: Axes, found: Learned) -> None:
    """Label the axes of a panel, and draw intervals and the score of guessing."""
    axes.set_xlabel("examples per second")
    axes.set_ylabel("score")
    low, high = axes.get_ylim()
    every = MaxNLocator(_MOST_TICKS).tick_values(max(low, 0.0), min(high, 1.0))
    places = [each for each in every if max(low, 0.0) <= each <= min(high, 1.0)]
    axes.set_yticks(places, [f"{100 * each:g} %" for each in places])
    chance = found.task.form.chance
    if chance >= low:
        axes.axhline(chance, color=GUIDE_COLOUR, linewidth=0.8, linestyle=":", zorder=0)
    else:
        note: dict[str, Any] = {"transform": axes.transAxes, "fontsize": points(labels.SIZE), "color": GUIDE_COLOUR}
        axes.text(0.01, 0.02, f"guessing: {100 * chance:.3g} %", **note)
    for each in found.models:
        if not np.isnan(each.score.low):
            ends = [max(each.score.low, 0.0), min(each.score.high, 1.0)]
            colour = bubbles.COLOUR[str(each.case["family"])]
            axes.plot([each.examples_per_s] * 2, ends, color=colour, linewidth=1.2, alpha=0.8)
