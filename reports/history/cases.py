"""The table of all cases of a history: first and last values, and the worst change of each."""

import math
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.compare.comparison import IDENTITY
from attnbench.reports.data import columns
from attnbench.reports.data.settings import names, varied
from attnbench.reports.data.values import FloatArray, plain
from attnbench.reports.history.changes import Change, Changes
from attnbench.reports.history.history import RATIO, TIME, History, Values
from attnbench.reports.history.tables import cells
from attnbench.reports.html import cases

_GROUPS = {
    "": "series | name | case |",
    "Over runs": """
        runs          |       |             | count
        first         |       | first ratio | ratio
        first_low     |       |             | ratio
        first_high    |       |             | ratio
        last          |       | last ratio  | ratio
        last_low      |       |             | ratio
        last_high     |       |             | ratio
        first_ns      |       | first time  | time
        first_low_ns  |       |             | time
        first_high_ns |       |             | time
        last_ns       |       | last time   | time
        last_low_ns   |       |             | time
        last_high_ns  |       |             | time
        baseline      |       |             |
    """,
    "Worst change": """
        change      |  |     |
        metric      |  |     |
        factor      |  |     | ratio
        factor_low  |  |     | ratio
        factor_high |  |     | ratio
        before      |  |     |
        after       |  |     |
    """,
    "Case": """
        implementation |  |     |
        label          |  |     |
        case           |  | key |
    """,
}
"""The details of a case: columns under headings, in lines that `described` reads. Axes are added to the last."""
_WORST = ("change", "metric", "factor", "factor_low", "factor_high", "before", "after")
_UNCHANGED = ("none", "", math.nan, math.nan, math.nan, "", "")


def section(changes: Changes) -> Any:
    """Return the table of all cases with all that it needs, those that changed most first, for the body of a page."""
    frame = table(changes)
    groups = {group: columns.described(lines) for group, lines in _GROUPS.items()}
    axes = [str(name) for name in frame if name not in {each.name for found in groups.values() for each in found}]
    groups["Case"] += [columns.named(frame)[name] for name in axes]
    shown = ["series", *(name for name in axes if name in varied(frame) or name == "seq_len")]
    ends = ["first", "last"] if frame["first"].notna().any() else ["first_ns", "last_ns"]
    data = cases.BARE | {
        "cases": len(frame),
        "columns": [cases.packed(frame[each.name], each, group) for group, found in groups.items() for each in found],
        "shown": [*shown, *ends, "change", "factor", "before", "after", "runs"],
        "intervals": ("first", "last", "first_ns", "last_ns", "factor"),
    }
    example = "factor > 1.1 and change != none"
    return cases.table(data, cases.present(frame, groups), frame["change"], "change", example)


def table(changes: Changes) -> pd.DataFrame:
    """Return one row per case: its first and last time, over its baseline's and by itself, and its most severe change.

    Cases that changed come first, the most severe first.
    """
    history = changes.history
    frame = history.cases[[*IDENTITY]].assign(series=names(history.cases).map(plain))
    titles = dict(zip(history.cases["case"], history.cases["title"], strict=True))
    frame["baseline"] = [titles.get(key, "") for key in history.cases["baseline"]]
    frame["runs"] = (history.status != "").sum(axis=1).to_numpy()
    frame = frame.assign(**_ends(history.values[RATIO], ""), **_ends(history.values[TIME], "_ns"))
    worst = _worst(changes)
    frame[[*_WORST]] = [_told(worst[case], history) if case in worst else _UNCHANGED for case in frame.index]
    return frame.loc[[*worst, *(case for case in frame.index if case not in worst)]]


def _ends(values: Values, unit: str) -> dict[str, FloatArray]:
    """Return the first and the last value of each case `[C]`, with their intervals; NaN if it has none."""
    known = np.isfinite(values.value)
    places = {"first": known.argmax(axis=1), "last": known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)}
    bounds = {"": values.value, "_low": values.low, "_high": values.high}
    return {
        f"{end}{bound}{unit}": array[np.arange(len(at)), at]
        for end, at in places.items()
        for bound, array in bounds.items()
    }


def _worst(changes: Changes) -> dict[int, Change]:
    """Return the most severe change of each case that changed, by its row, the most severe first."""
    found: dict[int, Change] = {}
    every = (each for group in changes.groups for each in group.changes)
    for each in sorted(every, key=lambda each: -each.severity):
        found.setdefault(each.case, each)
    return found


def _told(change: Change, history: History) -> tuple[str | float, ...]:
    """Return the columns of a change."""
    _, metric, word, *_ = cells(change, history)
    commits = (history.label(run) for run in (change.before, change.after))
    return (word, metric, change.factor, change.low, change.high, *commits)
