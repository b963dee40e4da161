"""X axes of panels: the sequence length with guides for N and N^2, or keys per query with the density."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.data.settings import Setting, attempted
from attnbench.reports.drawing import families, fixed, log_ticks, panels, strip
from attnbench.reports.drawing.style import GUIDE_COLOUR, NOTE_COLOUR, points, scale
from attnbench.reports.findings.run import Run
from attnbench.reports.findings.sweeps import Sweep

_SLOPES_APART = 0.12
"""Inches between the texts of two slopes, at least."""
KEYS = panels.Across("keys", "keys per query", log_ticks.counts)


def over_keys(run: Run, title: str, note: str, width: float | None = None) -> tuple[panels.Sheet, list[set[str]]]:
    """Create panels for the settings with sweeps. Return them with the names of the sweeps of each setting.

    The frame of a panel holds its sweeps, with their `label` and `keys`, and the baseline. There may be more names than
    panels, if some settings do not fit.
    """
    found = [each for each in run.results if each.sweeps]
    shown = [each.setting._replace(frame=_frame(each.sweeps)) for each in found]
    lengths = sorted({sweep.seq_len for each in found for sweep in each.sweeps})
    keys = sorted({float(count) for each in found for sweep in each.sweeps for count in sweep.keys})
    note = f"N = {' or '.join(map(str, lengths))}. {note} Above: the share of all pairs."
    return panels.sheet(run, title, note, KEYS, shown, keys, width), [
        {sweep.name for sweep in each.sweeps} for each in found
    ]


def _frame(sweeps: Sequence[Sweep]) -> pd.DataFrame:
    """Return the cases of some sweeps, and each of their baselines once."""
    baselines = pd.concat([each.baseline for each in sweeps])
    return pd.concat([*(each.frame for each in sweeps), baselines[~baselines.index.duplicated()]])


def by_keys(setting: Setting) -> list[tuple[str, pd.DataFrame]]:
    """Return each sweep of a setting and the baseline, keys ascending."""
    return [(name, part.sort_values("keys")) for name, part in attempted(setting.frame)]


def densities(drawn: panels.Sheet) -> None:
    """Add an axis of densities above each panel."""
    for setting, axes in drawn.panels:
        n = int(setting.frame["seq_len"].iloc[0])
        low, high = (end / n for end in axes.get_xlim())
        above = axes.twiny()
        above.set_xscale("log")
        above.set_xlim(low, high)
        above.xaxis.set_minor_locator(NullLocator())
        places = fixed.apart(log_ticks.densities(low, high), drawn.axes_width / np.log2(high / low))
        above.set_xticks([place for place, _ in places], [text for _, text in places])
        above.tick_params(axis="x", labelsize=points(6.5), colors=NOTE_COLOUR, pad=1)


def lengths(run: Run, title: str, note: str, width: float | None = None) -> panels.Sheet:
    """Create panels over the length: one for each setting, or for each family of its series if these are many."""
    if not families.many(run):
        return panels.sheet(run, title, note, width=width)
    return families.sheet_of_width(run, title, note, width) if width else families.sheet(run, title, note)


def over_lengths(drawn: panels.Sheet, column: str, extra: Iterable[Line2D] = ()) -> Figure:
    """Add failures and the names of the series, and return the figure. Its lines show the column."""
    letters = strip.mark_failures(drawn)
    if drawn.beside:
        families.grey(drawn, column)
    if drawn.beside and drawn.width:
        families.legends(drawn, [*extra, *letters])
    elif drawn.beside:
        families.name_ends(drawn, column)
    else:
        panels.legend(drawn, [*extra, *letters])
    return drawn.figure


def slopes(drawn: panels.Sheet) -> None:
    """Draw thin lines of slope N and N^2 in panels with several lengths, of panels of families in the first column."""
    for setting, axes in drawn.panels:
        if drawn.beside and setting.column:
            continue
        if setting.frame["seq_len"].nunique() > 1 and (setting.frame["status"] == "passed").any():
            _slopes(axes, drawn)


def _slopes(axes: Axes, drawn: panels.Sheet) -> None:
    """Draw thin lines of slope N and N^2 in the upper left corner, where no data lies, unless they would be one."""
    (left, right), (low, high) = np.log(axes.get_xlim()), np.log(axes.get_ylim())
    high = low + (high - low) * (1 - drawn.strip)
    run = min(0.24 * (right - left), 0.22 * (high - low))
    tall = (fixed.TALL if drawn.width else panels.HEIGHT) * run / (high - low)
    if tall < _SLOPES_APART * scale():
        return
    x, y = left + 0.05 * (right - left), high - 0.06 * (high - low) - 2 * run
    options: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": points(7)}
    for power, text in ((1, "∝ N"), (2, "∝ N²")):
        end = np.exp(x + run), np.exp(y + power * run)
        axes.plot([np.exp(x), end[0]], [np.exp(y), end[1]], color=GUIDE_COLOUR, linewidth=0.8, zorder=1)
        axes.annotate(text, end, (3, 0), color=GUIDE_COLOUR, **options)
