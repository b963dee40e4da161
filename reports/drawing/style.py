"""Colours, markers and lines of series, the same in every figure of a run."""

from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
import seaborn as sns

from attnbench.reports.data.settings import SERIES

BASELINE_COLOUR = "#262626"
NOTE_COLOUR = "#666666"
GUIDE_COLOUR = "#9a9a9a"

Line = str | tuple[int, tuple[int, ...]]
"""A line style of matplotlib: a name, or an offset and dash lengths. `--` is reserved for the bound."""

COLOURS = tuple(sns.color_palette("colorblind").as_hex()[i] for i in (0, 1, 2, 3, 4, 9, 5, 6))
"""Colours that colour-blind people can distinguish, without yellow and grey, which are too faint on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">")
LINES: tuple[Line, ...] = ("-", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
FILLS = ("full", "none", "left", "right", "top", "bottom")
_THICKEST, _THINNEST = 2.1, 1.2

_LETTERS = 8
"""Points of the letters of `STYLE`."""
STYLE: dict[str, Any] = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": ["DejaVu Sans"],
    "font.size": _LETTERS,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#444444",
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "attnbench",
}
"""Settings of matplotlib that apply while a figure is drawn."""


def scale() -> float:
    """Return how much larger letters and lines are than those of a report."""
    return float(mpl.rcParams["font.size"]) / _LETTERS


def points(size: float) -> float:
    """Return the points of letters that have this size in a report."""
    return size * scale()


class Look(NamedTuple):
    """Look of a series. Colour and marker show the mechanism, line and marker fill the implementation."""

    colour: str
    marker: str
    line: Line
    fill: str
    width: float
    """Points. Later series are thinner and drawn over earlier ones, so that equal lines are all visible."""

    def options(self) -> dict[str, Any]:
        """Return the look as matplotlib's options for a line."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.line,
            "fillstyle": self.fill,
            "linewidth": self.width * scale(),
            "markersize": (2.2 + 1.6 * self.width) * scale(),
            "markerfacecoloralt": "white",
        }


def looks(frame: pd.DataFrame) -> dict[str, Look]:
    """Return the look of each series `label/implementation`, in the frame's order.

    The baseline's label is dark. In a label, the implementation of the baseline, else the first, is solid and filled.
    """
    labels = list(frame["label"].unique())
    baselines = set(frame["baseline"])
    names = list(frame[list(SERIES)].drop_duplicates().itertuples(index=False, name=None))
    dark = {label for label, implementation in names if f"{label}/{implementation}" in baselines}
    coloured = [label for label in labels if label not in dark]
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(coloured)}
    found = {}
    for i, (label, implementation) in enumerate(names):
        mine = [f"{label}/{name}" for other, name in names if other == label]
        rank = sorted(mine, key=lambda name: name not in baselines).index(f"{label}/{implementation}")
        found[f"{label}/{implementation}"] = Look(
            colours.get(label, BASELINE_COLOUR),
            MARKERS[labels.index(label) % len(MARKERS)],
            LINES[rank % len(LINES)],
            FILLS[rank % len(FILLS)],
            _THICKEST - (_THICKEST - _THINNEST) * i / max(len(names) - 1, 1),
        )
    return found


def colours(frame: pd.DataFrame) -> dict[str, str]:
    """Return the colour of each label."""
    return {name.rpartition("/")[0]: look.colour for name, look in looks(frame).items()}
