"""The baseline of each case. Of several, a sweep over lengths takes the one that is fastest over all of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import SERIES, names, series
from attnbench.reports.stats.statistics import FloatArray, IntArray, interval
from attnbench.suites import Case
from attnbench.suites.records.run_json import Planned


def rows(planned: Sequence[Planned], log_ns: FloatArray) -> IntArray:
    """Return the row of each case's baseline `[cases]`, -1 if it has none, from the log times `[cases, P]`.

    A sweep is the settings that differ in their length alone. Its baseline is the one with the smallest geometric mean
    of times over the lengths at which all baselines passed. A baseline that passed nowhere is left out; if no length
    is common, the first of the others is taken.
    """
    at = {each.key: row for row, each in enumerate(planned)}
    times = interval(log_ns)[0]
    sweeps: dict[object, list[int]] = {}
    for row, each in enumerate(planned):
        sweeps.setdefault(each.case.sweep, []).append(row)
    found = np.full(len(planned), -1, np.int64)
    for sweep in sweeps.values():
        candidates = {row: [at[key] for key in _baselines(planned[row]) if key in at] for row in sweep}
        chosen = _fastest(planned, times, {each for held in candidates.values() for each in held})
        for row, held in candidates.items():
            found[row] = next((each for each in held if _series(planned[each].case) == chosen), -1)
    return found


def _baselines(planned: Planned) -> tuple[str, ...]:
    """Return the keys of a case's baselines."""
    return planned.baselines or tuple(filter(None, [planned.baseline]))


def _fastest(planned: Sequence[Planned], times: FloatArray, candidates: set[int]) -> object:
    """Return the series of the fastest of some baselines, None if there is none."""
    lengths: dict[object, dict[int, float]] = {}
    for row in sorted(candidates):
        case = planned[row].case
        lengths.setdefault(_series(case), {})[case.setting.shape.seq_len] = times[row]
    passed = {name: {n for n, time in held.items() if np.isfinite(time)} for name, held in lengths.items()}
    alive = [name for name in lengths if passed[name]] or list(lengths)
    common = set.intersection(*(passed[name] for name in alive)) if alive else set()
    return min(alive, key=lambda name: sum(lengths[name][n] for n in common), default=None)


def _series(case: Case) -> object:
    """Return the mechanism and the implementation of a case."""
    return case.mechanism, case.implementation


def others(frame: pd.DataFrame, named: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return the other baselines of a setting, each with its speed as a multiple of the baseline's.

    `named` are the suite's baselines, `variant/implementation`. The speed is a geometric mean over common lengths.
    """
    against = next(filter(None, frame["baseline"]), "")
    is_named = (frame["variant"] + "/" + frame["implementation"]).isin(list(named))
    found = [name for name in dict.fromkeys(names(frame[is_named])) if against and name != against]
    if not found:
        return ()
    # Few columns: a part for each series would copy all of them.
    times = frame[[*SERIES, "seq_len", "time_ns"]]
    speeds = {name: part.set_index("seq_len")["time_ns"].dropna() for name, part in series(times)}
    ratios = {name: (speeds[against] / speeds[name]).dropna() for name in found}
    return tuple((name, float(np.exp(np.log(each).mean()))) for name, each in ratios.items() if len(each))
