"""The answer to a suite's question in words, each of them true of the tables."""

import math
import re
from collections.abc import Sequence

import pandas as pd

from attnbench.reports import cells, escape, flags, units
from attnbench.reports.frame import Run
from attnbench.reports.scaling import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.settings import SERIES, Setting, comparison_length, names, scaled, settings, which
from attnbench.reports.statistics import FEWEST_PROCESSES, interval

_LONGEST_REASON = 160
_MOST_IN_DETAIL = 4
"""With more settings than this, each is told in short."""
_MANY_FLAGGED = 0.2
"""From this share of flagged cases on, the answer says so."""
_SAME = 0.005
"""Peaks closer than this share of the baseline's are called as much."""


def answer(run: Run) -> list[str]:
    """Sentences: for each setting who beats the baseline from when on, who is fastest, how time and memory grow and
    what was realised of the work saved; then what passed and what did not.

    Brackets hold 95 % intervals. Where there are too few processes for one, nothing is said to differ.
    """
    found = []
    measured = [each for each in settings(run.frame) if (each.frame["status"] == "passed").any()]
    for setting in measured:
        told = [_crossings(run, setting), _fastest(run, setting)]
        if len(measured) <= _MOST_IN_DETAIL:
            told += [_growth(run, setting), _memory(run, setting), _realised(setting)]
        found += [f"{setting.title}: {each}" for each in told if each]
    return _shortened(run.frame, [*found, _passed(run.frame), *_flagged(run.frame), *_failed(run.frame)])


def _shortened(frame: pd.DataFrame, sentences: list[str]) -> list[str]:
    """The sentences without the implementation of each label that has but one."""
    pairs = frame[list(SERIES)].drop_duplicates()
    alone = pairs[~pairs["label"].duplicated(keep=False)]
    for name, label in zip(names(alone), alone["label"], strict=True):
        whole = re.compile(rf"(?<![\w/]){re.escape(name)}(?!\w)")
        sentences = [label.join(whole.split(each)) for each in sentences]
    return sentences


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
        told += f", {cells.times(best)}{_brackets(best, 'speedup')} the speed of {best['baseline']}"
    if best["processes"] < FEWEST_PROCESSES:
        return f"{told}; too few processes ({best['processes']}) to say what differs."
    rivals = passed[(passed["seq_len"] == n) & (passed.index != winners.iloc[-1])]
    apart = interval(run.log_ns[rivals.index] - run.log_ns[winners.iloc[-1]])
    close = [rival for rival, low in zip(names(rivals), apart.low, strict=True) if not low > 0]
    return f"{told}; not distinguishable from it: {_and(close)}." if close else f"{told}."


def _crossings(run: Run, setting: Setting) -> str:
    """From which length on each series is faster than its baseline."""
    rows = [(name, row) for name, row in scaled(run.scaling, setting) if row["crossover"]]
    if not rows:
        return ""
    told = [f"{name} {cells.crossover(row)}" for name, row in rows if row["crossover"] in (ALWAYS, CROSSES, UNCLEAR)]
    never = [name for name, row in rows if row["crossover"] == NEVER]
    told += [f"none in range for {_and(never)}"] if never else []
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & (names(setting.frame) != setting.frame["baseline"])]
    close = names(at[(at["speedup_low"] <= 1) & (at["speedup_high"] >= 1)])
    told += [f"not distinguishable from it at N = {n}: {_and(list(close))}"] if len(close) else []
    return f"faster than {rows[0][1]['baseline']}: {'; '.join(told)}."


def _growth(run: Run, setting: Setting) -> str:
    """How time grows: the baseline's exponent, and the smallest and largest of the others."""
    rows = [(name, row) for name, row in scaled(run.scaling, setting) if not math.isnan(row["time_exponent"])]
    rows.sort(key=lambda each: float(each[1]["time_exponent"]))
    told = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name == row["baseline"]]
    others = [f"{cells.time_exponent(row)} for {name}" for name, row in rows if name != row["baseline"]]
    if len(others) > 2:
        others = [f"{others[0]} (least of {'the others' if told else 'all'})", f"{others[-1]} (most)"]
    return f"time grows as {_and([*told, *others])}." if rows else ""


def _memory(run: Run, setting: Setting) -> str:
    """Which series save memory against the baseline, and how memory grows."""
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & setting.frame["peak_fraction"].notna()]
    grown = [row["memory_exponent"] for _, row in scaled(run.scaling, setting) if row["memory_exponent"] >= 0]
    grows = f"; memory grows as {_range([f'N^{value:.2f}' for value in (min(grown), max(grown))])}" if grown else ""
    own = at[names(at) == at["baseline"]]
    if not len(own):
        return f"{grows.removeprefix('; ')}." if grows else ""
    told: dict[str, list[str]] = {"less for": [], "as much for": [], "more for": []}
    for name, share in zip(names(at), at["peak_fraction"], strict=True):
        if name not in set(at["baseline"]):
            kind = "as much for" if abs(share - 1) < _SAME else "less for" if share < 1 else "more for"
            told[kind].append(name if kind == "as much for" else f"{name} ({units.number(share, 2)} times)")
    peak = f"peak memory at N = {n} is {units.size(own['peak_bytes'].iloc[0])} for {own['baseline'].iloc[0]}"
    return "; ".join([peak, *(f"{kind} {_and(them)}" for kind, them in told.items() if them)]) + f"{grows}."


def _realised(setting: Setting) -> str:
    """What part of the speed-up that the saved work allows was realised, least and most."""
    n = comparison_length(setting.frame)
    at = setting.frame[(setting.frame["seq_len"] == n) & (setting.frame["bound_speedup"] > 1)].dropna(
        subset=["realised"]
    )
    if not len(at):
        return ""
    ordered = at.sort_values("realised", kind="stable")
    ends = ordered.iloc[[0, -1]] if len(at) > 1 else ordered
    told = [f"{row['realised']:.0%} ({name})" for name, (_, row) in zip(names(ends), ends.iterrows(), strict=True)]
    return f"of the speed-up that the saved work allows at N = {n}, {_range(told)} was realised."


def _passed(frame: pd.DataFrame) -> str:
    """How many cases passed, and what the brackets are."""
    told = f"{(frame['status'] == 'passed').sum()} of {len(frame)} cases passed"
    processes = frame["processes"].max() if len(frame) else 0
    return f"{told}; brackets hold 95 % intervals over {processes} processes." if processes > 2 else f"{told}."


def _flagged(frame: pd.DataFrame) -> list[str]:
    """That many of the cases that passed are flagged, and with what."""
    passed = frame[frame["status"] == "passed"]
    many = int((passed["flags"] != "").sum())
    if not many or many < _MANY_FLAGGED * len(passed):
        return []
    counts = {flag: len(flags.carrying(passed, flag)) for flag in flags.MEANINGS}
    told = ", ".join(f"{flag} {count}" for flag, count in counts.items() if count)
    return [f"{many} of the {len(passed)} that passed are flagged ({told}): see the table of flags before use."]


def _failed(frame: pd.DataFrame) -> list[str]:
    """What did not pass and why, a sentence for each status."""
    told = []
    for status, part in frame[frame["status"] != "passed"].groupby("status", sort=False):
        reasons = [escape.plain(reason, _LONGEST_REASON) for reason in part["reason"].unique()]
        more = f", and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
        told.append(f"{status} ({reasons[0]}{more}): {which(frame, part)}.")
    return told


def _brackets(row: pd.Series, name: str) -> str:
    """The interval of a number, or nothing where it has none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if math.isnan(low) else f" {units.bounds(low, high)}"


def _and(told: Sequence[str]) -> str:
    """Words joined: `a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _range(ends: Sequence[str]) -> str:
    """`a to b`, or `a` where they are the same."""
    return " to ".join(dict.fromkeys(ends))
