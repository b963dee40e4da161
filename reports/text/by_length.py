"""Sentences on lengths: where a series beats the baseline, which is fastest, the floor, how time and memory grow."""

import math

import pandas as pd

from attnbench.reports.data.lengths import COST_AGREES, Floor
from attnbench.reports.data.run import Results
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import Where, brackets, ends, listed, summed, where
from attnbench.variants import FLOOR

_SPEEDUP = ("speedup", "speedup_low", "speedup_high")


def sentences(results: Results, *, detailed: bool) -> list[str]:
    """Return which series beat the baseline and which is fastest; in detail also growth, memory and realised work."""
    told = [_crossings(results) if results.several_lengths else _faster(results), _fastest(results)]
    told += [_floor(each, results.compared_at) for each in results.floors]
    if detailed:
        told += [
            _growth(results),
            _cost(results),
            _kept(results),
            _memory(results),
            _fits(results),
            _realised(results),
            _errors(results),
        ]
    return [each for each in told if each]


def _fastest(results: Results) -> str:
    """Return the fastest series at the longest length, from which it is, its share of the roof, and close rivals."""
    found = results.fastest
    if found is None:
        return ""
    best, n = found.case, found.case["seq_len"]
    at = best["time_ns"], best["time_low_ns"], best["time_high_ns"]
    since = f"from N = {found.since} on" if found.since < n else f"at N = {n}"
    told = f"fastest {since} is {found.name}, {units.time(*at)} a call"
    told += f" at N = {n}" if found.since < n else ""
    if best["baseline"] not in ("", found.name) and not math.isnan(best["speedup"]):
        between = brackets(best["speedup_low"], best["speedup_high"])
        told += f", {units.honest(*(best[name] for name in _SPEEDUP))}x{between} the speed of {best['baseline']}"
    is_sound = not math.isnan(best["roof_share"]) and "above_roof" not in best["flags"]
    told += f", at {units.percent(best['roof_share'])} of the roof" if is_sound else ""
    if best["processes"] < FEWEST_PROCESSES:
        return f"{told}; too few processes ({best['processes']}) to say what differs."
    return f"{told}; not distinguishable from it: {listed(found.close)}." if found.close else f"{told}."


def _floor(found: Floor, n: int) -> str:
    """Return what a layer takes that does not mix tokens."""
    told = f"the floor, a layer without mixing ({found.name}), takes {cells.share(found.time)} of the time of "
    told += f"{found.against} at N = {n}"
    return told + (f" and {units.percent(found.peak)} of its peak memory." if found.peak >= 0 else ".")


def _crossings(results: Results) -> str:
    """Return the length from which each series is faster than its baseline."""
    rows = [(name, row) for name, row in results.growth if row["crossover"] and row["processes"] >= FEWEST_PROCESSES]
    if not rows:
        return ""
    told = where([Where(name, row["crossover"], cells.crossover(row)) for name, row in rows])
    close = list(names(results.standing.close))
    told += [f"not distinguishable from it at N = {results.compared_at}: {listed(close)}"] if close else []
    return f"faster than {rows[0][1]['baseline']}: {'; '.join(told)}."


def _faster(results: Results) -> str:
    """Return which series are faster or slower than the baseline at the only length, or not distinguishable."""
    words = ("faster", "slower", "not distinguishable")
    found = zip(words, results.standing, strict=True)
    told = [f"{word}: {summed(_with_times(part))}" for word, part in found if len(part)]
    against = results.setting.frame["baseline"].iloc[0]
    return f"at N = {results.compared_at}, against {against}, {'; '.join(told)}." if told else ""


def _with_times(frame: pd.DataFrame) -> list[str]:
    """Return each series with its speed-up, the largest first: `local_window/blockwise (16x)`."""
    frame = frame.sort_values("speedup", ascending=False, kind="stable")
    return [f"{name} ({cells.times(row)})" for name, (_, row) in zip(names(frame), frame.iterrows(), strict=True)]


def _growth(results: Results) -> str:
    """Return how time grows: the baseline's exponent, and the smallest and largest of the others."""
    rows = [
        (name, row) for name, row in results.growth if row["family"] != FLOOR and not math.isnan(row["time_exponent"])
    ]
    rows.sort(key=lambda each: float(each[1]["time_exponent"]))
    told = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name == row["baseline"]]
    others = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name != row["baseline"]]
    if len(others) > 2:
        others = [f"{others[0]} (least of {'the others' if told else 'all'})", f"{others[-1]} (most)"]
    return f"time grows as {listed([*told, *others])}." if rows else ""


def _cost(results: Results) -> str:
    """Return where time does not grow as the stated cost, and how the rate of work changes there; empty if nowhere."""
    found = results.against_cost
    if not found.slower and not found.faster:
        return ""
    many = sum(map(len, found))
    told = [f"time grows as the stated cost (within {COST_AGREES}) for {len(found.agreeing)} of {many}"]
    told += [f"more slowly, as GFLOP/s still rise, for {_exponents(found.slower)}"] if found.slower else []
    told += [f"faster, as GFLOP/s fall, for {_exponents(found.faster)}"] if found.faster else []
    return f"over the longest two octaves, {'; '.join(told)}."


def _exponents(found: list[tuple[str, pd.Series]]) -> str:
    """Write the exponents of time and of the stated cost of some series: `ssm (N^0.67, cost N^1.00)`."""
    return summed([f"{name} ({cells.last_exponent(row)}, cost {cells.cost_exponent(row)})" for name, row in found])


def _kept(results: Results) -> str:
    """Return what series keep of earlier tokens to decode, from the shortest to the longest length."""
    told = [f"{each.name} ({ends([units.size(each.least), units.size(each.most)])})" for each in results.kept]
    return f"the cache or state of earlier tokens, the smallest first: {listed(told)}." if told else ""


def _memory(results: Results) -> str:
    """Return which series need less memory than the baseline, and how memory grows."""
    rivals = [row for _, row in results.growth if row["family"] != FLOOR]
    grown = [row["memory_exponent"] for row in rivals if row["memory_exponent"] >= 0]
    grows = f"memory grows as {ends([f'N^{value:.2f}' for value in (min(grown), max(grown))])}" if grown else ""
    found = results.peaks
    if found is None:
        return f"{grows}." if grows else ""
    told = [f"peak memory at N = {results.compared_at} is {units.size(found.baseline_bytes)} for {found.baseline}"]
    for words, shares in (("less for", found.less), ("as much for", found.same), ("more for", found.more)):
        named = [name if shares is found.same else f"{name} ({units.number(share, 2)} times)" for name, share in shares]
        told += [f"{words} {summed(named)}"] if named else []
    return "; ".join([*told, *filter(None, [grows])]) + "."


def _fits(results: Results) -> str:
    """Return up to which length a call fits the memory budget: the baseline, and the shortest and the longest."""
    at = results.fits
    if not len(at):
        return ""
    told = [(name, cells.fits(row)) for name, (_, row) in zip(names(at), at.iterrows(), strict=True)]
    found = [f"{fits} for {name}" for name, fits in told if name == results.baseline]
    others = [(fits, name) for name, fits in told if name != results.baseline]
    rest = [f"{fits} for {name}" for fits, name in others]
    if len(others) > 2:
        group, (least, _), (most, _) = "the others" if found else "all", others[0], others[-1]
        rest = [f"{rest[0]} (least of {group})", f"{rest[-1]} (most)"] if least != most else [f"{most} for {group}"]
    budget = units.size(at["budget_bytes"].iloc[0])
    return f"a call fits the memory budget of {budget} up to N = {listed([*found, *rest])}."


def _realised(results: Results) -> str:
    """Return the realised share of the speed-up that the saved work allows, the least and the most."""
    at = results.realised
    if not len(at):
        return ""
    both = at.iloc[[0, -1]] if len(at) > 1 else at
    shares = zip(names(both), both["realised"], strict=True)
    told = ends([f"{units.percent(share)} ({name})" for name, share in shares])
    is_slow = both["realised"].max() > 1
    more = " More than all means that the baseline is slower than this machine allows." if is_slow else ""
    return f"of the speed-up that the saved work allows at N = {results.compared_at}, {told} was realised.{more}"


def _errors(results: Results) -> str:
    """Return the errors against full attention, the least and the most, what is no better than a mean, and ties."""
    at = results.errors
    if not len(at):
        return ""
    told = [f"{cells.error(each)} for {name}" for name, each in zip(names(at), at["error_vs_full"], strict=True)]
    if len(told) > 2:
        told = [f"{told[0]} (least)", f"{told[-1]} (most)"]
    means = list(names(at[at["like_mean"]]))
    more = f"; hardly better than the mean of all values: {summed(means)}" if means else ""
    tied = [
        f"{row['ties']:,} rows of {name}"
        for name, (_, row) in zip(names(at), at.iterrows(), strict=True)
        if pd.notna(row["ties"]) and row["ties"]
    ]
    more += f"; the choice is not unique in {listed(tied)}" if tied else ""
    return f"error against full attention at N = {results.compared_at} is {listed(told)}{more}."
