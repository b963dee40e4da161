"""Sentences on lengths: from which length a series beats the baseline, which is fastest, how time and memory grow."""

import math

import pandas as pd

from attnbench.reports.data.run import Results
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import Where, brackets, ends, listed, summed, where

_SPEEDUP = ("speedup", "speedup_low", "speedup_high")


def sentences(results: Results, *, detailed: bool) -> list[str]:
    """Return which series beat the baseline and which is fastest; in detail also growth, memory and realised work."""
    told = [_crossings(results) if results.several_lengths else _faster(results), _fastest(results)]
    if detailed:
        told += [_growth(results), _kept(results), _memory(results), _realised(results)]
    return [each for each in told if each]


def _fastest(results: Results) -> str:
    """Return the fastest series at the longest length, the length from which it is, and its close rivals."""
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
    if best["processes"] < FEWEST_PROCESSES:
        return f"{told}; too few processes ({best['processes']}) to say what differs."
    return f"{told}; not distinguishable from it: {listed(found.close)}." if found.close else f"{told}."


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
    rows = [(name, row) for name, row in results.growth if not math.isnan(row["time_exponent"])]
    rows.sort(key=lambda each: float(each[1]["time_exponent"]))
    told = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name == row["baseline"]]
    others = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name != row["baseline"]]
    if len(others) > 2:
        others = [f"{others[0]} (least of {'the others' if told else 'all'})", f"{others[-1]} (most)"]
    return f"time grows as {listed([*told, *others])}." if rows else ""


def _kept(results: Results) -> str:
    """Return what series keep of earlier tokens to decode, from the shortest to the longest length."""
    told = [f"{each.name} ({ends([units.size(each.least), units.size(each.most)])})" for each in results.kept]
    return f"the cache or state of earlier tokens, the smallest first: {listed(told)}." if told else ""


def _memory(results: Results) -> str:
    """Return which series need less memory than the baseline, and how memory grows."""
    grown = [row["memory_exponent"] for _, row in results.growth if row["memory_exponent"] >= 0]
    grows = f"memory grows as {ends([f'N^{value:.2f}' for value in (min(grown), max(grown))])}" if grown else ""
    found = results.peaks
    if found is None:
        return f"{grows}." if grows else ""
    told = [f"peak memory at N = {results.compared_at} is {units.size(found.baseline_bytes)} for {found.baseline}"]
    for words, shares in (("less for", found.less), ("as much for", found.same), ("more for", found.more)):
        named = [name if shares is found.same else f"{name} ({units.number(share, 2)} times)" for name, share in shares]
        told += [f"{words} {summed(named)}"] if named else []
    return "; ".join([*told, *filter(None, [grows])]) + "."


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
