"""The longest sequence that the memory budget holds, from what calls need at several lengths.

A call needs its peak, its inputs and weights, and masks and layouts. The bytes are fitted by a constant, a linear and a
quadratic part, none below 0, over the longest two octaves.
"""

import math
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import pandas as pd

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.settings import SERIES, SETTING
from attnbench.reports.data.values import FloatArray, floats
from attnbench.reports.stats.statistics import longest_octaves, parabola
from attnbench.variants import Shape

COLUMNS = ("budget_bytes", "fits_up_to", "fits_source")
PREDICTION, GROWTH = "prediction", "growth"
"""Where a longest sequence comes from: predictions of the implementation, or the growth of what was measured."""
NO_BUDGET, NO_FORWARD, TOO_FEW = "budget unknown", "forward pass unknown", "fewer than 3 lengths"
"""Why it is unknown. The peak of `backward` leaves out what its forward pass keeps."""
_OCTAVES = 2
MOST = int(next(each.metadata["maximum"] for each in fields(Shape) if each.name == "seq_len"))
"""The longest sequence that a suite may have."""


def add(frame: pd.DataFrame, journal: Journal) -> None:
    """Fill in the columns above for the cases that passed, the same for all cases of a series in a setting."""
    n, gross = frame["seq_len"].to_numpy(np.int64), floats(frame["gross_bytes"])
    cases, directions, devices = (frame[name].to_numpy() for name in ("case", "direction", "device"))
    predicted = frame["predicted_bytes"].notna().to_numpy()
    found: dict[str, list[object]] = {name: [None] * len(frame) for name in COLUMNS}
    passed = np.flatnonzero((frame["status"] == "passed").to_numpy())
    for indices in frame.iloc[passed].groupby([*SERIES, *SETTING], sort=False).indices.values():
        rows = passed[indices]
        rows = rows[np.argsort(n[rows], kind="stable")]
        probes = [journal.probes[cases[row]] for row in rows]
        # Runs that do not say what a call needs have only what was measured.
        backward = directions[rows[0]] == "backward"
        calls = {} if backward else {int(n[row]): float(gross[row]) for row in rows if gross[row] > 0}
        told = [each for probe in probes for each in probe.needed_bytes]
        calls |= {length: float(count) for length, count, _ in told}
        held = {length: float(count) for length, _, count in told if count is not None}
        # Only the CPU has the run's own budget.
        own = journal.meta.get("budget_bytes") if devices[rows[0]] == "cpu" else None
        budget = probes[-1].budget_bytes or own
        longest = _longest(calls, held, budget, int(n[rows[-1]])) if budget else None
        source = PREDICTION if predicted[rows].all() else GROWTH
        if longest is None:
            source = NO_BUDGET if not budget else TOO_FEW if calls else NO_FORWARD
        for row in rows:
            for name, value in zip(COLUMNS, (budget, longest, source), strict=True):
                found[name][row] = value
    for name in COLUMNS[:2]:
        frame[name] = pd.Series(found[name], frame.index, "Int64")
    frame[COLUMNS[2]] = pd.Series([each or "" for each in found[COLUMNS[2]]], frame.index, "str")


def _longest(calls: Mapping[int, float], held: Mapping[int, float], budget: int, passed: int) -> int | None:
    """Return the longest sequence for which a call needs at most the budget.

    Given are the bytes of calls at some lengths, and those that are held beside them. The result is at least the length
    that `passed`. Return None if there are too few lengths for a fit.
    """
    fitted = [_fit(each) for each in (calls, held) if any(each.values())]
    if not fitted or any(each is None for each in fitted):
        return None
    constant, linear, quadratic = np.sum([each for each in fitted if each is not None], axis=0)
    room = max(budget - constant, 0.0)
    # The root of the parabola, in the form that is exact if its quadratic part is 0.
    below = linear + math.sqrt(linear**2 + 4 * quadratic * room)
    longest = 2 * room / below if below > 0 else math.inf
    return int(min(max(longest, passed), MOST))


def _fit(needed: Mapping[int, float]) -> FloatArray | None:
    """Return the constant, linear and quadratic part of the bytes over the longest two octaves."""
    n = np.array(sorted(needed), np.int64)
    chosen = longest_octaves(n, _OCTAVES)
    if not chosen.any():
        return None
    # A byte more, so that a length at which nothing is held has a relative error.
    return parabola(n[chosen].astype(np.float64), np.array([needed[each] + 1 for each in n[chosen]]))
