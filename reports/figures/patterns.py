"""Figure of the keys that each query sees: a thumbnail of each pattern."""

import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from attnbench.reports.data.run import Run
from attnbench.reports.drawing import panels
from attnbench.reports.drawing.style import BASELINE_COLOUR, NOTE_COLOUR, colours

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


def draw(run: Run) -> Figure:
    """Draw a grid of thumbnails, queries down and keys across."""
    every = run.meta["patterns"]
    told = every[:_MOST]
    if not told:
        return panels.blank(_TITLE, str(run.meta["name"]), "The run holds no patterns.")
    more = f" {len(every) - _MOST} more are left out." if len(every) > _MOST else ""
    rows = -(-len(told) // _MOST_COLUMNS)
    columns = -(-len(told) // rows)
    width = max(2 * _EDGE + columns * _SIDE + (columns - 1) * _GAP_X, 5.0)
    height = _HEADER + rows * _SIDE + (rows - 1) * _GAP_Y + _EDGE
    figure = Figure(figsize=(width, height))
    panels.header(figure, _TITLE, " ".join([_note(told) + more, *_not_drawn(run)]))
    colour_of = colours(run.frame)
    for i, each in enumerate(told):
        row, column = divmod(i, columns)
        left = _EDGE + column * (_SIDE + _GAP_X)
        bottom = height - _HEADER - (row + 1) * _SIDE - row * _GAP_Y
        axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
        shades = ListedColormap([_UNSEEN, colour_of.get(each["label"], BASELINE_COLOUR)])
        axes.imshow(thumbnail(each), cmap=shades, vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        title = "\n".join(textwrap.wrap(each["label"], 26, break_long_words=False))
        axes.set_title(title, fontsize=7, fontweight="normal", pad=4)
        if i == 0:
            axes.set_xlabel("keys →", fontsize=7, loc="left", color=NOTE_COLOUR, labelpad=2)
            axes.set_ylabel("← queries", fontsize=7, loc="top", color=NOTE_COLOUR, labelpad=2)
    return figure


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
