"""Plot of the memory held during one call."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attnbench.reports.data.profiles import short
from attnbench.reports.drawing import log_ticks, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, NOTE_COLOUR, points
from attnbench.reports.text import units
from attnbench.suites.profile import Profile

TITLE = "Memory held within one call"
_WIDTH, _HEIGHT = 8.6, 3.5


def case(profile: Profile) -> Figure:
    """Draw one case, with its largest allocations numbered and named."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.75 / _WIDTH, 0.5 / _HEIGHT, 4.6 / _WIDTH, 2.3 / _HEIGHT))
    held = steps(axes, profile, BASELINE_COLOUR, most=6)
    axes.set_xlabel("time since the call began; recording stretches it")
    axes.set_ylabel("memory held")
    axes.set_xlim(left=-0.04 * held[0][-1])
    told = ["Largest allocations"]
    marks: list[tuple[tuple[float, int], list[str]]] = []
    for number, step in enumerate(profile.steps, 1):
        at = step.ns, held[1][int(np.searchsorted(held[0], step.ns, side="right")) - 1]
        axes.plot(*at, "o", color=BASELINE_COLOUR, markersize=3)
        if marks and _near(marks[-1][0], at, axes):
            marks[-1][1].append(str(number))
        else:
            marks.append((at, [str(number)]))
        told.append(f"{number}  +{units.size(step.bytes)}  {short(step.operator)}")
    for at, numbers in marks:
        axes.annotate(", ".join(numbers), at, (-3, 2), textcoords="offset points", ha="right", fontsize=points(7))
    if profile.steps:
        figure.text(5.55 / _WIDTH, 2.8 / _HEIGHT, "\n".join(told), va="top", fontsize=points(7.5), linespacing=1.5)
    panels.header(figure, TITLE, f"{profile.title}. Beyond what was held before the call.")
    return figure


def _near(one: tuple[float, int], other: tuple[float, int], axes: Axes) -> bool:
    """Check whether two marks are so close that their numbers would overlap."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return other[0] - one[0] < 0.04 * (right - left) and abs(other[1] - one[1]) < 0.04 * (high - low)


def steps(axes: Axes, profile: Profile, colour: str, most: int) -> tuple[list[float], list[int]]:
    """Draw the memory of one call as steps, with its peak. Return the times of the steps and the bytes from each on."""
    ns, held = ([*profile.held.ns], [*profile.held.bytes]) if profile.held else ([0.0], [0])
    peak = max(held)
    axes.fill_between(ns, held, step="post", color=colour, alpha=0.2, linewidth=0)
    axes.step(ns, held, where="post", color=colour, linewidth=1.2)
    axes.axhline(peak, color=NOTE_COLOUR, linewidth=0.6, linestyle=":")
    words: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": points(6.5), "color": NOTE_COLOUR}
    axes.text(0.99, peak, f"peak {units.size(peak)}", transform=axes.get_yaxis_transform(), **words)
    axes.set_xlim(0, ns[-1] or 1)
    axes.set_ylim(0, max(peak * 1.15, 1))
    places = [place for place in MaxNLocator(most).tick_values(0, ns[-1] or 1) if 0 <= place <= ns[-1]]
    axes.set_xticks(places, ["0" if place == 0 else log_ticks.round_time(place) for place in places])
    step = 2 ** max(round(math.log2(max(peak, 1) / most)), 0)
    sizes = [count * step for count in range(int(peak // step) + 1)]
    axes.set_yticks(sizes, ["0" if size == 0 else log_ticks.round_size(size) for size in sizes])
    return ns, held
