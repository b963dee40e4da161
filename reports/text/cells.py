"""Table cells for one case, series or sweep."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from attnbench.reports.data.capacity import MOST
from attnbench.reports.data.values import ALWAYS, CLOSE, CROSSES, NEVER, SLOWER, UNCLEAR, Crossover, Interval
from attnbench.reports.findings.growth import FEW_PROCESSES
from attnbench.reports.findings.sweeps import Line, Sweep
from attnbench.reports.text import units
from attnbench.reports.text.phrases import ends

SHORT = {
    "wrong": "WRONG",
    "out_of_memory": "OOM",
    "timed_out": "TIME-OUT",
    "crashed": "CRASHED",
    "failed": "FAILED",
    "unsupported": "n/a",
    "skipped": "skipped",
}
"""The text of each status except `passed`."""

NONE = "-"
"""The text of a number that does not exist."""


def ended(row: pd.Series | None, written: Callable[[pd.Series], str]) -> str:
    """Write a case's number, or its status if it did not pass; empty if there is no case."""
    if row is None:
        return ""
    return written(row) if row["status"] == "passed" else SHORT[row["status"]]


def speed(row: pd.Series) -> str:
    """Write calls per second, half of their interval, and the speed-up over the baseline: `1,020 ±2% (3.2x)`."""
    # The longest time is the fewest calls, so the ends of the interval change places.
    calls = [1e9 / row[name] for name in ("time_ns", "time_high_ns", "time_low_ns")]
    told = [units.honest(*calls), units.spread(row["time_low_ns"], row["time_high_ns"])]
    return " ".join(filter(None, [*told, f"({times(row)})" if times(row) else ""]))


def memory(row: pd.Series) -> str:
    """Write peak memory, and its fraction of the baseline's: `4.63 MiB (0.48)`."""
    if pd.isna(row["peak_bytes"]):
        return NONE
    fraction = row["peak_fraction"]
    return units.size(row["peak_bytes"]) + ("" if math.isnan(fraction) else f" ({units.fraction(fraction)})")


def energy(row: pd.Series) -> str:
    """Write the energy of a call, half of its interval, and its fraction of the baseline's: `310 mJ ±2% (0.48)`."""
    joules, low, high = (float(row[name]) for name in ("energy_j", "energy_low_j", "energy_high_j"))
    if math.isnan(joules):
        return NONE
    share, least, most = (float(row[f"energy_fraction{end}"]) for end in ("", "_low", "_high"))
    fraction = "" if math.isnan(share) else f"({units.number(share, min(units.digits(share, least, most), 3))})"
    return " ".join(filter(None, [units.energy(joules, low, high), units.spread(low, high), fraction]))


def state(row: pd.Series) -> str:
    """Write the bytes of the cache or state that decoding needs."""
    return units.size(row["state_bytes"])


def times(row: pd.Series) -> str:
    """Write the speed-up with at most three digits: `3.2x`; empty if there is none."""
    value, low, high = row["speedup"], row["speedup_low"], row["speedup_high"]
    if math.isnan(value):
        return ""
    return f"{units.number(value, min(units.digits(value, low, high), 3))}x"


def time_exponent(row: pd.Series) -> str:
    """Write the growth exponent of time: `N^1.98 (1.95 to 2.01)`, or why there is none."""
    value, low, high = row["time_exponent"], row["time_exponent_low"], row["time_exponent_high"]
    if math.isnan(value):
        return str(row["growth_reason"])
    return f"N^{value:.2f}" if math.isnan(low) else f"N^{value:.2f} ({low:.2f} to {high:.2f})"


def last_exponent(row: pd.Series) -> str:
    """Write the growth exponent of time over the longest two octaves, `N^1.98`, or why there is none."""
    value = row["last_time_exponent"]
    return str(row["cost_reason"]) if math.isnan(value) else f"N^{value:.2f}"


def cost_exponent(row: pd.Series) -> str:
    """Write the growth exponent of the stated cost there, and how time compares: `N^2.00, as stated`."""
    return NONE if math.isnan(row["cost_exponent"]) else f"N^{row['cost_exponent']:.2f}, {row['against_cost']}"


def rates(row: pd.Series) -> str:
    """Write GFLOP/s at the first and the last of these lengths: `2.6 to 4.1`."""
    if math.isnan(row["rate_from"]):
        return NONE
    return " to ".join(units.number(row[name], 2) for name in ("rate_from", "rate_to"))


def memory_exponent(row: pd.Series) -> str:
    """Write the growth exponent of memory, `N^1.00`, or why there is none."""
    if math.isnan(row["memory_exponent"]):
        return str(row["growth_reason"]) or "nothing is allocated"
    return f"N^{row['memory_exponent']:.2f}"


def fitted(row: pd.Series) -> str:
    """Write the range of lengths that the exponents are fitted over: `2048 to 16384`."""
    if math.isnan(row["time_exponent"]):
        return NONE
    told = f"{row['fitted_from']} to {row['fitted_to']}"
    return f"{told}; {row['growth_reason']}" if row["growth_reason"] else told


def crossover(row: pd.Series, *, brief: bool = False) -> str:
    """Write the length from which a series is faster than its baseline, or why there is none; `brief` for a column."""
    if not row["crossover"]:
        return str(row["crossover_reason"])
    if row["crossover"] == CROSSES:
        names = ("crossover_seq_len", "crossover_low", "crossover_high", "compared_from", "compared_to")
        at, low, high, first, last = (float(row[name]) for name in names)
        return _from(at, low, high, first, last, brief=brief)
    if row["crossover"] == ALWAYS:
        return "every length" if brief else "at every length measured"
    told = SLOWER if row["crossover"] == NEVER else CLOSE
    return told if brief else f"{told} at N = {row['compared_to']}"


def _from(at: float, low: float, high: float, first: float, last: float, *, brief: bool) -> str:
    """Write a crossover between the lengths `first` and `last`, at which its interval is cut.

    `from N = 410 (380 to 440)`, `from N = 410 (below 256 to 440)`, `from N = 300 at most`.
    """
    told, least, most = _within(at, low, high, first, last)
    if math.isnan(at):
        return f"N = {most} at most" if brief else f"from N = {most} at most"
    if math.isnan(low):
        least = f"below {keys(first)}"
    return f"{'' if brief else 'from '}N = {told} ({least} to {most})"


def _within(at: float, low: float, high: float, first: float, last: float) -> list[str]:
    """Write a point and the ends of its interval in whole numbers, rounded, and never outside of `first` to `last`."""
    # If one end is not known, the other one is as far from the point.
    known = [each for each in (low, high, 2 * at - low, 2 * at - high) if not math.isnan(each)]
    step = max(units.step(min(known), max(known)), 1.0)
    whole = (round(each / step) * step for each in (at, low, high) if not math.isnan(each))
    told = iter(keys(min(max(each, first), last)) for each in whole)
    return ["" if math.isnan(each) else next(told) for each in (at, low, high)]


def limit(found: Crossover) -> str:
    """Write the keys per query up to which a sweep is faster than its baseline; empty if nothing was compared."""
    if found.kind == CROSSES:
        return f"up to {_up_to(found)} keys"
    words = {
        ALWAYS: "at every number of keys measured",
        NEVER: f"slower at {keys(found.first)} keys",
        UNCLEAR: f"not distinguishable at {keys(found.first)} keys",
    }
    return words.get(found.kind, "")


def _up_to(found: Crossover) -> str:
    """Write a limit, with its interval cut at the most keys measured.

    `2400 (2200 to 2700)`, `2400 (2200 to above 4096)`, `more than 4096 (at least 3900)`.
    """
    told, least, most = _within(*found[1:6])
    if math.isnan(found.at):
        return f"more than {keys(found.last)} (at least {least})"
    return f"{told} ({least} to {f'above {keys(found.last)}' if math.isnan(found.high) else most})"


def power(found: Interval) -> str:
    """Write an exponent of keys per query: `k^0.93 (0.91 to 0.95)`."""
    value, low, high = (round(float(each), 2) + 0.0 for each in found[:3])  # no -0.00
    if math.isnan(value):
        return NONE
    return f"k^{value:.2f}" if math.isnan(low) else f"k^{value:.2f} ({low:.2f} to {high:.2f})"


def line(found: Line) -> str:
    """Write a rising line: `3.1 ms + 9.1 µs ±1.2%`, without a fixed part that is below the cost of one key."""
    fixed, per_key = ([float(each) for each in part[:3]] for part in (found.fixed_ns, found.per_key_ns))
    slope = f"{units.time(*per_key)} {units.linear_spread(*per_key)}".rstrip()
    return f"{units.time(*fixed)} + {slope}" if fixed[0] > per_key[0] and not fixed[1] <= 0 else slope


def sweep(swept: Sweep) -> list[str]:
    """Return the cells of a sweep: keys, line and growth of time, doubling, limit, memory, and realised share."""
    told = f"{line(swept.line)} a key" if swept.rises else "the same for all"
    return [
        f"{keys(swept.keys[0])} to {keys(swept.keys[-1])}",
        told if swept.line.straight else NONE,
        power(swept.exponent),
        doubling(swept.doubling),
        limit(swept.limit) or swept.limit_reason,
        ends([NONE if math.isnan(each) else units.fraction(each) for each in swept.peak_shares]),
        *([] if swept.realised is None else [share(swept.realised)]),
    ]


def doubling(found: Crossover) -> str:
    """Write the keys per query from which a sweep takes twice the time of its fewest keys."""
    if found.kind == CROSSES:
        # It cannot be before the first point: there a call takes the time of the fewest keys.
        told, least, most = _within(*found[1:6])
        return f"from {told} ({least} to {most}) keys on"
    last = keys(found.last)
    return {NEVER: f"not up to {last} keys", UNCLEAR: f"not clear at {last} keys"}.get(found.kind, FEW_PROCESSES)


def keys(count: float) -> str:
    """Write keys per query: `127.1`, `4096`."""
    return f"{count:.1f}".removesuffix(".0")


def density(share: float) -> str:
    """Write a density: `6.2 %`."""
    return f"{units.number(100 * share, 2)} %"


def share(found: Interval) -> str:
    """Write a share from its logarithm: `61% (58% to 64%)`."""
    value, low, high = (math.exp(each) for each in found[:3])
    if math.isnan(value):
        return NONE
    if math.isnan(low):
        return units.percent(value)
    told, least, most = (units.percent(each, value, low, high) for each in (value, low, high))
    return f"{told} ({least} to {most})"


def ratio(found: Interval, unit: str = "x") -> str:
    """Write a ratio from its logarithm: `3.12x (3.05 to 3.18)`."""
    value, low, high = (math.exp(each) for each in found[:3])
    if math.isnan(value):
        return NONE
    return units.interval(value, low, high, unit)


def factor(found: Interval) -> str:
    """Write a ratio from its logarithm without its interval: `3.1`."""
    value, low, high = (math.exp(each) for each in found[:3])
    return units.number(value, min(units.digits(value, low, high), 3))


def multiple(value: float) -> str:
    """Write an exact ratio: `2.00x`."""
    return NONE if math.isnan(value) else f"{units.fraction(value)}x"


def fits(row: pd.Series) -> str:
    """Write the longest sequence that the memory budget holds, `2,600,000`, or why it is unknown."""
    longest = row["fits_up_to"]
    if pd.isna(longest):
        return str(row["fits_source"]) or NONE
    return f"{longest:,} or more" if longest == MOST else units.number(longest, 2)


def work(row: pd.Series) -> list[str]:
    """Return the cells of work: pairs, waste, rate, share of the roof, bound, realised, error, tokens/s."""
    return [
        *(NONE if pd.isna(row[name]) else f"{row[name]:,}" for name in ("allowed_pairs", "computed_pairs")),
        _or_none(row["waste"], "{:.2f}"),
        _rate(row),
        _percent(row["roof_share"]),
        NONE if math.isnan(row["bound_speedup"]) else f"{units.number(row['bound_speedup'], 3)}x",
        _percent(row["realised"]),
        _or_none(row["max_abs_error"], "{:.1e}"),
        units.number(row["tokens_per_s"], 2),
    ]


def vs_full(row: pd.Series) -> list[str]:
    """Return the cells of an error against full attention: that of the case, that of a mean, if it is better, ties."""
    better = "hardly" if row["like_mean"] else "yes"
    ties = NONE if pd.isna(row["ties"]) else f"{row['ties']:,}"
    return [error(row["error_vs_full"]), error(row["error_of_mean"]), better, ties]


def error(value: float) -> str:
    """Write an error against full attention: `0.24`, `260`."""
    return f"{value:.2g}" if value < 99.5 else units.number(value, 2)  # from here on `g` has exponents


def _rate(row: pd.Series) -> str:
    """Write GFLOP/s of the allowed pairs; none if the case has no pattern."""
    if pd.isna(row["flops"]):
        return NONE
    rate = [row["flops"] / row[name] for name in ("time_ns", "time_high_ns", "time_low_ns")]
    return units.honest(rate[0], rate[1], rate[2])


def before(row: pd.Series) -> list[str]:
    """Return the cells of costs before the first value: preparation, its memory, compilation and first call.

    `2.6 s (cached)` is a compilation that torch found on disk.
    """
    cached = " (cached)" if pd.notna(row["compile_cached"]) and row["compile_cached"] else ""
    return [
        _time(row["prepare_ns"]),
        NONE if pd.isna(row["prepared_bytes"]) else units.size(row["prepared_bytes"]),
        _time(row["compile_ns"]) + cached,
        _time(row["first_call_ns"]),
    ]


def _time(ns: Any) -> str:
    """Write a time without an interval, or `NONE`."""
    return NONE if pd.isna(ns) else units.time(ns)


def _percent(share: float) -> str:
    """Write a share, or `NONE`."""
    return NONE if math.isnan(share) else units.percent(share)


def _or_none(value: float, form: str) -> str:
    """Write a number in a format, or `NONE`."""
    return NONE if math.isnan(value) else form.format(value)
