"""The first screen of a run: the series of its most important setting, and how far each can be trusted."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.flags import ABOVE_ROOF
from attnbench.reports.data.settings import names, without_floor
from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.reports.findings.results import Results

_MOST_ROWS = 10
SOUND = "sound"
GRAVEST_FIRST = (
    *("above_roof", "throttled", "bimodal", "drifting", "not_steady", "oversubscribed", "noisy", "memory_off"),
)
"""Every flag."""


class Row(NamedTuple):
    """One series of a summary."""

    name: str
    case: pd.Series
    """Its row of the frame at the comparison length."""
    growth: pd.Series | None
    """Its row of the run's `scaling`."""
    trust: str
    """`SOUND`, or the gravest reason for doubt."""


class Summary(NamedTuple):
    """The most important setting of a run: the one in which most cases passed, the suite's first of several."""

    results: Results
    rows: tuple[Row, ...]
    """At most ten that passed at the comparison length: the baseline, then others by score and time.

    If more passed, these are the best of each kind, then of each mechanism, then others.
    """
    left_out: int
    """Other series that passed there."""


def summary(found: Sequence[Results]) -> Summary | None:
    """Summarise the results of a run; None if no case passed."""
    passed = [each for each in found if each.passed]
    if not passed:
        return None
    # `max` returns the first of several.
    results = max(passed, key=lambda each: (each.setting.frame["status"] == "passed").sum())
    frame = without_floor(results.setting.frame)
    at = frame[(frame["status"] == "passed") & (frame["seq_len"] == results.compared_at)]
    at = at.sort_values("time_ns", kind="stable").sort_values("score", ascending=False, kind="stable")
    is_baseline = names(at) == results.baseline
    others = at[~is_baseline]
    # Each group by score and time: the baseline, the best of each kind, the best of each mechanism, all others.
    again = others["family"].duplicated() * 1 + others["variant"].duplicated()
    order = [*at.index[is_baseline], *again.sort_values(kind="stable").index][:_MOST_ROWS]
    chosen = pd.concat([at[is_baseline], others[others.index.isin(order)]])
    growth = dict(results.growth)
    told = zip(names(chosen), chosen.iterrows(), strict=True)
    rows = tuple(Row(name, case, growth.get(name), _trust(case)) for name, (_, case) in told)
    return Summary(results, rows, len(at) - len(rows))


def _trust(case: pd.Series) -> str:
    """Return how far the time of a case can be trusted: the gravest of its flags, processes and proof."""
    processes, raised = int(case["processes"]), case["flags"].split()
    if ABOVE_ROOF in raised:
        return "above roof"
    if processes < FEWEST_PROCESSES:
        return "1 process" if processes == 1 else f"{processes} processes"
    grave = next((each for each in GRAVEST_FIRST if each in raised), "")
    if grave:
        return grave.replace("_", " ")
    if math.isnan(case["proved"]):
        return "proof unknown"
    return SOUND if case["proved"] == 1 else "proved in part"
