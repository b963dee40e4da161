"""Figures of a comparison: the ratio of each case with its interval, and the times of two runs in one plot."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.compare.cells import title
from attnbench.reports.compare.comparison import Comparison, Ratio
from attnbench.reports.data.settings import attempted
from attnbench.reports.decision.rule import Verdict
from attnbench.reports.drawing import log_ticks, panels, strip
from attnbench.reports.drawing.style import BASELINE_COLOUR, GUIDE_COLOUR, NOTE_COLOUR
from attnbench.reports.findings.run import Run
from attnbench.reports.text import units

MOST = 60
"""The most cases that are drawn, the worst first."""
_ROUND = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
_COLOURS = {
    Verdict.REGRESSED: "#d55e00",
    Verdict.UNSTABLE: "#cc78bc",
    Verdict.INCONCLUSIVE: GUIDE_COLOUR,
    Verdict.IMPROVED: "#029e73",
    Verdict.UNCHANGED: BASELINE_COLOUR,
}


def ratios(comparison: Comparison) -> Figure:
    """Draw ratios on a logarithmic axis, the worst on top; a band marks the margin of `unchanged`."""
    heading = f"{comparison.ratio[0].upper()}{comparison.ratio[1:]}"
    frame = comparison.worst_first
    drawn = frame[frame["ratio"].notna()].head(MOST)
    margins = comparison.margins[drawn.index].to_numpy(np.float64)
    within = comparison.ratio is Ratio.CASES
    sides = f"Cases of {comparison.b}" if within else f"A: {comparison.a}. B: {comparison.b}"
    band = units.change(margins[0]) if len(set(margins)) == 1 else "the limit of a case"
    note = f"{sides}. Bars: 95 % intervals. Band: {band} either way."
    if not len(drawn):
        return panels.blank(heading, note, "Nothing to draw: no two times were compared.")
    left_out = int(frame["ratio"].notna().sum()) - len(drawn)
    note += f" {left_out} more cases, none worse than these, are left out." if left_out else ""
    height = 1.2 + 0.17 * len(drawn)
    figure = Figure(figsize=(8.6, height))
    axes = figure.add_axes((0.47, 0.45 / height, 0.36, 1 - 1.2 / height))
    places = np.arange(len(drawn))[::-1]
    axes.barh(places, 1 + margins - 1 / (1 + margins), 1, 1 / (1 + margins), color="#f2f2f2", zorder=0)
    axes.axvline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
    for place, (_, row) in zip(places, drawn.iterrows(), strict=True):
        colour = _COLOURS[Verdict(row["verdict"])]
        if not math.isnan(row["low"]):
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.2)
        axes.plot([row["ratio"]], [place], "o", color=colour, markersize=4)
    axes.set_xscale("log")
    axes.set_yticks(list(places), [title(row, comparison.named) for _, row in drawn.iterrows()], fontsize=6.5)
    axes.set_ylim(-0.8, len(drawn) - 0.2)
    ends = drawn[["ratio", "low", "high"]].to_numpy(np.float64)
    reach = max(1.03 * (1 + min(margins.max(), 1)), float(np.nanmax(np.maximum(ends, 1 / ends))) * 1.03)
    axes.set_xlim(1 / reach, reach)
    ticks = _ticks(reach)
    axes.set_xticks(ticks, [f"{each:.2g}" if each < 1 else f"{each:g}" for each in ticks])
    axes.minorticks_off()
    axes.set_xlabel("ratio; right is slower")
    seen = [verdict for verdict in _COLOURS if (drawn["verdict"] == verdict).any()]
    handles = [Line2D([], [], marker="o", markersize=4, color=_COLOURS[each], label=each.value) for each in seen]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0))
    panels.header(figure, heading, note)
    return figure


def _ticks(reach: float) -> list[float]:
    """Return ticks at round ratios, symmetric about 1: the three largest that fit, and 1."""
    upper = [each for each in _ROUND if each <= reach][-3:]
    return [*(1 / each for each in reversed(upper)), 1.0, *upper]


def overlay(comparison: Comparison, after: Run) -> Figure:
    """Draw the times of every case of B, with those of A if it has the same case."""
    note = f"Solid: B ({comparison.b}), with its 95 % band. Dashed: A ({comparison.a})."
    drawn = panels.sheet(after, "Time of one call, before and after", note)
    before: dict[str, Any] = {"linestyle": "--", "linewidth": 0.9, "marker": "x", "markersize": 3.5}
    for setting, axes in drawn.panels:
        for name, part in attempted(setting.frame):
            panels.line(axes, part, panels.LENGTH, panels.TIME, drawn.looks[name])
            axes.plot(part["seq_len"], part["before_ns"], color=drawn.looks[name].colour, **before)
    panels.share_y(drawn, log_ticks.times, *panels.TIME, "before_ns")
    panels.label_y(drawn, "time of one call")
    named = (Line2D([], [], color=NOTE_COLOUR, label="B"), Line2D([], [], color=NOTE_COLOUR, label="A", **before))
    panels.legend(drawn, [*named, *strip.mark_failures(drawn)])
    return drawn.figure
