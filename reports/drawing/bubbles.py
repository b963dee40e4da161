"""Bubbles: mechanisms by speed across and a quality up, with peak memory as area and names where there is room."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.drawing import fixed, labels, log_ticks, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, COLOURS, points, scale
from attnbench.reports.text import units
from attnbench.variants import FLOOR, Family

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _GAP, _LEGEND = 7.0, 4.2, 0.8, 0.55, 0.95, 1.7
_LARGEST = 30.0
"""Points of the diameter of the largest bubble."""
COLOUR = {**dict(zip(get_args(Family), (BASELINE_COLOUR, *COLOURS), strict=False)), FLOOR: "#8c8c8c"}
"""The colour of each family, and of layers without mixing."""


class Bubble(NamedTuple):
    """A bubble: its name, family, speed, quality and diameter in points."""

    name: str
    family: str
    speed: float
    quality: float
    diameter: float


class Size(NamedTuple):
    """Inches of a panel, and points of the largest bubble."""

    wide: float
    tall: float
    largest: float


def size(width: float | None) -> Size:
    """Return the size of the panels of a figure, which may have a width."""
    if width is None:
        return Size(_WIDTH, _HEIGHT, _LARGEST)
    return Size(fixed.axes_width(width, 1), 3.0, _LARGEST * 0.6 * scale())


def sheet(count: int, note: str, width: float | None) -> tuple[Figure, list[Axes]]:
    """Create panels below each other in a figure of a width, or in one that is as large as they need."""
    if width is not None:
        figure, spec = fixed.grid(width, [fixed.row(size(width).tall)] * count)
        return figure, [figure.add_subplot(spec[i]) for i in range(count)]
    width = _LEFT + _WIDTH + _LEGEND
    above = panels.header_height(note, width)
    height = above + count * (_HEIGHT + _GAP) - _GAP + _BOTTOM
    figure = Figure(figsize=(width, height))
    bottoms = [height - above - place * (_HEIGHT + _GAP) - _HEIGHT for place in range(count)]
    boxes = [(_LEFT / width, bottom / height, _WIDTH / width, _HEIGHT / height) for bottom in bottoms]
    return figure, [figure.add_axes(box) for box in boxes]


def diameter(count: float, most: float, largest: float) -> float:
    """Return the diameter of a bubble in points, whose area is as its bytes."""
    return float(largest * np.sqrt(count / most))


def panel(axes: Axes, found: list[Bubble], short: Mapping[str, str], room_of: Size, ends: tuple[float, float]) -> None:
    """Draw bubbles, then their names where there is room. `ends` are the qualities at the bottom and at the top."""
    wide, tall = room_of.wide, room_of.tall
    low, high = panels.reach(np.array([each.speed for each in found]))
    _across(axes, float(np.exp(low)), float(np.exp(high)))
    axes.set_ylim(*ends)
    taken, spots = [], []
    for each in found:
        colour = COLOUR[each.family]
        look: dict[str, Any] = {"color": colour, "markersize": each.diameter, "markeredgecolor": "white"}
        axes.plot([each.speed], [each.quality], "o", alpha=0.75, markeredgewidth=0.6, clip_on=False, **look)
        x = float((np.log(each.speed) - low) / (high - low)) * wide
        y = (each.quality - ends[1]) / (ends[0] - ends[1]) * tall
        spots.append((y, x, each, colour))
        # A name may cover the rim of a bubble, but not its middle.
        taken.append(labels.around(x, y, each.diameter / 100, each.diameter / 100))
    room = labels.Box(0.02, wide + 0.2, -0.1, tall - 0.02)
    for y, x, each, colour in sorted(spots, key=lambda spot: spot[:2]):
        box = labels.beside(x, y, each.diameter / 144, short[each.name], taken, room, scale())
        if box is None:
            continue
        taken.append(box)
        (across, down) = box.middle
        where: dict[str, Any] = {"transform": axes.transAxes, "color": colour}
        words: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": points(labels.SIZE), **where}
        line = [x / wide, across / wide], [1 - y / tall, 1 - down / tall]
        if not box.overlaps(labels.around(x, y, each.diameter / 72 + 0.2, each.diameter / 72 + 0.2)):
            axes.plot(*line, linewidth=0.4, alpha=0.7, zorder=1, **where)
        axes.text(line[0][1], line[1][1], short[each.name], **words)


def _across(axes: Axes, low: float, high: float) -> None:
    """Set up the axis of speeds."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(NullLocator())
    places = log_ticks.rates(low, high)
    axes.set_xticks([place for place, _ in places], [text for _, text in places])
    axes.grid(color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)


def numbers(found: list[Bubble]) -> dict[str, str]:
    """Return a number for each bubble, the slowest first."""
    return {each.name: str(i) for i, each in enumerate(sorted(found, key=lambda each: each.speed), 1)}


def listed(found: list[Bubble], numbered: Mapping[str, str], short: Mapping[str, str]) -> list[Line2D]:
    """Return the entries of a list of names, in the order of their numbers."""
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4 * scale()}
    ordered = sorted(found, key=lambda each: int(numbered[each.name]))
    told = [(each, short[each.name].replace("\n ", "")) for each in ordered]
    return [
        Line2D([], [], color=COLOUR[each.family], label=f"{numbered[each.name]} {name}", **dots) for each, name in told
    ]


_DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": "white"}


def families(shown: Set[str]) -> list[Line2D]:
    """Return a dot in the colour of each family."""
    found = [(family, colour) for family, colour in COLOUR.items() if family in shown]
    return [Line2D([], [], color=colour, label=family, markersize=8 * scale(), **_DOTS) for family, colour in found]


def sizes(most: float, largest: float) -> list[Line2D]:
    """Return bubbles of three sizes."""
    found = [(units.size(count), diameter(count, most, largest)) for count in (most, most / 4, most / 16)]
    return [Line2D([], [], color="#bbbbbb", label=words, markersize=size, **_DOTS) for words, size in found]


def finish(
    figure: Figure,
    first: Axes,
    handles: tuple[list[Line2D], list[Line2D]],
    keys: list[tuple[Axes, fixed.Key]] | None,
) -> None:
    """Draw the legends of families and sizes beside the first panel; in a figure of a width below, after `keys`."""
    if keys is not None:
        fixed.below(figure, keys)
        fixed.legend(figure, [*handles[0], *handles[1]])
        return
    first.add_artist(first.legend(handles=handles[0], loc="upper left", bbox_to_anchor=(1.06, 1.0)))
    options: dict[str, Any] = {"title": "peak memory", "labelspacing": 1.6, "handletextpad": 1.6, "borderpad": 1.2}
    first.legend(handles=handles[1], loc="lower left", bbox_to_anchor=(1.04, 0.0), alignment="left", **options)
