"""Sentences on lengths: from which length a series beats the baseline, which is fastest, how time and memory grow."""

import math

import pandas as pd

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting, comparison_length, names, scaled
from attnbench.reports.stats.statistics import FEWEST_PROCESSES, interval
from attnbench.reports.text import cells, units
from attnbench.reports.text.crossovers import Where, phrases
from attnbench.reports.text.phrases import brackets, ends, listed, summed

_SPEEDUP = ("speedup", "speedup_low", "speedup_high")
_SAME = 0.005
"""Peaks closer than this share of the baseline's are called as much."""


def sentences(run: Run, setting: Setting, *, detailed: bool) -> list[str]:
    """Who beats the baseline and who is fastest; in detail also how time and memory grow and what was realised."""
    several = setting.frame["seq_len"].nunique() > 1
    told = [_crossings(run, setting) if several else _faster(setting), _fastest(run, setting)]
    if detailed:
        told += [_growth(run, setting), _memory(run, setting), _realised(setting)]
    return [each for each in told if each]


def _fastest(run: Run, setting: Setting) -> str:
    """The fastest at the longest length, since which length it is, and who cannot be told from it."""
    passed = setting.frame[setting.frame["status"] == "passed"]
    winners = passed.groupby("seq_len")["time_ns"].idxmin()
    n, best = int(winners.index[-1]), run.frame.loc[winners.iloc[-1]]
    name = "/".join(best[["label", "implementation"]])
    lost = winners.index[names(run.frame.loc[winners]) != name]
    since = int(winners.index[winners.index > lost.max()][0] if len(lost) else winners.index[0])
    at = best["time_ns"], best["time_low_ns"], best["time_high_ns"]
    told = f"fastest {f'from N = {since} on' if since < n else f'at N = {n}'} is {name}, {units.time(*at)} a call"
    told += f" at N = {n}" if since < n else ""
    if best["baseline"] not in ("", name) and not math.isnan(best["speedup"]):
        between = brackets(best["speedup_low"], best["speedup_high"])
        told += f", {units.honest(*(best[name] for name in _SPEEDUP))}x{between} the speed of {best['baseline']}"
    if best["processes"] < FEWEST_PROCESSES:
        return f"{told}; too few processes ({best['processes']}) to say what differs."
    rivals = passed[(passed["seq_len"] == n) & (passed.index != winners.iloc[-1])]
    apart = interval(run.log_ns[rivals.index] - run.log_ns[winners.iloc[-1]])
    close = [rival for rival, low in zip(names(rivals), apart.low, strict=True) if not low > 0]
    return f"{told}; not distinguishable from it: {listed(close)}." if close else f"{told}."


def _crossings(run: Run, setting: Setting) -> str:
    """From which length on each series is faster than its baseline."""
    rows = [
        (name, row)
        for name, row in scaled(run.scaling, setting)
        if row["crossover"] and row["processes"] >= FEWEST_PROCESSES
    ]
    if not rows:
        return ""
    told = phrases([Where(name, row["crossover"], cells.crossover(row)) for name, row in rows])
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & (names(setting.frame) != setting.frame["baseline"])]
    close = names(at[(at["speedup_low"] <= 1) & (at["speedup_high"] >= 1)])
    told += [f"not distinguishable from it at N = {n}: {listed(list(close))}"] if len(close) else []
    return f"faster than {rows[0][1]['baseline']}: {'; '.join(told)}."


def _faster(setting: Setting) -> str:
    """Who is faster than the baseline at the one length, who is slower, and who cannot be told from it."""
    at = setting.frame[(setting.frame["status"] == "passed") & (names(setting.frame) != setting.frame["baseline"])]
    at = at[at["speedup_low"].notna()].sort_values("speedup", ascending=False, kind="stable")
    faster, slower = at["speedup_low"] > 1, at["speedup_high"] < 1
    found = {"faster": at[faster], "slower": at[slower], "not distinguishable": at[~faster & ~slower]}
    told = [f"{words}: {summed(_with_times(part))}" for words, part in found.items() if len(part)]
    against = setting.frame["baseline"].iloc[0]
    return f"at N = {setting.frame['seq_len'].iloc[0]}, against {against}, {'; '.join(told)}." if told else ""


def _with_times(frame: pd.DataFrame) -> list[str]:
    """Each series with its speed-up: `local_window/blockwise (16x)`."""
    return [f"{name} ({cells.times(row)})" for name, (_, row) in zip(names(frame), frame.iterrows(), strict=True)]


def _growth(run: Run, setting: Setting) -> str:
    """How time grows: the baseline's exponent, and the smallest and largest of the others."""
    rows = [(name, row) for name, row in scaled(run.scaling, setting) if not math.isnan(row["time_exponent"])]
    rows.sort(key=lambda each: float(each[1]["time_exponent"]))
    told = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name == row["baseline"]]
    others = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name != row["baseline"]]
    if len(others) > 2:
        others = [f"{others[0]} (least of {'the others' if told else 'all'})", f"{others[-1]} (most)"]
    return f"time grows as {listed([*told, *others])}." if rows else ""


def _memory(run: Run, setting: Setting) -> str:
    """Which series save memory against the baseline, and how memory grows."""
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & setting.frame["peak_fraction"].notna()]
    grown = [row["memory_exponent"] for _, row in scaled(run.scaling, setting) if row["memory_exponent"] >= 0]
    grows = f"; memory grows as {ends([f'N^{value:.2f}' for value in (min(grown), max(grown))])}" if grown else ""
    own = at[names(at) == at["baseline"]]
    if not len(own):
        return f"{grows.removeprefix('; ')}." if grows else ""
    told: dict[str, list[str]] = {"less for": [], "as much for": [], "more for": []}
    at = at.sort_values("peak_fraction", kind="stable")
    for name, share in zip(names(at), at["peak_fraction"], strict=True):
        if name not in set(at["baseline"]):
            kind = "as much for" if abs(share - 1) < _SAME else "less for" if share < 1 else "more for"
            told[kind].append(name if kind == "as much for" else f"{name} ({units.number(share, 2)} times)")
    peak = f"peak memory at N = {n} is {units.size(own['peak_bytes'].iloc[0])} for {own['baseline'].iloc[0]}"
    return "; ".join([peak, *(f"{kind} {summed(them)}" for kind, them in told.items() if them)]) + f"{grows}."


def _realised(setting: Setting) -> str:
    """What part of the speed-up that the saved work allows was realised, least and most."""
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & (setting.frame["bound_speedup"] > 1)].dropna(
        subset=["realised"]
    )
    if not len(at):
        return ""
    ordered = at.sort_values("realised", kind="stable")
    both = ordered.iloc[[0, -1]] if len(at) > 1 else ordered
    told = [
        f"{units.percent(row['realised'])} ({name})"
        for name, (_, row) in zip(names(both), both.iterrows(), strict=True)
    ]
    return f"of the speed-up that the saved work allows at N = {n}, {ends(told)} was realised."
