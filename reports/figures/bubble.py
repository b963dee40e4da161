"""Figure of many mechanisms as Long Range Arena draws them: speed across, closeness up, memory as bubbles."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnbench.reports.data.settings import names, without_floor
from attnbench.reports.data.values import floats
from attnbench.reports.drawing import bubbles, families, fixed, labels, panels
from attnbench.reports.drawing.bubbles import Bubble
from attnbench.reports.drawing.style import GUIDE_COLOUR
from attnbench.reports.findings.run import Results, Run
from attnbench.variants import FLOOR

PLACE = 35
READING = (
    "Right is faster, up is closer to full attention, and a smaller bubble needs less memory. At an error of 1 a "
    "mechanism gives nothing of full attention. Larger errors are drawn a little below, mechanisms without one at none."
)
_FEWEST = 9
"""The fewest mechanisms with an error against full attention; the table serves fewer."""
_TOP, _LOWEST, _BELOW, _FLOOR = -0.1, 1.1, 1.22, 1.3
"""Errors at the ends of the axis; larger errors are drawn at the second, mechanisms without one at the third."""


def applies(run: Run) -> bool:
    """Check whether many mechanisms of some setting have an error against full attention."""
    return bool(_shown(run))


def draw(run: Run, width: float | None = None) -> Figure:
    """Draw a panel for each setting. In a figure of a width, bubbles have numbers, and a list has the names."""
    found, size = _shown(run), bubbles.size(width)
    short = families.short_names(pd.concat([each.setting.frame for each in found]))
    note = f"{panels.context(run)}. Speed at the longest length that a mechanism and its baseline passed."
    figure, places = bubbles.sheet(len(found), note, width)
    most = max(float(np.nanmax(floats(_cases(each)["peak_bytes"]))) for each in found)
    keys = []
    for results, axes in zip(found, places, strict=True):
        words = f"{results.setting.title}, N = {results.compared_at}"
        axes.set_title(fixed.title(words, size.wide) if width else words, loc="left")
        frame = _cases(results)
        shown = _bubbles(frame, most, size.largest)
        numbers = bubbles.numbers(shown)
        bubbles.panel(axes, shown, numbers if width else short, size, (_FLOOR, _TOP))
        _label(axes, unknown=bool(frame["error_vs_full"].isna().any()))
        if width:
            keys.append((axes, fixed.arranged(bubbles.listed(shown, numbers, short), size.wide, labels.SIZE)))
    handles = bubbles.families(set(run.frame["family"]) - {FLOOR}), bubbles.sizes(most, size.largest)
    bubbles.finish(figure, places[0], handles, keys if width else None)
    panels.header(figure, "Speed, closeness to full attention, and memory", note)
    return figure


def _shown(run: Run) -> list[Results]:
    """Return the settings to draw. One mechanism with many parameters has its own figures, over keys per query."""
    return [each for each in run.results if each.errors["variant"].nunique() >= _FEWEST]


def _cases(results: Results) -> pd.DataFrame:
    """Return the cases of a setting that are drawn."""
    frame = without_floor(results.setting.frame)
    return frame[(frame["seq_len"] == results.compared_at) & (floats(frame["peak_bytes"]) > 0)]


def _bubbles(frame: pd.DataFrame, most: float, largest: float) -> list[Bubble]:
    """Return the bubbles of a panel, the largest first; their areas are as their peaks."""
    peaks = floats(frame["peak_bytes"])
    told = zip(names(frame), frame["family"], frame["tokens_per_s"], frame["error_vs_full"], peaks, strict=True)
    found = [
        Bubble(
            name,
            family,
            speed,
            _BELOW if np.isnan(error) else min(error, _LOWEST),
            bubbles.diameter(peak, most, largest),
        )
        for name, family, speed, error, peak in told
    ]
    return sorted(found, key=lambda each: -each.diameter)


def _label(axes: Axes, *, unknown: bool) -> None:
    """Label the axes of a panel; with `unknown`, some mechanisms have no error."""
    axes.set_xlabel("tokens per second")
    rows = [(each, f"{each:g}") for each in (0.0, 0.25, 0.5, 0.75, 1.0)] + ([(_BELOW, "none")] if unknown else [])
    axes.set_yticks([place for place, _ in rows], [text for _, text in rows])
    axes.set_ylabel("error against full attention")
    axes.axhline(1, color=GUIDE_COLOUR, linewidth=0.8, linestyle=":", zorder=0)
