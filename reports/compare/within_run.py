"""Comparison within one run: implementations, variants or directions, paired by process."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from attnbench.reports.compare import metrics
from attnbench.reports.compare.comparison import COLUMNS, IDENTITY, NUMBERS, Comparison, Ratio, add_times
from attnbench.reports.data.settings import names
from attnbench.reports.decision.decide import Rule
from attnbench.reports.decision.pairs import paired
from attnbench.reports.findings.run import Run
from attnbench.reports.stats.statistics import IntArray

Axis = Literal["implementation", "variant", "direction"]
_VARIES: dict[Axis, tuple[str, ...]] = {
    "implementation": ("implementation",),
    "variant": ("label", "implementation"),
    "direction": ("direction",),
}
"""The columns in which a case may differ from its reference, by axis."""
_HOW = (
    "Cases of one run are compared where they shared a process, by paired t tests with Holm's correction. `regressed` "
    "means slower than what the case is compared with, `improved` faster."
)


def within(run: Run, axis: Axis, rule: Rule | None = None) -> Comparison:
    """Compare every case that passed with a reference, along one axis.

    The reference is the suite's baseline if it is among the compared cases, else the first of them.
    """
    rule = rule or Rule()
    passed = run.frame[run.frame["status"] == "passed"]
    at, against = _references(passed, [each for each in IDENTITY if each not in ("case", *_VARIES[axis])])
    found = paired(run.log_ns[at] - run.paired_log_ns[against])
    mine, theirs = run.frame.iloc[at].reset_index(drop=True), run.frame.iloc[against].reset_index(drop=True)
    frame = mine[list(IDENTITY)].copy()
    same = theirs["direction"] == mine["direction"]
    frame["against"] = names(theirs).where(same, names(theirs) + " " + theirs["direction"])
    frame["reason"] = ""
    add_times(frame, found, rule)
    frame["a_ns"], frame["b_ns"] = theirs["time_ns"], mine["time_ns"]
    for name in NUMBERS:
        frame[f"a_{name}"], frame[f"b_{name}"] = theirs[name], mine[name]
    metrics.add(frame, same_memory=True, same_pattern=False)
    folder = str(run.folder)
    return Comparison(
        folder,
        folder,
        frame[list(COLUMNS)],
        {},
        _HOW,
        rule,
        suite=run.meta["name"],
        ratio=Ratio.CASES,
        environments=(run.meta["environment"],),
        commands=tuple(("Run", each) for each in run.commands),
    )


def _references(passed: pd.DataFrame, alike: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the rows to compare and, for each, the row of its reference."""
    at: list[int] = []
    against: list[int] = []
    for _, part in passed.groupby(list(alike), sort=False):
        leading = part.index[names(part) == part["baseline"]]
        first = int(leading[0] if len(leading) else part.index[0])
        others = [int(row) for row in part.index if row != first]
        at += others
        against += [first] * len(others)
    return np.array(at, np.int64), np.array(against, np.int64)
