"""Sentences on lengths and variants: the fastest, how many are faster than the baseline, and what the fastest needs."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from attnbench.reports.data.settings import names
from attnbench.reports.data.values import ALWAYS, CROSSES, FEWEST_PROCESSES
from attnbench.reports.findings.run import Results
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import MOST_WORDS, ends, listed

_SPEEDUP = ("speedup", "speedup_low", "speedup_high")
_TIME = ("time_ns", "time_low_ns", "time_high_ns")
_SAME = 0.005
"""Peaks that differ by less than this share count as equal."""


def sentences(
    results: Results, settings: Sequence[Results], named: Mapping[str, str], title: str, beside: Sequence[str]
) -> list[str]:
    """Return sentences on a setting that passed.

    `settings` are all of the run, `named` has short names, `title` says how the setting differs from the others, and
    `beside` compares it with them.
    """
    assert results.fastest is not None
    best = results.fastest.case
    return [
        *_fastest(results, best, named, f"{title}: " if title else ""),
        *_kept(results, best, named),
        *(_crossovers(results, named) if results.several_lengths else _standing(results, named)),
        *beside,
        *_elsewhere(best, results, settings, named),
        *_needs(results, best, named),
    ]


def _name(case: pd.Series) -> str:
    return f"{case['label']}/{case['implementation']}"


def _fastest(results: Results, best: pd.Series, named: Mapping[str, str], title: str) -> Iterator[str]:
    """Return the fastest series, how much faster than the baseline it is, and which are not shown to be slower."""
    assert results.fastest is not None
    n, name, base = results.compared_at, _name(best), results.baseline
    time = units.time(*(best[each] for each in _TIME))
    if best["processes"] < FEWEST_PROCESSES:
        yield f"{title}{named[name]} took the least time at N = {n}, {time} a call."
        yield f"With fewer than {FEWEST_PROCESSES} processes nothing can be shown to be faster."
        return
    if not len(results.standing.faster) and len(results.standing.slower) + len(results.standing.close):
        yield f"{title}{'nothing' if title else 'Nothing'} is shown to be faster than {named[base]} at N = {n}."
        return
    close = [each for each in results.fastest.close if each != base or not _is_faster(results)]
    if _is_faster(results):
        value, low, high = (float(best[each]) for each in _SPEEDUP)
        much = units.interval(value, low, high, f" times as fast as {named[base]}")
    else:
        much = f"{time} a call"
    among = "is among the fastest" if _is_faster(results) else "took the least time"
    told = f"{title}{named[name]} {among if close else 'is the fastest'} at N = {n}, {much}"
    others = f"{named[close[0]]} is" if len(close) == 1 else f"{len(close)} more are"
    beside = f"{told}; {others} not shown to be slower."
    yield beside if close and len(beside.split()) <= MOST_WORDS else f"{told}."


def _is_faster(results: Results) -> bool:
    """Check whether the series with the least time is shown to be faster than the baseline."""
    assert results.fastest is not None
    return results.fastest.name in set(names(results.standing.faster))


def _crossovers(results: Results, named: Mapping[str, str]) -> Iterator[str]:
    """Return from which length on how many series are faster than the baseline."""
    rows = {name: row for name, row in results.growth if row["crossover"]}
    always = [name for name, row in rows.items() if row["crossover"] == ALWAYS]
    crossing = {name: row for name, row in rows.items() if row["crossover"] == CROSSES}
    if not always and not crossing:
        return
    base, others = named[results.baseline], len(rows)
    told = [(always, "at every length measured")] if always else []
    if len(crossing) == 1:
        told += [([name], cells.crossover(row)) for name, row in crossing.items()]
    elif crossing:
        known = [row["crossover_seq_len"] for row in crossing.values()]
        least = [
            row["compared_from"] if math.isnan(at) else at for at, row in zip(known, crossing.values(), strict=True)
        ]
        between = ends([units.number(float(each), 2).replace(",", "") for each in (min(least), max(least))])
        told.append(([*crossing], f"from N = {between} on"))
    subject, words = told[0]
    if len(subject) == 1:
        head = f"{named[subject[0]]} is"
    else:
        every = "Both other series are" if others == 2 else f"All {others} other series are"
        head = every if len(subject) == others else f"{len(subject)} of {others} other series are"
    rest = [f"{named[part[0]] if len(part) == 1 else f'{len(part)} more'} {words}" for part, words in told[1:]]
    yield f"{', '.join([f'{head} faster than {base} {words}', *rest])}."


def _standing(results: Results, named: Mapping[str, str]) -> Iterator[str]:
    """Return how many series are faster or slower than the baseline at the only length."""
    parts = zip(("faster than", "slower than", "not distinguishable from"), results.standing, strict=True)
    found = [(words, list(names(part))) for words, part in parts if len(part)]
    others, base = sum(len(part) for _, part in found), named.get(results.baseline, "")
    if others < 2:
        return
    (words, part), *rest = found
    head = f"{named[part[0]]} is" if len(part) == 1 else f"{len(part)} of {others} other series are"
    told = [f"{len(part)} {words.rpartition(' ')[0]}" for words, part in rest]
    yield f"At N = {results.compared_at}, {listed([f'{head} {words} {base}', *told])}."


def _elsewhere(
    best: pd.Series, results: Results, settings: Sequence[Results], named: Mapping[str, str]
) -> Iterator[str]:
    """Return in how many other settings the same series is the fastest, and shown to be faster than the baseline."""
    others = [each for each in settings if each.passed and each is not results]
    same = sum(each.fastest.name == _name(best) and _is_faster(each) for each in others if each.fastest)
    if same and _is_faster(results):
        which = "the other setting" if len(others) == 1 else f"{same} of {len(others)} other settings"
        yield f"{named[_name(best)]} is also the fastest in {which}."


def _kept(results: Results, best: pd.Series, named: Mapping[str, str]) -> Iterator[str]:
    """Return what the fastest series keeps of earlier tokens to decode, and the baseline."""
    kept, name, base = {each.name: each.most for each in results.kept}, _name(best), results.baseline
    if name in kept:
        beside = f", {named[base]} {units.size(kept[base])}" if base in kept and base != name else ""
        yield f"{named[name]} keeps {units.size(kept[name])} of earlier tokens{beside}."


def _needs(results: Results, best: pd.Series, named: Mapping[str, str]) -> Iterator[str]:
    """Return the peak memory of the fastest series, and how its time grows, beside the baseline's."""
    name, base, rows = _name(best), results.baseline, dict(results.growth)
    told = []
    share = float(best["peak_fraction"])
    if base != name and not math.isnan(share):
        times = (
            "as much peak memory as" if abs(share - 1) < _SAME else f"{units.fraction(share)} times the peak memory of"
        )
        told.append(f"{named[name]} needs {times} {named[base]}")
    if name in rows and not math.isnan(rows[name]["time_exponent"]):
        words = f"time grows as N^{rows[name]['time_exponent']:.1f}"
        if base in rows and _grow_apart(rows[name], rows[base]):
            words += f", not N^{rows[base]['time_exponent']:.1f}"
        told.append(f"its {words}" if told else f"The {words} with {named[name]}")
    if told:
        yield f"{', and '.join(told)}."


def _grow_apart(a: pd.Series, b: pd.Series) -> bool:
    """Check whether the intervals of two growth exponents have nothing in common."""
    return bool(a["time_exponent_high"] < b["time_exponent_low"] or b["time_exponent_high"] < a["time_exponent_low"])
