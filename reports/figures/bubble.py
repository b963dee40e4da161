"""Figure of many mechanisms as Long Range Arena draws them: speed across, closeness up, memory as bubbles."""

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.data.run import Results, Run
from attnbench.reports.data.settings import names, without_floor
from attnbench.reports.data.values import floats
from attnbench.reports.drawing import families, labels, log_ticks, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, COLOURS, GUIDE_COLOUR
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


def draw(run: Run) -> Figure:
    """Draw a panel for each setting."""
    found = _shown(run)
    short = families.short_names(pd.concat([each.setting.frame for each in found]))
    width = _LEFT + _WIDTH + _LEGEND
    note = f"{panels.context(run)}. Speed at the longest length that a mechanism and its baseline passed."
    above = panels.header_height(note, width)
    height = above + len(found) * (_HEIGHT + _GAP) - _GAP + _BOTTOM
    figure = Figure(figsize=(width, height))
    most = max(float(np.nanmax(floats(_cases(each)["peak_bytes"]))) for each in found)
    for place, results in enumerate(found):
        bottom = height - above - place * (_HEIGHT + _GAP) - _HEIGHT
        axes = figure.add_axes((_LEFT / width, bottom / height, _WIDTH / width, _HEIGHT / height))
        axes.set_title(f"{results.setting.title}, N = {results.compared_at}", loc="left")
        _panel(axes, _bubbles(_cases(results), most), short)
        if place == 0:
            _legend(axes, most, set(run.frame["family"]) - {FLOOR})
    panels.header(figure, "Speed, closeness to full attention, and memory", note)
    return figure


def _shown(run: Run) -> list[Results]:
    """Return the settings to draw. One mechanism with many parameters has its own figures, over keys per query."""
    return [each for each in run.results if each.errors["variant"].nunique() >= _FEWEST]


def _cases(results: Results) -> pd.DataFrame:
    """Return the cases of a setting that are drawn."""
    frame = without_floor(results.setting.frame)
    return frame[(frame["seq_len"] == results.compared_at) & (floats(frame["peak_bytes"]) > 0)]


def _bubbles(frame: pd.DataFrame, most: float) -> list[_Bubble]:
    """Return the bubbles of a panel, the largest first; their areas are as their peaks."""
    peaks = floats(frame["peak_bytes"])
    told = zip(names(frame), frame["family"], frame["tokens_per_s"], frame["error_vs_full"], peaks, strict=True)
    found = [_Bubble(name, family, speed, error, _diameter(peak, most)) for name, family, speed, error, peak in told]
    return sorted(found, key=lambda each: -each.diameter)


def _diameter(count: float, most: float) -> float:
    """Return the diameter of a bubble in points."""
    return float(_LARGEST * np.sqrt(count / most))


def _panel(axes: Axes, found: list[_Bubble], short: dict[str, str]) -> None:
    """Draw the bubbles of one setting, then their names where there is room."""
    low, high = panels.reach(np.array([each.tokens_per_s for each in found]))
    _axes(axes, float(np.exp(low)), float(np.exp(high)), unknown=any(np.isnan(each.error) for each in found))
    taken, spots = [], []
    for each in found:
        error = _BELOW if np.isnan(each.error) else min(each.error, _LOWEST)
        colour = _COLOURS[each.family]
        look: dict[str, Any] = {"color": colour, "markersize": each.diameter, "markeredgecolor": "white"}
        axes.plot([each.tokens_per_s], [error], "o", alpha=0.75, markeredgewidth=0.6, clip_on=False, **look)
        x = float((np.log(each.tokens_per_s) - low) / (high - low)) * _WIDTH
        y = (error - _TOP) / (_FLOOR - _TOP) * _HEIGHT
        spots.append((y, x, each, colour))
        # A name may cover the rim of a bubble, but not its middle.
        taken.append(labels.around(x, y, each.diameter / 100, each.diameter / 100))
    room = labels.Box(0.02, _WIDTH + 0.2, -0.1, _HEIGHT - 0.02)
    for y, x, each, colour in sorted(spots, key=lambda spot: spot[:2]):
        box = labels.beside(x, y, each.diameter / 144, short[each.name], taken, room)
        if box is None:
            continue
        taken.append(box)
        (across, down) = box.middle
        where: dict[str, Any] = {"transform": axes.transAxes, "color": colour}
        ends = [x / _WIDTH, across / _WIDTH], [1 - y / _HEIGHT, 1 - down / _HEIGHT]
        if not box.overlaps(labels.around(x, y, each.diameter / 72 + 0.2, each.diameter / 72 + 0.2)):
            axes.plot(*ends, linewidth=0.4, alpha=0.7, zorder=1, **where)
        axes.text(ends[0][1], ends[1][1], short[each.name], ha="center", va="center", fontsize=labels.SIZE, **where)


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


def _legend(axes: Axes, most: float, families: Iterable[str]) -> None:
    """Draw the colours of families, and bubbles of three sizes."""
    shown = set(families)
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": "white"}
    handles = [
        Line2D([], [], color=colour, label=family, markersize=8, **dots)
        for family, colour in _COLOURS.items()
        if family in shown
    ]
    axes.add_artist(axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.06, 1.0)))
    handles = [
        Line2D([], [], color="#bbbbbb", label=units.size(count), markersize=_diameter(count, most), **dots)
        for count in (most, most / 4, most / 16)
    ]
    sizes: dict[str, Any] = {"title": "peak memory", "labelspacing": 1.6, "handletextpad": 1.6, "borderpad": 1.2}
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(1.04, 0.0), alignment="left", **sizes)
