"""Figure of the time of each operator within one call, as stacked bars."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from attnbench.reports.data.profiles import REST, Profiled, largest, short, summed
from attnbench.reports.data.settings import Setting
from attnbench.reports.drawing import fixed, panels
from attnbench.reports.drawing.style import COLOURS, NOTE_COLOUR, points, scale
from attnbench.reports.findings.run import Run
from attnbench.reports.text import units
from attnbench.suites.profile import OUTSIDE, Profile

MOST_OPERATORS = 8
MOST_BARS = 48
"""The most bars of a panel. If there are more, lengths are thinned and the longest stays."""
_REST_COLOUR, _OUTSIDE_COLOUR = "#a8a8a8", "#e2e2e2"
_WIDTH, _BAR, _NAME = 3.4, 0.14, 0.2
_LEFT, _RIGHT, _LEGEND, _HEADER, _GAP_Y, _BOTTOM = 0.55, 0.75, 3.5, 0.95, 0.75, 0.5


PLACE = 90
READING = ""


def applies(run: Run) -> bool:
    """Check whether the run was profiled."""
    return bool(run.profiles)


class _Row(NamedTuple):
    """Bar, or name of a series above its bars."""

    name: str
    profile: Profile | None
    y: float
    """Inches from the top."""


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw the share of each operator: one bar per case, one group of bars per series, one panel per setting."""
    title = "Where the time of one call goes"
    found, more = panels.fitting(run.settings)
    kept = {each.row for each in found}
    sheets = [(each.setting, _rows(each)) for each in run.profiled if each.series and each.setting.row in kept]
    if not sheets:
        return panels.blank(title, panels.context(run), "Nothing to draw: no case was profiled.", width)
    heights: dict[int, float] = {}
    for each, rows in sheets:
        heights[each.row] = max(heights.get(each.row, 0.0), rows[-1].y + _BAR)
    figure, places = _stacked(sheets, heights, width) if width else _beside(sheets, heights)
    top = largest([row.profile for _, rows in sheets for row in rows if row.profile], MOST_OPERATORS)
    colour_of = dict(zip(top, COLOURS, strict=False)) | {REST: _REST_COLOUR, OUTSIDE: _OUTSIDE_COLOUR}
    for (each, rows), axes in zip(sheets, places, strict=True):
        axes.set_title(fixed.title(each.title, width / 2) if width else each.title, loc="left")
        _draw_bars(axes, rows, heights[each.row], colour_of)
    note = f"{panels.context(run)}. Shares of {_what(run.profiles)} within recorded calls; at the right the time of "
    panels.header(figure, title, note + f"one such call, which recording has slowed: not a result.{more}")
    handles = [Patch(color=colour, label=short(name)) for name, colour in colour_of.items()]
    if width:
        fixed.legend(figure, handles)
        return figure
    wide, tall = figure.get_size_inches()
    at = (1 - (_LEGEND - 0.1) / wide, 1 - (_HEADER - 0.1) / tall)
    options: dict[str, Any] = {"handlelength": 1.0, "handleheight": 1.0, "fontsize": points(7.5)}
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=at, **options)
    return figure


def _beside(sheets: list[tuple[Setting, list[_Row]]], heights: Mapping[int, float]) -> tuple[Figure, list[Axes]]:
    """Create a figure that is as large as its panels need."""
    columns = 1 + max(each.column for each, _ in sheets)
    width = columns * (_LEFT + _WIDTH + _RIGHT) + _LEGEND
    height = _HEADER + sum(heights.values()) + _GAP_Y * (len(heights) - 1) + _BOTTOM
    figure, places = Figure(figsize=(width, height)), []
    tops = {row: _HEADER + sum(heights[above] + _GAP_Y for above in heights if above < row) for row in heights}
    for each, _ in sheets:
        left = each.column * (_LEFT + _WIDTH + _RIGHT) + _LEFT
        bottom = height - tops[each.row] - heights[each.row]
        places.append(figure.add_axes((left / width, bottom / height, _WIDTH / width, heights[each.row] / height)))
    return figure, places


def _stacked(
    sheets: list[tuple[Setting, list[_Row]]], heights: Mapping[int, float], width: float
) -> tuple[Figure, list[Axes]]:
    """Create a figure of a width with the panels below each other."""
    tall = [(heights[each.row] + fixed.DECORATION) * scale() for each, _ in sheets]
    figure, spec = fixed.grid(width, tall)
    return figure, [figure.add_subplot(spec[i]) for i in range(len(tall))]


def _draw_bars(axes: Axes, rows: list[_Row], height: float, colour_of: Mapping[str, str]) -> None:
    """Draw the bars of one panel, with y in inches from its top."""
    for row in rows:
        if row.profile is None:
            axes.text(0, row.y, row.name, fontsize=points(7.5), va="center")
            continue
        start = 0.0
        for name, part in summed(row.profile, list(colour_of)).items():
            axes.barh(row.y, part, _BAR * 0.82, left=start, color=colour_of[name], edgecolor="white", linewidth=0.3)
            start += part
        axes.text(1.015, row.y, units.time(row.profile.total_ns), fontsize=points(7), va="center", color=NOTE_COLOUR)
    placed = [row for row in rows if row.profile]
    axes.set_yticks([row.y for row in placed], [row.name for row in placed], fontsize=points(7))
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_ylim(height, 0)
    axes.set_xlim(0, 1)
    axes.spines["left"].set_visible(False)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("share of the call")
    axes.text(-0.015, rows[0].y, "N", fontsize=points(7), ha="right", va="center", color=NOTE_COLOUR)


def _rows(profiled: Profiled) -> list[_Row]:
    """Return the bars of a setting from top to bottom."""
    found = profiled.series
    lengths = sorted({n for _, cases in found for n in cases})
    step = -(-len(lengths) * len(found) // MOST_BARS)
    kept = set(lengths[::-1][::step])
    rows: list[_Row] = []
    y = 0.0
    for name, cases in found:
        y += _NAME
        rows.append(_Row(name, None, y - _BAR / 2))
        for n, profile in cases.items():
            if n in kept:
                rows.append(_Row(units.length(n), profile, y + _BAR / 2))
                y += _BAR
    return rows


def _what(profiles: Mapping[str, Profile]) -> str:
    """Return which time is shown."""
    kinds = {each.on_cuda for each in profiles.values() if each.operators}
    return "CPU time, on cuda of CUDA time," if len(kinds) > 1 else "CUDA time" if True in kinds else "CPU time"
