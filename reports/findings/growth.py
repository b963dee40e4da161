"""Growth of time, memory and work with the length, and the length from which a series beats its baseline."""

import math
from typing import Any, cast

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import SERIES, SETTING
from attnbench.reports.data.values import floats
from attnbench.reports.stats.crossover import crossover
from attnbench.reports.stats.statistics import (
    FEWEST_LENGTHS,
    FEWEST_PROCESSES,
    OCTAVES,
    FloatArray,
    IntArray,
    interval,
    longest_octaves,
    slopes,
)
from attnbench.variants import FLOOR

_TIME = ("time_exponent", "time_exponent_low", "time_exponent_high")
_LAST = ("last_time_exponent", "last_time_exponent_low", "last_time_exponent_high")
"""The exponent of time over the longest two octaves, to compare with `cost_exponent`, that of the FLOPs there."""
_COST = (*_LAST, "cost_exponent", "cost_from", "cost_to", "rate_from", "rate_to")
"""`rate_from` and `rate_to` are GFLOP/s at the first and the last of these lengths, `cost_from` and `cost_to`."""
_COST_OCTAVES = 2
_COST_AGREES = 0.15
"""Time grows as the stated cost if their exponents differ by at most this."""
AS_STATED, MORE_SLOWLY, FASTER_THAN_COST = "as stated", "more slowly", "faster"
"""How the growth of time compares with that of the stated cost."""
_CROSSOVER = ("crossover", "crossover_seq_len", "crossover_low", "crossover_high")
_COMPARED = ("compared_from", "compared_to", "processes")
"""The lengths that a crossover was looked for between, and the fewest processes at one of them."""
COLUMNS = (
    *(*SERIES, *SETTING, *_TIME, "memory_exponent", "fitted_from", "fitted_to"),
    *("baseline", *_CROSSOVER, *_COMPARED),
    *("family", "fits_up_to", *_COST, "growth_reason", "crossover_reason", "against_cost", "cost_reason"),
)
FEW_LENGTHS = f"fewer than {FEWEST_LENGTHS} lengths in {OCTAVES} octaves"
APART = f"no process measured {FEWEST_LENGTHS} lengths"
OTHERS_APART = "others are of other processes"
"""Why a series has no growth exponent, or why it is not fitted up to its longest length."""
FEW_PROCESSES = f"fewer than {FEWEST_PROCESSES} processes"
IS_BASELINE = "the baseline"
NO_BASELINE = "no baseline"
NOT_BESIDE = "no length passed beside the baseline"
IS_FLOOR = "does not mix tokens"
"""Why a series has no crossover."""
NO_COST = "no stated cost"
FEW_LAST = f"fewer than {FEWEST_LENGTHS} lengths in {_COST_OCTAVES} octaves"
"""Why a series has no exponent of the stated cost."""


def scaling(
    frame: pd.DataFrame, log_ns: FloatArray, paired_log_ns: FloatArray, baseline_rows: IntArray
) -> pd.DataFrame:
    """Return one row per series and setting, with its growth exponents and its crossover.

    `log_ns [cases, P]` holds each process's log time, `paired_log_ns` also those of baselines that were timed again,
    and `baseline_rows [cases]` the row of each case's baseline or -1. All are in the order of the frame.
    """
    n = frame["seq_len"].to_numpy(np.int64)
    peak_bytes = floats(frame["peak_bytes"])
    baselines, families = frame["baseline"].to_numpy(), frame["family"].to_numpy()
    fits, flops = floats(frame["fits_up_to"]), floats(frame["flops"])
    found = []
    for key, indices in frame.groupby([*SERIES, *SETTING], sort=False).indices.items():
        rows = np.asarray(indices)[np.argsort(n[indices], kind="stable")]
        rival = families[rows[0]] != FLOOR
        found.append(
            {
                **dict(zip((*SERIES, *SETTING), cast(tuple[object, ...], key), strict=True)),
                **_growth(n[rows], log_ns[rows], peak_bytes[rows]),
                "baseline": next(filter(None, baselines[rows]), ""),
                **(
                    _crossover(n[rows], rows, log_ns, paired_log_ns, baseline_rows[rows])
                    if rival
                    else _without(IS_FLOOR)
                ),
                "family": families[rows[0]],
                "fits_up_to": max(fits[rows][fits[rows] > 0], default=np.nan),
                **_against_cost(n[rows], log_ns[rows], flops[rows]),
            }
        )
    whole = ("fitted_from", "fitted_to", *_COMPARED, "fits_up_to", "cost_from", "cost_to")
    counts = dict.fromkeys(whole, "Int64")
    return pd.DataFrame(found, columns=list(COLUMNS)).astype(counts)


def _growth(n: IntArray, log_ns: FloatArray, peak_bytes: FloatArray) -> dict[str, Any]:
    """Fit the exponents of time and memory over the longest octaves measured."""
    chosen, timed = _fitted(n, log_ns, OCTAVES), np.isfinite(log_ns).any(axis=1)
    memory = _memory_exponent(n[timed], peak_bytes[timed])
    if chosen is None:
        return {"memory_exponent": memory, "growth_reason": _reason(n[timed], OCTAVES, FEW_LENGTHS)}
    lengths, processes = chosen
    # One slope per process, then an interval over slopes: the lengths within a process are not independent.
    time = interval(slopes(np.log(n[lengths]), log_ns[np.ix_(lengths, processes)]))
    return {
        **dict(zip(_TIME, map(float, time[:3]), strict=True)),
        "memory_exponent": memory,
        "fitted_from": int(n[lengths][0]),
        "fitted_to": int(n[lengths][-1]),
        "growth_reason": OTHERS_APART if set(_longest(n[timed])) - set(n[lengths]) else "",
    }


def _longest(n: IntArray) -> IntArray:
    """Return the lengths over which growth would be fitted if all processes had all of them."""
    return n[longest_octaves(n, OCTAVES)]


def _memory_exponent(n: IntArray, peak_bytes: FloatArray) -> float:
    """Fit the exponent of peaks, which are exact and the same in all processes."""
    chosen = longest_octaves(n, OCTAVES)
    # A call without allocations has no logarithm.
    if not chosen.any() or not (peak_bytes[chosen] > 0).all():
        return math.nan
    return float(slopes(np.log(n[chosen]), np.log(peak_bytes[chosen])[:, None])[0])


def _reason(timed: IntArray, octaves: int, few: str) -> str:
    """Return why nothing can be fitted over lengths that were timed."""
    return APART if longest_octaves(timed, octaves).any() else few


def _fitted(n: IntArray, log_ns: FloatArray, octaves: int) -> tuple[IntArray, IntArray] | None:
    """Choose the lengths and the processes to fit over: every process has every length. None if too few lengths are so.

    A run that was resumed may have lengths that only some of its processes measured. At least three processes come
    first, then the longest length, then most lengths.
    """
    timed = np.isfinite(log_ns)
    found: list[tuple[tuple[bool, int, int], IntArray, IntArray]] = []
    for has in np.unique(timed, axis=1).T:
        lengths = np.flatnonzero(has)
        lengths = lengths[longest_octaves(n[lengths], octaves)]
        if len(lengths):
            processes = np.flatnonzero(timed[lengths].all(axis=0))
            rank = (len(processes) >= FEWEST_PROCESSES, int(n[lengths[-1]]), len(lengths))
            found.append((rank, lengths, processes))
    return max(found, key=lambda each: each[0])[1:] if found else None


def _against_cost(n: IntArray, log_ns: FloatArray, flops: FloatArray) -> dict[str, Any]:
    """Fit the exponents of time and of FLOPs over the same lengths. A series without FLOPs has none."""
    known = flops > 0
    if not known.any():
        return {"cost_reason": NO_COST}
    n, log_ns, flops = n[known], log_ns[known], flops[known]
    chosen = _fitted(n, log_ns, _COST_OCTAVES)
    if chosen is None:
        return {"cost_reason": _reason(n[np.isfinite(log_ns).any(axis=1)], _COST_OCTAVES, FEW_LAST)}
    n, log_ns, flops = n[chosen[0]], log_ns[np.ix_(*chosen)], flops[chosen[0]]
    time = interval(slopes(np.log(n), log_ns))
    cost = float(slopes(np.log(n), np.log(flops)[:, None])[0])
    rates = flops / np.exp(interval(log_ns).mean)
    excess = float(time.mean) - cost
    verdict = AS_STATED if abs(excess) <= _COST_AGREES else MORE_SLOWLY if excess < 0 else FASTER_THAN_COST
    told = dict(zip(_COST, (*map(float, time[:3]), cost, n[0], n[-1], rates[0], rates[-1]), strict=True))
    return {**told, "against_cost": verdict, "cost_reason": ""}


def _crossover(
    n: IntArray, rows: IntArray, log_ns: FloatArray, paired_log_ns: FloatArray, baseline_rows: IntArray
) -> dict[str, Any]:
    """Find the length from which a series stays faster than its baseline, among the lengths that both have."""
    if (baseline_rows == rows).any():
        return _without(IS_BASELINE)
    known = baseline_rows >= 0
    if not known.any():
        return _without(NO_BASELINE)
    difference = log_ns[rows[known]] - paired_log_ns[baseline_rows[known]]
    found = crossover(n[known].astype(np.float64), difference)
    if not found.kind:
        return _without(FEW_PROCESSES if found.processes else NOT_BESIDE)
    return {**dict(zip((*_CROSSOVER, *_COMPARED), found, strict=True)), "crossover_reason": ""}


def _without(reason: str) -> dict[str, Any]:
    """Return the columns of a series without a crossover."""
    return {"crossover": "", "crossover_reason": reason}
