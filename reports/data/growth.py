"""Growth of time, memory and work with the length, and the length from which a series beats its baseline."""

from typing import Any, cast

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import SERIES, SETTING
from attnbench.reports.data.values import floats
from attnbench.reports.stats.crossover import crossover
from attnbench.reports.stats.statistics import FloatArray, IntArray, interval, longest_octaves, slopes
from attnbench.variants import FLOOR

_TIME = ("time_exponent", "time_exponent_low", "time_exponent_high")
_LAST = ("last_time_exponent", "last_time_exponent_low", "last_time_exponent_high")
"""The exponent of time over the longest two octaves, to compare with `cost_exponent`, that of the FLOPs there."""
_COST = (*_LAST, "cost_exponent", "cost_from", "cost_to", "rate_from", "rate_to")
"""`rate_from` and `rate_to` are GFLOP/s at the first and the last of these lengths, `cost_from` and `cost_to`."""
_COST_OCTAVES = 2
_CROSSOVER = ("crossover", "crossover_seq_len", "crossover_low", "crossover_high")
_PROCESSES = ("processes", "crossing_processes", "always_processes")
COLUMNS = (
    *(*SERIES, *SETTING, *_TIME, "memory_exponent", "fitted_from", "fitted_to"),
    *("baseline", *_CROSSOVER, *_PROCESSES),
    *("family", "fits_up_to", *_COST),
)


def scaling(
    frame: pd.DataFrame, log_ns: FloatArray, paired_log_ns: FloatArray, baseline_rows: IntArray
) -> pd.DataFrame:
    """Return one row per series and setting, with its growth exponents and its crossover.

    `log_ns [cases, P]` holds each process's log time, `paired_log_ns` also those of baselines that were timed again,
    and `baseline_rows [cases]` the row of each case's baseline or -1. All are in the order of the frame.
    """
    n = frame["seq_len"].to_numpy(np.int64)
    peak_bytes = floats(frame["peak_bytes"])
    names, families = frame["baseline"].to_numpy(), frame["family"].to_numpy()
    fits, flops = floats(frame["fits_up_to"]), floats(frame["flops"])
    found = []
    for key, indices in frame.groupby([*SERIES, *SETTING], sort=False).indices.items():
        rows = np.asarray(indices)[np.argsort(n[indices], kind="stable")]
        rival = families[rows[0]] != FLOOR
        against = _baselines(rows, paired_log_ns, baseline_rows[rows])
        found.append(
            {
                **dict(zip((*SERIES, *SETTING), cast(tuple[object, ...], key), strict=True)),
                **_growth(n[rows], log_ns[rows], peak_bytes[rows]),
                "baseline": next(filter(None, names[rows]), ""),
                **(_crossover(n[rows], log_ns[rows], against) if rival else {"crossover": ""}),
                "family": families[rows[0]],
                "fits_up_to": max(fits[rows][fits[rows] > 0], default=np.nan),
                **_against_cost(n[rows], log_ns[rows], flops[rows]),
            }
        )
    whole = ("fitted_from", "fitted_to", *_PROCESSES, "fits_up_to", "cost_from", "cost_to")
    counts = dict.fromkeys(whole, "Int64")
    return pd.DataFrame(found, columns=list(COLUMNS)).astype(counts)


def _growth(n: IntArray, log_ns: FloatArray, peak_bytes: FloatArray) -> dict[str, Any]:
    """Fit the exponents of time and memory over the longest octaves measured."""
    timed = np.isfinite(log_ns).any(axis=1)
    n, log_ns, peak_bytes = n[timed], log_ns[timed], peak_bytes[timed]
    fitted = longest_octaves(n)
    if not fitted.any():
        return {}
    log_n = np.log(n[fitted])
    # One slope per process, then an interval over slopes: the lengths within a process are not independent.
    time = interval(slopes(log_n, log_ns[fitted]))
    # Peaks are exact, so their exponent has no interval. A call without allocations has no logarithm.
    positive = bool((peak_bytes[fitted] > 0).all())
    memory = slopes(log_n, np.log(peak_bytes[fitted])[:, None])[0] if positive else np.nan
    return {
        **dict(zip(_TIME, map(float, time[:3]), strict=True)),
        "memory_exponent": float(memory),
        "fitted_from": int(n[fitted][0]),
        "fitted_to": int(n[-1]),
    }


def _against_cost(n: IntArray, log_ns: FloatArray, flops: FloatArray) -> dict[str, Any]:
    """Fit the exponents of time and of FLOPs over the same lengths. A series without FLOPs has none."""
    known = np.isfinite(log_ns).any(axis=1) & (flops > 0)
    n, log_ns, flops = n[known], log_ns[known], flops[known]
    fitted = longest_octaves(n, _COST_OCTAVES)
    if not fitted.any():
        return {}
    n, log_ns, flops = n[fitted], log_ns[fitted], flops[fitted]
    time = interval(slopes(np.log(n), log_ns))
    cost = float(slopes(np.log(n), np.log(flops)[:, None])[0])
    rates = flops / np.exp(interval(log_ns).mean)
    return dict(zip(_COST, (*map(float, time[:3]), cost, n[0], n[-1], rates[0], rates[-1]), strict=True))


def _baselines(rows: IntArray, paired_log_ns: FloatArray, baseline_rows: IntArray) -> FloatArray:
    """Return the log times of the baselines of rows; NaN without one. A baseline is not compared with itself."""
    known = (baseline_rows >= 0) & (baseline_rows != rows)
    return np.where(known[:, None], paired_log_ns[baseline_rows], np.nan)


def _crossover(n: IntArray, log_ns: FloatArray, baseline_log_ns: FloatArray) -> dict[str, Any]:
    """Find the length from which a series stays faster than its baseline, among the lengths that both have."""
    difference = log_ns - baseline_log_ns
    both = np.isfinite(difference).any(axis=1)
    if not both.any():
        return {"crossover": ""}
    found = crossover(n[both].astype(np.float64), difference[both])
    return dict(zip((*_CROSSOVER, *_PROCESSES), found, strict=True))
