"""Sentences on lengths and variants: the fastest, how many are faster than the baseline, and what the fastest needs."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from attnbench.reports.data.run import Results
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import ALWAYS, CROSSES, FEWEST_PROCESSES
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import brackets, ends, listed

_SPEEDUP = ("speedup", "speedup_low", "speedup_high")
_TIME = ("time_ns", "time_low_ns", "time_high_ns")


def sentences(results: Results, settings: Sequence[Results], named: Mapping[str, str]) -> list[str]:
    """Return sentences on a setting that passed; `settings` are all of the run, and `named` gives short names."""
    best = _best(results)
    return [
        *_fastest(results, best, named),
        *(_crossovers(results, named) if results.several_lengths else _standing(results, named)),
        *_needs(results, best, named),
        *_elsewhere(best, results, settings, named),
    ]


def _best(results: Results) -> pd.Series:
    """Return the case that is faster than the baseline by the largest factor, else the one with the least time."""
    faster = results.standing.faster
    assert results.fastest is not None
    return results.fastest.case if not len(faster) else faster.loc[faster["speedup"].idxmax()]


def _name(case: pd.Series) -> str:
    return f"{case['label']}/{case['implementation']}"


def _fastest(results: Results, best: pd.Series, named: Mapping[str, str]) -> Iterator[str]:
    """Return the fastest series, and how much faster than the baseline it is."""
    n, name, base = results.compared_at, _name(best), results.baseline
    found = results.fastest
    close = found.close if found is not None and found.name == name else []
    close = [each for each in close if each != base]
    rivals = f"; not distinguishable: {named[close[0]] if len(close) == 1 else f'{len(close)} others'}" if close else ""
    time = units.time(*(best[each] for each in _TIME))
    if best["processes"] < FEWEST_PROCESSES:
        yield f"{named[name]} took the least time at N = {n}, {time} a call."
        yield f"With fewer than {FEWEST_PROCESSES} processes, nothing can be shown to be faster."
    elif len(results.standing.faster):
        value, low, high = (float(best[each]) for each in _SPEEDUP)
        factor = f"{units.honest(value, low, high)} times as fast as {named[base]}{brackets(low, high)}"
        yield f"{named[name]} is the fastest at N = {n}, {factor}{rivals}."
    elif len(results.standing.slower) + len(results.standing.close):
        yield f"Nothing is shown to be faster than {named[base]} at N = {n}."
    else:
        yield f"{named[name]} is the fastest at N = {n}, {time} a call{rivals}."


def _crossovers(results: Results, named: Mapping[str, str]) -> Iterator[str]:
    """Return from which length on how many series are faster than the baseline."""
    rows = [(name, row) for name, row in results.growth if row["crossover"]]
    always = [name for name, row in rows if row["crossover"] == ALWAYS]
    crossing = [(name, row) for name, row in rows if row["crossover"] == CROSSES]
    rest = [name for name, row in rows if row["crossover"] not in (ALWAYS, CROSSES)]
    if not always and not crossing:
        return
    told = [f"{_some(always, named)} at every length measured"] if always else []
    if len(crossing) == 1:
        told += [f"{named[name]} {cells.crossover(row)}" for name, row in crossing]
    elif crossing:
        known = [row["crossover_seq_len"] for _, row in crossing]
        numbers = [row["compared_from"] if math.isnan(at) else at for at, (_, row) in zip(known, crossing, strict=True)]
        between = ends([units.number(each, 2).replace(",", "") for each in (min(numbers), max(numbers))])
        told.append(f"{len(crossing)} from N = {between} on")
    told += [f"{_some(rest, named)} not even at N = {results.compared_at}"] if rest else []
    yield f"Faster than {named[results.baseline]}: {listed(told)}."


def _some(found: Sequence[str], named: Mapping[str, str]) -> str:
    """Write the name of a series, or how many they are."""
    return named[found[0]] if len(found) == 1 else str(len(found))


def _standing(results: Results, named: Mapping[str, str]) -> Iterator[str]:
    """Return how many series are faster or slower than the baseline at the only length."""
    faster, slower, close = results.standing
    if len(faster) + len(slower) + len(close) > 1:
        pairs = ((faster, "faster than"), (slower, "slower than"), (close, "not distinguishable from"))
        told = [f"{_some(list(names(part)), named)} {words}" for part, words in pairs if len(part)]
        told[0] = told[0].replace(" than", f" than {named[results.baseline]}")
        told[0] = told[0].replace(" from", f" from {named[results.baseline]}")
        yield f"At N = {results.compared_at}, {listed([told[0], *(each.removesuffix(' than') for each in told[1:])])}."


def _needs(results: Results, best: pd.Series, named: Mapping[str, str]) -> Iterator[str]:
    """Return how the time of the fastest series grows, and its memory and realised share of the saved work."""
    name, base = _name(best), results.baseline
    rows = dict(results.growth)
    told = []
    grows = {each: rows[each]["time_exponent"] for each in (base, name) if each in rows}
    if name in grows and not math.isnan(grows[name]):
        beside = base in grows and base != name and not math.isnan(grows[base])
        told.append(f"its time grows as N^{grows[name]:.1f}" + (f", not N^{grows[base]:.1f}" if beside else ""))
    kept = {each.name: each.most for each in results.kept}
    if name in kept:
        told.append(f"it keeps {units.size(kept[name])}" + (f", not {units.size(kept[base])}" if base in kept else ""))
    elif base != name and not math.isnan(best["peak_fraction"]):
        told.append(f"it needs {units.fraction(best['peak_fraction'])} times the peak memory of {named[base]}")
    if told:
        yield f"Of {named[name]}: {listed(told)}."


def _elsewhere(
    best: pd.Series, results: Results, settings: Sequence[Results], named: Mapping[str, str]
) -> Iterator[str]:
    """Return in how many other settings the same series is the fastest."""
    others = [each for each in settings if each.passed and each is not results]
    if others:
        same = sum(_name(_best(each)) == _name(best) for each in others)
        yield f"{named[_name(best)]} is also the fastest in {same} of {len(others)} other settings."
