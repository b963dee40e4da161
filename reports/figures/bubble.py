"""Figure of many mechanisms as Long Range Arena draws them: speed across, closeness up, memory as bubbles."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.data.settings import names, without_floor
from attnbench.reports.data.values import floats
from attnbench.reports.drawing import families, fixed, labels, log_ticks, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, COLOURS, GUIDE_COLOUR, points, scale
from attnbench.reports.findings.run import Results, Run
from attnbench.reports.text import units
from attnbench.variants import FLOOR, Family

PLACE = 35
READING = (
    "Right is faster, up is closer to full attention, and a smaller bubble needs less memory. At an error of 1 a "
    "mechanism gives nothing of full attention. Larger errors are drawn a little below, mechanisms without one at none."
)
_FEWEST = 9
"""The fewest mechanisms with an error against full attention; the table serves fewer."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _GAP, _LEGEND = 7.0, 4.2, 0.8, 0.55, 0.95, 1.7
_LARGEST = 30.0
"""Points of the diameter of the largest bubble."""
_SMALL, _SMALLER = 3.0, 18.0
"""Inches of a panel's height, and points of the largest bubble, in a figure of a width."""
_TOP, _LOWEST, _BELOW, _FLOOR = -0.1, 1.1, 1.22, 1.3
"""Errors at the ends of the axis; larger errors are drawn at the second, mechanisms without one at the third."""
_COLOURS = dict(zip(get_args(Family), (BASELINE_COLOUR, *COLOURS), strict=False))


class _Bubble(NamedTuple):
    """A bubble: its name, speed, error and diameter in points."""

    name: str
    family: str
    tokens_per_s: float
    error: float
    diameter: float


def applies(run: Run) -> bool:
    """Check whether many mechanisms of some setting have an error against full attention."""
    return bool(_shown(run))


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw a panel for each setting. In a figure of a width, bubbles have numbers, and a list has the names."""
    found = _shown(run)
    short = families.short_names(pd.concat([each.setting.frame for each in found]))
    note = f"{panels.context(run)}. Speed at the longest length that a mechanism and its baseline passed."
    size = (
        _Size(fixed.axes_width(width, 1), 3.0, _LARGEST * 0.6 * scale()) if width else _Size(_WIDTH, _HEIGHT, _LARGEST)
    )
    figure, places = _stacked(len(found), size, width) if width else _free(len(found), note)
    most = max(float(np.nanmax(floats(_cases(each)["peak_bytes"]))) for each in found)
    keys = []
    for results, axes in zip(found, places, strict=True):
        words = f"{results.setting.title}, N = {results.compared_at}"
        axes.set_title(fixed.title(words, size.wide) if width else words, loc="left")
        bubbles = _bubbles(_cases(results), most, size.largest)
        numbers = {each.name: str(i) for i, each in enumerate(sorted(bubbles, key=lambda each: each.tokens_per_s), 1)}
        _panel(axes, bubbles, numbers if width else short, size)
        if width:
            keys.append((axes, fixed.arranged(_named(bubbles, numbers, short), size.wide, labels.SIZE)))
    handles = _families(set(run.frame["family"]) - {FLOOR}), _sizes(most, size.largest)
    if width:
        fixed.below(figure, keys)
        fixed.legend(figure, [*handles[0], *handles[1]])
    else:
        _legends(places[0], *handles)
    panels.header(figure, "Speed, closeness to full attention, and memory", note)
    return figure


class _Size(NamedTuple):
    """Inches of a panel, and points of the largest bubble."""

    wide: float
    tall: float
    largest: float


def _free(count: int, note: str) -> tuple[Figure, list[Axes]]:
    """Create a figure that is as large as its panels need."""
    width = _LEFT + _WIDTH + _LEGEND
    above = panels.header_height(note, width)
    height = above + count * (_HEIGHT + _GAP) - _GAP + _BOTTOM
    figure = Figure(figsize=(width, height))
    bottoms = [height - above - place * (_HEIGHT + _GAP) - _HEIGHT for place in range(count)]
    boxes = [(_LEFT / width, bottom / height, _WIDTH / width, _HEIGHT / height) for bottom in bottoms]
    return figure, [figure.add_axes(box) for box in boxes]


def _stacked(count: int, size: _Size, width: float) -> tuple[Figure, list[Axes]]:
    """Create a figure of a width."""
    figure, spec = fixed.grid(width, [fixed.row(size.tall)] * count)
    return figure, [figure.add_subplot(spec[i]) for i in range(count)]


def _named(found: list[_Bubble], numbers: Mapping[str, str], short: Mapping[str, str]) -> list[Line2D]:
    """Return the entries of a list of names, in the order of their numbers."""
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4 * scale()}
    ordered = sorted(found, key=lambda each: int(numbers[each.name]))
    told = [(each, short[each.name].replace("\n ", "")) for each in ordered]
    return [
        Line2D([], [], color=_COLOURS[each.family], label=f"{numbers[each.name]} {name}", **dots) for each, name in told
    ]


def _shown(run: Run) -> list[Results]:
    """Return the settings to draw. One mechanism with many parameters has its own figures, over keys per query."""
    return [each for each in run.results if each.errors["variant"].nunique() >= _FEWEST]


def _cases(results: Results) -> pd.DataFrame:
    """Return the cases of a setting that are drawn."""
    frame = without_floor(results.setting.frame)
    return frame[(frame["seq_len"] == results.compared_at) & (floats(frame["peak_bytes"]) > 0)]


def _bubbles(frame: pd.DataFrame, most: float, largest: float) -> list[_Bubble]:
    """Return the bubbles of a panel, the largest first; their areas are as their peaks."""
    peaks = floats(frame["peak_bytes"])
    told = zip(names(frame), frame["family"], frame["tokens_per_s"], frame["error_vs_full"], peaks, strict=True)
    found = [
        _Bubble(name, family, speed, error, _diameter(peak, most, largest)) for name, family, speed, error, peak in told
    ]
    return sorted(found, key=lambda each: -each.diameter)


def _diameter(count: float, most: float, largest: float) -> float:
    """Return the diameter of a bubble in points."""
    return float(largest * np.sqrt(count / most))


def _panel(axes: Axes, found: list[_Bubble], short: Mapping[str, str], size: _Size) -> None:
    """Draw the bubbles of one setting, then their names where there is room."""
    wide, tall = size.wide, size.tall
    low, high = panels.reach(np.array([each.tokens_per_s for each in found]))
    _axes(axes, float(np.exp(low)), float(np.exp(high)), unknown=any(np.isnan(each.error) for each in found))
    taken, spots = [], []
    for each in found:
        error = _BELOW if np.isnan(each.error) else min(each.error, _LOWEST)
        colour = _COLOURS[each.family]
        look: dict[str, Any] = {"color": colour, "markersize": each.diameter, "markeredgecolor": "white"}
        axes.plot([each.tokens_per_s], [error], "o", alpha=0.75, markeredgewidth=0.6, clip_on=False, **look)
        x = float((np.log(each.tokens_per_s) - low) / (high - low)) * wide
        y = (error - _TOP) / (_FLOOR - _TOP) * tall
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
        ends = [x / wide, across / wide], [1 - y / tall, 1 - down / tall]
        if not box.overlaps(labels.around(x, y, each.diameter / 72 + 0.2, each.diameter / 72 + 0.2)):
            axes.plot(*ends, linewidth=0.4, alpha=0.7, zorder=1, **where)
        axes.text(ends[0][1], ends[1][1], short[each.name], **words)


def _axes(axes: Axes, low: float, high: float, *, unknown: bool) -> None:
    """Set up the axes of a panel; with `unknown`, some mechanisms have no error."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(_FLOOR, _TOP)
    axes.xaxis.set_minor_locator(NullLocator())
    places = log_ticks.rates(low, high)
    axes.set_xticks([place for place, _ in places], [text for _, text in places])
    axes.set_xlabel("tokens per second")
    rows = [(each, f"{each:g}") for each in (0.0, 0.25, 0.5, 0.75, 1.0)] + ([(_BELOW, "none")] if unknown else [])
    axes.set_yticks([place for place, _ in rows], [text for _, text in rows])
    axes.set_ylabel("error against full attention")
    axes.axhline(1, color=GUIDE_COLOUR, linewidth=0.8, linestyle=":", zorder=0)
    axes.grid(color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)


_DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": "white"}


def _families(shown: Set[str]) -> list[Line2D]:
    """Return a dot in the colour of each family."""
    found = [(family, colour) for family, colour in _COLOURS.items() if family in shown]
    return [Line2D([], [], color=colour, label=family, markersize=8 * scale(), **_DOTS) for family, colour in found]


def _sizes(most: float, largest: float) -> list[Line2D]:
    """Return bubbles of three sizes."""
    found = [(units.size(count), _diameter(count, most, largest)) for count in (most, most / 4, most / 16)]
    return [Line2D([], [], color="#bbbbbb", label=words, markersize=size, **_DOTS) for words, size in found]


def _legends(axes: Axes, shown: list[Line2D], sizes: list[Line2D]) -> None:
    """Draw the colours of families, and the sizes."""
    axes.add_artist(axes.legend(handles=shown, loc="upper left", bbox_to_anchor=(1.06, 1.0)))
    options: dict[str, Any] = {"title": "peak memory", "labelspacing": 1.6, "handletextpad": 1.6, "borderpad": 1.2}
    axes.legend(handles=sizes, loc="lower left", bbox_to_anchor=(1.04, 0.0), alignment="left", **options)
