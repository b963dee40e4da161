"""Figure of the keys that each query sees: a thumbnail of each pattern."""

import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from attnbench.reports.drawing import fixed, panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, NOTE_COLOUR, colours, points, scale
from attnbench.reports.findings.run import Run

_SIDE, _GAP_X, _GAP_Y, _EDGE, _HEADER = 1.5, 0.35, 0.55, 0.45, 0.95
_MOST_COLUMNS = 5
_MOST = 100
_TITLE = "Which keys each query sees"
_UNSEEN = "#f0f0f0"

PLACE = 80
READING = (
    "A coloured cell is a key that the query of its row sees. Where the sequence is long, a cell stands "
    "for several pairs and is coloured where any is allowed."
)


def applies(run: Run) -> bool:
    """Return true for every run: one without patterns gets a figure that says so."""
    del run
    return True


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw a grid of thumbnails, queries down and keys across."""
    every = run.meta["patterns"]
    told = every[:_MOST]
    if not told:
        return panels.blank(_TITLE, str(run.meta["name"]), "The run holds no patterns.", width)
    more = f" {len(every) - _MOST} more are left out." if len(every) > _MOST else ""
    figure, places, side = _stacked(told, width) if width else _free(len(told))
    panels.header(figure, _TITLE, " ".join([_note(told) + more, *_not_drawn(run)]))
    colour_of = colours(run.frame)
    for i, (each, axes) in enumerate(zip(told, places, strict=True)):
        shades = ListedColormap([_UNSEEN, colour_of.get(each["label"], BASELINE_COLOUR)])
        axes.imshow(thumbnail(each), cmap=shades, vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        title = "\n".join(textwrap.wrap(each["label"], 26, break_long_words=False))
        axes.set_title(fixed.fitted(each["label"], side, 7) if width else title, **_title())
        if i == 0:
            options: dict[str, Any] = {"fontsize": points(7), "color": NOTE_COLOUR, "labelpad": 2}
            axes.set_xlabel("keys →", loc="left", **options)
            axes.set_ylabel("← queries", loc="top", **options)
    return figure


def _title() -> dict[str, Any]:
    return {"fontsize": points(7), "fontweight": "normal", "pad": 4}


def _free(count: int) -> tuple[Figure, list[Axes], float]:
    """Create a figure that is as large as its pictures need, and return it with their axes and width."""
    rows = -(-count // _MOST_COLUMNS)
    columns = -(-count // rows)
    width = max(2 * _EDGE + columns * _SIDE + (columns - 1) * _GAP_X, 5.0)
    height = _HEADER + rows * _SIDE + (rows - 1) * _GAP_Y + _EDGE
    figure = Figure(figsize=(width, height))
    places = []
    for i in range(count):
        row, column = divmod(i, columns)
        left = _EDGE + column * (_SIDE + _GAP_X)
        bottom = height - _HEADER - (row + 1) * _SIDE - row * _GAP_Y
        places.append(figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height)))
    return figure, places, _SIDE


def _stacked(told: list[dict[str, Any]], width: float) -> tuple[Figure, list[Axes], float]:
    """Create a figure of a width, and return it with the axes of its pictures and their width."""
    columns = max(int(width / (_SIDE * scale())), 1)
    side = width / columns - 0.2
    lines = max(1 + fixed.fitted(each["label"], side, 7).count("\n") for each in told)
    figure, spec = fixed.grid(width, [side + (0.4 + 0.14 * lines) * scale()] * -(-len(told) // columns), columns)
    return figure, [figure.add_subplot(spec[divmod(i, columns)]) for i in range(len(told))], side


def thumbnail(pattern: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the picture `[n, n]` of a pattern of `run.json`. A cell is set if any of its pairs is allowed."""
    packed = np.array([np.frombuffer(bytes.fromhex(row), np.uint8) for row in pattern["rows"]])
    return np.unpackbits(packed, axis=1, count=pattern["n"]).astype(np.bool_)


def _not_drawn(run: Run) -> list[str]:
    """Return how many mechanisms of the run have no picture, mostly because they have no pattern."""
    count = len({*run.frame["label"]} - {each["label"] for each in run.meta["patterns"]})
    return [f"Not drawn: {count} without a pattern."] if count else []


def _note(told: list[dict[str, Any]]) -> str:
    """Return a note with the length drawn."""
    lengths = " or ".join(str(n) for n in sorted({each.get("seq_len", each["n"]) for each in told}))
    return f"Queries down, keys across, N = {lengths}."
