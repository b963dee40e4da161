"""Columns of the energy of a call: its mean over processes, and its fraction of the baseline's, paired by process."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import FloatArray, IntArray, interval
from attnbench.suites import Sample

COLUMNS = (
    *("energy_j", "energy_low_j", "energy_high_j"),
    *("energy_fraction", "energy_fraction_low", "energy_fraction_high"),
)

Timed = Sequence[tuple[int, Sample]]
"""Samples that passed, each with the row of its case."""


def add(
    frame: pd.DataFrame,
    timed: Timed,
    again: Timed,
    processes: Sequence[tuple[int, int]],
    baseline_rows: IntArray,
) -> None:
    """Fill in the columns above. `again` are the samples of baselines that were timed again beside later cases."""
    own, paired = (_log_joules(told, processes, len(frame)) for told in (timed, [*timed, *again]))
    known = baseline_rows >= 0
    over = np.where(known[:, None], own - paired[np.where(known, baseline_rows, 0)], np.nan)
    for names, values in ((COLUMNS[:3], own), (COLUMNS[3:], over)):
        for name, value in zip(names, interval(values)[:3], strict=True):
            frame[name] = np.exp(value)


def _log_joules(told: Timed, processes: Sequence[tuple[int, int]], cases: int) -> FloatArray:
    """Return the log of the joules of each case in each process `[cases, P]`; NaN if it was not measured."""
    found = np.full((cases, len(processes)), np.nan)
    columns = {name: p for p, name in enumerate(processes)}
    for row, sample in told:
        if sample.energy_j is not None and sample.process in columns:
            found[row, columns[sample.process]] = sample.energy_j
    return np.asarray(np.log(found))
