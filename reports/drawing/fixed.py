"""Layout of figures with a given width: panels in as many columns as fit, the legend below, nothing cut off."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.gridspec import GridSpec
from matplotlib.textpath import TextPath
from matplotlib.transforms import ScaledTranslation

from attnbench.reports.data.settings import Setting
from attnbench.reports.drawing.style import points, scale

TALL, DECORATION = 1.75, 0.75
"""Inches of a panel's height, and of its labels across or down."""
LINE, _PANEL, _HANDLE = 0.17, 2.4, 0.55
"""Inches: a line of a legend, the least width of a panel, and a legend's mark with its gaps."""
_BETWEEN = 0.06
"""Inches between the texts of two ticks, at least."""


def columns(width: float) -> int:
    """Return how many panels fit beside each other."""
    return max(int(width / (_PANEL * scale())), 1)


def row(tall: float = TALL) -> float:
    """Return the inches of a row of panels of this height, with their labels."""
    return tall + DECORATION * scale()


def axes_width(width: float, across: int) -> float:
    """Return about how many inches wide the axes of a panel are, without its labels."""
    return max(width / across - DECORATION * scale(), 0.5)


def placed(found: Sequence[Setting], width: float) -> list[Setting]:
    """Return the settings of a figure, each in the next free place if a row of them is too wide."""
    across = columns(width)
    if all(each.column < across for each in found):
        return list(found)
    return [each._replace(row=i // across, column=i % across) for i, each in enumerate(found)]


def grid(width: float, heights: Sequence[float], across: int = 1) -> tuple[Figure, GridSpec]:
    """Create a figure for rows of panels of these heights in inches, labels included; matplotlib finds the places."""
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    return figure, figure.add_gridspec(len(heights), across, height_ratios=[*heights])


class Key(NamedTuple):
    """Entries of a legend that fit a width."""

    handles: list[Artist]
    columns: int
    inches: float
    """The height."""
    size: float


def arranged(handles: Iterable[Artist], inches: float, size: float = 8) -> Key:
    """Arrange the entries of a legend in as many columns as fit; long names get several lines."""
    kept = list(handles)
    mark = _HANDLE * scale()
    names = [fitted(str(each.get_label()), inches - mark - 0.1, size) for each in kept]
    for each, name in zip(kept, names, strict=True):
        each.set_label(name)
    widest = max((wide(line, size) for name in names for line in name.split("\n")), default=0.0) + mark
    across = max(min(int((inches - 0.1) / widest), len(kept)), 1)
    rows = -(-len(kept) // across)
    tallest = max(sum(1 + name.count("\n") for name in names[i * rows : (i + 1) * rows]) for i in range(across))
    return Key(kept, across, tallest * LINE * scale() * size / 8 + 0.1, size)


def legend(figure: Figure, handles: Iterable[Artist]) -> None:
    """Draw a legend below all panels, and make the figure taller by it."""
    width, height = figure.get_size_inches()
    key = arranged(handles, width)
    if key.handles:
        figure.set_size_inches(width, height + key.inches)
        figure.legend(loc="outside lower left", **_options(key))


def below(figure: Figure, keys: Sequence[tuple[Axes, Key]]) -> None:
    """Draw a legend below each panel, and make all rows of the figure taller by the tallest one."""
    width, height = figure.get_size_inches()
    rows = max(axes.get_subplotspec().rowspan.stop for axes, _ in keys)
    figure.set_size_inches(width, height + rows * (0.1 * scale() + max(key.inches for _, key in keys)))
    down = ScaledTranslation(0.0, -(DECORATION - 0.2) * scale(), figure.dpi_scale_trans)
    for axes, key in keys:
        place: dict[str, Any] = {"bbox_to_anchor": (0.0, 0.0), "bbox_transform": axes.transAxes + down}
        axes.legend(loc="upper left", borderaxespad=0.0, **place, **_options(key))


def _options(key: Key) -> dict[str, Any]:
    told = {"ncols": key.columns, "fontsize": points(key.size), "handlelength": 2.4, "columnspacing": 1.0}
    return {"handles": key.handles, **told}


def fitted(text: str, inches: float, size: float) -> str:
    """Break a text into lines of at most so many inches, after `/`, `(`, `,` or a blank if it has them."""
    lines = [""]
    for part in _parts(text, inches, size):
        if lines[-1] and wide((lines[-1] + part).rstrip(), size) > inches:
            lines.append("")
        lines[-1] += part
    return "\n".join(each.strip() for each in lines)


def title(text: str, inches: float) -> str:
    """Break the title of a panel into lines; its letters are bold, and so a little wider."""
    return fitted(text, inches / 1.2, 9)


def _parts(text: str, inches: float, size: float) -> Iterable[str]:
    """Yield the parts of a text between which a line may end."""
    for part in re.findall(r"[^/(, ]+[/(, ]*|[/(, ]+", text):
        if wide(part.rstrip(), size) <= inches:
            yield part
        else:
            yield from part


def wide(text: str, size: float) -> float:
    """Return the inches of a line of text in letters of a size, which the theme scales."""
    if not text.strip():
        return 0.0
    return float(TextPath((0, 0), text, points(size), FontProperties()).get_extents().width) / 72


def apart(places: Sequence[tuple[float, str]], octave: float) -> list[tuple[float, str]]:
    """Return the ticks of a logarithmic axis whose texts do not overlap, always with the last.

    An octave has so many inches.
    """
    kept: list[tuple[float, str]] = []
    for place, text in reversed(places):
        if not kept or math.log2(kept[-1][0] / place) * octave > _BETWEEN + (wide(text, 8) + wide(kept[-1][1], 8)) / 2:
            kept.append((place, text))
    return kept[::-1]
