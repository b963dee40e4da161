"""Time of one call and speed-up against keys per query, for runs that vary them; above stands the density."""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting, attempted, settings
from attnbench.reports.figures import log_ticks, panels
from attnbench.reports.figures.style import NOTE_COLOUR
from attnbench.reports.summary.sweeps import Sweep, sweeps

ACROSS = panels.Across("keys", "keys per query", log_ticks.counts)
_ABOVE = "Above: the share of all pairs."


class _Swept(NamedTuple):
    """A setting whose frame holds its sweeps, `label` and `keys` being theirs, and their baseline."""

    setting: Setting
    found: list[Sweep]


def swept(run: Run) -> list[Setting]:
    """The settings of a run that have sweeps."""
    return [each for each in settings(run.frame) if sweeps(run, each)]


def time(run: Run) -> Figure:
    """Time of one call; the baseline's as a line across."""
    drawn, shown = _sheet(run, "Time of one call against keys per query", f"Bands: 95 % intervals. {_ABOVE}")
    for (_, axes), (setting, found) in zip(drawn.panels, shown, strict=True):
        own = {each.name for each in found}
        for name, part in _lines(setting):
            look = drawn.looks[name]
            if name in own:
                panels.line(axes, part, ACROSS, panels.TIME, look)
            else:
                middle, low, high = (part[each].iloc[0] for each in panels.TIME)
                axes.axhline(middle, color=look.colour, linewidth=look.width, linestyle=look.line)
                axes.axhspan(low, high, color=look.colour, alpha=panels.BAND, linewidth=0)
    panels.share_y(drawn, log_ticks.times, *panels.TIME)
    panels.label_y(drawn, "time of one call")
    _densities(drawn)
    panels.legend(drawn)
    return drawn.figure


def speedup(run: Run) -> Figure:
    """Speed-up against the baseline, and what the work alone would allow; a note where there is no baseline."""
    if not any(each.baseline for setting in swept(run) for each in sweeps(run, setting)):
        reason = "Nothing to draw: there is no baseline that passed."
        return panels.blank("Speed-up against keys per query", panels.context(run), reason)
    drawn, shown = _sheet(run, "Speed-up against keys per query", f"Dashed: bound by work. {_ABOVE}")
    for (_, axes), (setting, found) in zip(drawn.panels, shown, strict=True):
        axes.axhline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
        own = {each.name for each in found}
        for name, part in _lines(setting):
            if name in own:
                panels.line(axes, part, ACROSS, panels.SPEEDUP, drawn.looks[name])
        bound = setting.frame.sort_values("keys")
        axes.plot(bound["keys"], bound["bound_speedup"], color=NOTE_COLOUR, linestyle="--", linewidth=0.9)
    panels.share_y(drawn, log_ticks.ratios, *panels.SPEEDUP, "bound_speedup")
    panels.label_y(drawn, "speed-up")
    _densities(drawn)
    panels.legend(drawn, [Line2D([], [], color=NOTE_COLOUR, linestyle="--", linewidth=0.9, label="bound by work")])
    return drawn.figure


def _sheet(run: Run, title: str, note: str) -> tuple[panels.Sheet, list[_Swept]]:
    """Panels for the settings that have sweeps."""
    shown = [_shown(run, each) for each in swept(run)]
    lengths = sorted({sweep.seq_len for _, found in shown for sweep in found})
    where = f"N = {' or '.join(map(str, lengths))}."
    return panels.sheet(run, title, f"{where} {note}", ACROSS, [each.setting for each in shown]), shown


def _shown(run: Run, setting: Setting) -> _Swept:
    """A setting as the figures show it."""
    found = sweeps(run, setting)
    parts = [run.frame.loc[each.rows].assign(label=each.label, keys=each.keys) for each in found]
    baselines = {each.baseline_row: each.baseline_keys for each in found if each.baseline}
    parts += [run.frame.loc[[row]].assign(keys=keys) for row, keys in baselines.items()]
    return _Swept(setting._replace(frame=pd.concat(parts)), found)


def _lines(setting: Setting) -> list[tuple[str, pd.DataFrame]]:
    """Each sweep of a setting and the baseline, keys ascending."""
    return [(name, part.sort_values("keys")) for name, part in attempted(setting.frame)]


def _densities(drawn: panels.Sheet) -> None:
    """The density above each panel."""
    for setting, axes in drawn.panels:
        n = int(setting.frame["seq_len"].iloc[0])
        low, high = (end / n for end in axes.get_xlim())
        above = axes.twiny()
        above.set_xscale("log")
        above.set_xlim(low, high)
        above.xaxis.set_minor_locator(NullLocator())
        places = log_ticks.densities(low, high)
        above.set_xticks([place for place, _ in places], [text for _, text in places])
        above.tick_params(axis="x", labelsize=6.5, colors=NOTE_COLOUR, pad=1)
