"""Strip at the top of each panel with the cases that did not pass: a row per series, a status per length."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from attnbench.reports.data.settings import Setting, attempted
from attnbench.reports.drawing import fixed
from attnbench.reports.drawing.style import points, scale
from attnbench.reports.text import cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.reports.drawing.panels import Panel, Sheet

_ROW, _SIZE = 0.15, 6.5
"""Inches of a row, and points of its letters."""


def failing(setting: Setting) -> list[tuple[str, pd.DataFrame]]:
    """Return the series of a setting with cases that did not pass, and these cases."""
    found = [(name, part[part["status"] != "passed"]) for name, part in attempted(setting.frame)]
    return [(name, part) for name, part in found if len(part)]


def height(failures: int) -> float:
    """Return the inches of a strip for this many series with cases that did not pass."""
    return (failures * _ROW + 0.05) * scale() if failures else 0.0


def middle(drawn: "Sheet", row: int) -> float:
    """Return the place of a row of the strip, as a share of the height of a panel."""
    return 1 - drawn.strip * (row + 0.6) / (drawn.strip_rows + 0.2)


def mark_failures(drawn: "Sheet") -> list[Line2D]:
    """Write the status of cases that did not pass, and return entries of a legend that explain it.

    Where words would overlap, a status is its first letter, and the legend has the words.
    """
    short = any(_crowded(each, drawn.axes_width) for each in drawn.panels)
    told = set()
    for setting, axes in drawn.panels:
        if drawn.strip:
            strip = Rectangle((0, 1 - drawn.strip), 1, drawn.strip, transform=axes.transAxes, color="#f2f2f2", zorder=0)
            axes.add_patch(strip)
        for row, (name, part) in enumerate(failing(setting)):
            look = drawn.looks[name]
            options = {**look.options(), "linestyle": "none", "markersize": 3.5 * scale(), "transform": axes.transAxes}
            axes.plot([0.02], [middle(drawn, row)], clip_on=False, **options)
            _write(axes, part, middle(drawn, row), look.colour, short=short)
            told.update(part["status"])
    words = {status: text for status, text in cells.SHORT.items() if status in told and short}
    return [Line2D([], [], linestyle="none", label=f"{text[0]}: {text}") for text in words.values()]


def _write(axes: "Axes", part: pd.DataFrame, y: float, colour: str, *, short: bool) -> None:
    """Write the statuses of a series."""
    options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": points(_SIZE), "color": colour}
    for n, status in zip(part["seq_len"], part["status"], strict=True):
        text = cells.SHORT[status][0] if short else cells.SHORT[status]
        axes.text(n, y, text, transform=axes.get_xaxis_transform(), **options)


def _crowded(panel: "Panel", inches: float) -> bool:
    """Check whether the statuses of some series of a panel would overlap."""
    low, high = np.log(panel.axes.get_xlim())
    for _, part in failing(panel.setting):
        places = (np.log(part["seq_len"].to_numpy(np.float64)) - low) / (high - low) * inches
        wide = np.array([fixed.wide(cells.SHORT[status], _SIZE) for status in part["status"]])
        if (np.diff(places) < (wide[1:] + wide[:-1]) / 2 + 0.04).any():
            return True
    return False
