"""Sentences on keys per query: where a pattern beats the baseline, cost per key, realised share."""

import math
from collections import Counter
from collections.abc import Sequence

from attnbench.reports.data.sweeps import Sweep
from attnbench.reports.data.values import CROSSES, FEWEST_PROCESSES, NEVER
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import Where, ends, listed, where


def sentences(found: Sequence[Sweep], density: float | None) -> list[str]:
    """Return sentences on the sweeps of a setting; `density` is the lowest that all of them reach."""
    if not found:
        return []
    alone = [label for label, many in Counter(each.label for each in found).items() if many == 1]
    named = {each.label if each.label in alone else each.name: each for each in found}
    told = [_limits(named), _cost(named), _growth(named), _doubling(named), _realised(named, density), _memory(named)]
    return [f"at N = {found[0].seq_len}, {each}." for each in told if each]


def _limits(named: dict[str, Sweep]) -> str:
    """Return the keys per query up to which each sweep is faster than the baseline."""
    limits = {name: sweep.limit for name, sweep in named.items()}
    compared = [name for name in named if limits[name].kind and limits[name].processes >= FEWEST_PROCESSES]
    told = where([Where(name, limits[name].kind, cells.limit(limits[name], named[name].seq_len)) for name in compared])
    return f"faster than {named[compared[0]].against}: {'; '.join(told)}" if told else ""


def _cost(named: dict[str, Sweep]) -> str:
    """Return the cost of one more key, for sweeps whose time is nearly a straight line."""
    straight = {name: sweep for name, sweep in named.items() if sweep.line.straight}
    level = [name for name, sweep in straight.items() if not sweep.rises]
    told = [f"{cells.line(sweep.line)} a key with {name}" for name, sweep in straight.items() if name not in level]
    parts = [f"a call takes about {listed(told)}"] if told else []
    return "; ".join([*parts, *([f"no cost of one more key shows with {listed(level)}"] if level else [])])


def _growth(named: dict[str, Sweep]) -> str:
    """Return how time grows with keys per query."""
    found = {name: sweep.exponent for name, sweep in named.items()}
    told = [f"{cells.power(each)} for {name}" for name, each in found.items() if math.isfinite(each.mean)]
    return f"time grows with k keys per query as {listed(told)}" if told else ""


def _doubling(named: dict[str, Sweep]) -> str:
    """Return the keys per query from which each sweep takes twice the time of its fewest keys."""
    found = {name: sweep.doubling for name, sweep in named.items()}
    told = [
        f"{name} {cells.doubling(each)} (fewest: {cells.keys(named[name].keys[0])})"
        for name, each in found.items()
        if each.kind == CROSSES
    ]
    never = [name for name, each in found.items() if each.kind == NEVER]
    told += [f"none in range for {listed(never)}"] if never else []
    return f"twice the time of the fewest keys: {'; '.join(told)}" if told else ""


def _realised(named: dict[str, Sweep], density: float | None) -> str:
    """Return the share of its bound that each sweep realises at a common density, the largest first."""
    found = {name: sweep.realised for name, sweep in named.items() if sweep.against and sweep.realised}
    known = {name: each for name, each in found.items() if math.isfinite(each.mean)}
    if density is None or len(found) < 2 or not known:
        return ""
    told = [f"{cells.share(known[name])} by {name}" for name in sorted(known, key=lambda name: -known[name].mean)]
    at = f"where {cells.density(density)} of all pairs are allowed, the least that all of them measured"
    return f"{at}, of the speed-up that the saved work allows was realised {listed(told)}"


def _memory(named: dict[str, Sweep]) -> str:
    """Return peak memory from the fewest to the most keys, over the baseline's."""
    told = [
        f"{ends([units.number(share, 2) for share in sweep.peak_shares])} times for {name}"
        for name, sweep in named.items()
        if all(map(math.isfinite, sweep.peak_shares))
    ]
    baseline = next((sweep.against for sweep in named.values() if sweep.against), "")
    return f"peak memory from the fewest to the most keys is, against {baseline}, {listed(told)}" if told else ""
