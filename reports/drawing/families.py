"""Panels of many series over the length: a panel for each family, with the names at the ends of the lines.

A panel also has the baseline, and thin grey lines for the series of all other panels, so that each shows the field.
"""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnbench.reports.data.settings import attempted, names, without_floor
from attnbench.reports.data.values import floats, positive
from attnbench.reports.drawing import fixed, labels, panels, strip
from attnbench.reports.drawing.style import Look, looks, points
from attnbench.reports.findings.run import Run
from attnbench.variants import Family

MOST_SERIES = 12
"""With more series than this in a setting, one panel cannot be read."""
_MOST, _SMALL = 8, 3
"""The most series of a panel. Neighbouring families of at most `_SMALL` series share one."""
_COLUMNS = 3
_WIDTH, _HEIGHT, _NAMES = 2.9, 2.4, 1.75
"""Inches of a panel, and of the names beside it."""
_LEFT, _BOTTOM, _GAP, _HEADING = 0.8, 0.55, 0.55, 0.5
_GREY = "#d4d4d4"
_LETTERS = 24
"""A longer name is broken into lines."""


def many(run: Run) -> bool:
    """Check whether a setting of the run has too many series for one panel."""
    return any(names(without_floor(each.frame)).nunique() > MOST_SERIES for each in run.settings)


def sheet(run: Run, title: str, note: str) -> panels.Sheet:
    """Create empty panels under a title and a note, one for each setting and group of families."""
    found, more = panels.fitting(run.settings)
    frame = pd.concat([each.frame for each in found])
    groups = _groups(frame)
    failures = min(max(len(strip.failing(each)) for each in found), _MOST + 1)
    high = strip.height(failures)
    height = _HEIGHT + high
    columns, rows = min(_COLUMNS, len(groups)), -(-len(groups) // _COLUMNS)
    width_all = _LEFT + columns * (_WIDTH + _NAMES)
    note = f"{panels.context(run)}. {note} Grey: the series of the other panels.{more}"
    above = panels.header_height(note, width_all)
    tall = _HEADING + rows * (height + _GAP) + _BOTTOM
    height_all = above + len(found) * tall - _GAP
    figure = Figure(figsize=(width_all, height_all))
    drawn, beside = [], []
    look: dict[str, Look] = {}
    for place, setting in enumerate(found):
        top = height_all - above - place * tall
        figure.text(0.1 / width_all, top / height_all, setting.title, va="top", fontsize=points(10), fontweight="bold")
        for number, (words, own) in enumerate(groups):
            is_own = names(setting.frame).isin(own)
            if not is_own.any():
                continue
            row, column = divmod(number, _COLUMNS)
            left = _LEFT + column * (_WIDTH + _NAMES)
            bottom = top - _HEADING - row * (height + _GAP) - height
            axes = figure.add_axes((left / width_all, bottom / height_all, _WIDTH / width_all, height / height_all))
            axes.set_title(words, loc="left", fontsize=points(8.5), fontweight="normal")
            panels.x_axis(axes, panels.LENGTH, np.unique(floats(frame["seq_len"])).tolist(), _WIDTH)
            if number + _COLUMNS < len(groups):
                axes.set_xlabel("")
            shown = is_own | (names(setting.frame) == setting.frame["baseline"])
            drawn.append(panels.Panel(setting._replace(frame=setting.frame[shown], column=column), axes))
            beside.append(setting.frame[~shown])
            look |= looks(setting.frame[shown])
    panels.header(figure, title, note)
    return panels.Sheet(figure, drawn, look, high / height, failures, tuple(beside))


def sheet_of_width(run: Run, title: str, note: str, width: float) -> panels.Sheet:
    """Create the same panels, as many beside each other as fit into so many inches, each with its legend below."""
    found, more = panels.fitting(run.settings)
    frame = pd.concat([each.frame for each in found])
    every = [(each, words, names(each.frame).isin(own)) for each in found for words, own in _groups(frame)]
    every = [each for each in every if each[2].any()]
    failures = min(max(len(strip.failing(each)) for each in found), _MOST + 1)
    columns, high = fixed.columns(width), strip.height(failures)
    tall = fixed.TALL + high
    inches = fixed.axes_width(width, columns)
    figure, spec = fixed.grid(width, [fixed.row() + high] * -(-len(every) // columns), columns)
    drawn, beside = [], []
    look: dict[str, Look] = {}
    for place, (setting, words, is_own) in enumerate(every):
        axes = figure.add_subplot(spec[divmod(place, columns)])
        words = f"{setting.title}: {words}" if len(found) > 1 else words
        axes.set_title(fixed.title(words, inches), loc="left", fontsize=points(8.5), fontweight="normal")
        panels.x_axis(axes, panels.LENGTH, np.unique(floats(frame["seq_len"])).tolist(), inches)
        shown = is_own | (names(setting.frame) == setting.frame["baseline"])
        drawn.append(panels.Panel(setting._replace(frame=setting.frame[shown], column=place % columns), axes))
        beside.append(setting.frame[~shown])
        look |= looks(setting.frame[shown])
    panels.header(figure, title, f"{panels.context(run)}. {note} Grey: the series of the other panels.{more}")
    return panels.Sheet(figure, drawn, look, high / tall, failures, tuple(beside), width, inches)


def legends(drawn: panels.Sheet, extra: Sequence[Line2D]) -> None:
    """Draw the legend of each panel below it, and one of `extra` below all."""
    short = short_names(pd.concat([each.setting.frame for each in drawn.panels]))
    told = []
    for setting, axes in drawn.panels:
        looked = {name: drawn.looks[name].options() for name, _ in attempted(setting.frame)}
        handles = [Line2D([], [], label=short[name].replace("\n ", ""), **each) for name, each in looked.items()]
        told.append((axes, fixed.arranged(handles, drawn.axes_width, labels.SIZE)))
    fixed.below(drawn.figure, told)
    fixed.legend(drawn.figure, extra)


def grey(drawn: panels.Sheet, column: str) -> None:
    """Draw the series of the other panels."""
    for (_, axes), frame in zip(drawn.panels, drawn.beside, strict=True):
        for _, part in attempted(frame):
            axes.plot(part["seq_len"], positive(floats(part[column])), color=_GREY, linewidth=0.7, zorder=0)


def name_ends(drawn: panels.Sheet, column: str) -> None:
    """Write the name of each series of a panel beside the end of its line, moved apart where ends are close."""
    every = pd.concat([each.setting.frame for each in drawn.panels])
    short = short_names(every)
    for setting, axes in drawn.panels:
        failing = [name for name, _ in strip.failing(setting)]
        ends = []
        for name, part in attempted(setting.frame):
            known = part[positive(floats(part[column])) > 0]
            if len(known):
                x, y = _place(axes, *floats(known[["seq_len", column]].iloc[-1:])[0])
                ends.append((y, x, name))
            elif name in failing:
                ends.append((strip.middle(drawn, failing.index(name)), 1.0, name))
        _write(axes, sorted(ends), short, drawn)


def _write(axes: Axes, ends: Sequence[tuple[float, float, str]], short: dict[str, str], drawn: panels.Sheet) -> None:
    """Write names from the lowest end to the highest, with a thin line from each end to its name."""
    height = axes.get_position().height * drawn.figure.get_figheight()
    tall = [labels.LINE * (1 + short[name].count("\n")) / height for *_, name in ends]
    for (y, x, name), middle in zip(ends, labels.apart([y for y, *_ in ends], tall), strict=True):
        options: dict[str, Any] = {"color": drawn.looks[name].colour, "transform": axes.transAxes, "clip_on": False}
        axes.plot([x, 1.0, 1.03], [y, middle, middle], linewidth=0.5, alpha=0.6, zorder=1, **options)
        axes.text(1.04, middle, short[name], va="center", fontsize=points(labels.SIZE), linespacing=1.0, **options)


def _place(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Return a point as shares of the width and height of logarithmic axes."""
    (left, right), (low, high) = np.log(axes.get_xlim()), np.log(axes.get_ylim())
    return float((np.log(x) - left) / (right - left)), float((np.log(y) - low) / (high - low))


def _groups(frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the title and the names of the series of each panel; baselines are in all of them."""
    rivals = frame[~names(frame).isin(set(frame["baseline"]))]
    found: list[tuple[str, list[str]]] = []
    for family in get_args(Family):
        own = list(dict.fromkeys(names(rivals[rivals["family"] == family])))
        parts = [[str(each) for each in part] for part in np.array_split(own, -(-len(own) // _MOST))] if own else []
        if found and len(own) in range(1, _SMALL + 1) and len(found[-1][1]) <= _SMALL:
            found[-1] = (f"{found[-1][0]}, {family}", found[-1][1] + own)
            continue
        found += [(f"{family} {i}" if len(parts) > 1 else family, part) for i, part in enumerate(parts, 1)]
    return found


def short_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return a short form of each name: parameters and implementations only where they tell series apart."""
    told = frame[["variant", "label", "implementation"]].drop_duplicates()
    found = {}
    for variant, label, implementation in told.itertuples(index=False, name=None):
        others = [_parameters(each) for each in told.loc[told["variant"] == variant, "label"].unique()]
        own = [each for each in _parameters(label) if any(each not in other for other in others)]
        text = f"{variant}({', '.join(own)})" if own else variant
        several = (told["label"] == label).sum() > 1
        found[f"{label}/{implementation}"] = "\n".join(_lines(f"{text}/{implementation}" if several else text))
    return found


def _parameters(label: str) -> list[str]:
    """Return the parameters in a label: `["window=257", "causal=true"]`."""
    return label.partition("(")[2].removesuffix(")").split(", ") if "(" in label else []


def _lines(text: str) -> Iterator[str]:
    """Break a long name before its parameters."""
    head, bracket, tail = text.partition("(")
    if len(text) <= _LETTERS or not bracket:
        yield text
        return
    yield head
    yield f"  {bracket}{tail}"
