"""Sentences on keys per query: up to how many a pattern beats the baseline, cost per key, realised share."""

import math
from collections import Counter

import numpy as np

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting
from attnbench.reports.stats.crossover import CROSSES, NEVER
from attnbench.reports.stats.statistics import FEWEST_PROCESSES
from attnbench.reports.summary.sweeps import (
    Sweep,
    common_density,
    doubling,
    exponent,
    limit,
    line,
    realised,
    rises,
    sweeps,
)
from attnbench.reports.text import cells, units
from attnbench.reports.text.crossovers import Where, phrases
from attnbench.reports.text.phrases import ends, listed


def sentences(run: Run, setting: Setting) -> list[str]:
    """Of the sweeps of a setting; none where it has none."""
    found = sweeps(run, setting)
    if not found:
        return []
    alone = [label for label, many in Counter(each.label for each in found).items() if many == 1]
    named = {each.label if each.label in alone else each.name: each for each in found}
    told = [_limits(named), _cost(named), _growth(named), _doubling(named), _realised(named), _memory(named)]
    return [f"at N = {found[0].seq_len}, {each}." for each in told if each]


def _limits(named: dict[str, Sweep]) -> str:
    """Up to how many keys per query each sweep is faster than the baseline."""
    limits = {name: limit(sweep) for name, sweep in named.items()}
    compared = [name for name in named if limits[name].kind and limits[name].processes >= FEWEST_PROCESSES]
    if not compared:
        return ""
    told = phrases(
        [Where(name, limits[name].kind, cells.limit(limits[name], named[name].seq_len)) for name in compared]
    )
    return f"faster than {named[compared[0]].baseline}: {'; '.join(told)}"


def _cost(named: dict[str, Sweep]) -> str:
    """What one more key costs, where time is nearly a straight line."""
    lines = {name: line(sweep) for name, sweep in named.items()}
    straight = {name: each for name, each in lines.items() if each.straight}
    level = [name for name, each in straight.items() if not rises(named[name], each)]
    told = [f"{cells.line(each)} a key with {name}" for name, each in straight.items() if name not in level]
    parts = [f"a call takes about {listed(told)}"] if told else []
    return "; ".join([*parts, *([f"no cost of one more key shows with {listed(level)}"] if level else [])])


def _growth(named: dict[str, Sweep]) -> str:
    """How time grows with keys per query."""
    found = {name: exponent(sweep) for name, sweep in named.items()}
    told = [f"{cells.power(each)} for {name}" for name, each in found.items() if math.isfinite(each.mean)]
    return f"time grows with k keys per query as {listed(told)}" if told else ""


def _doubling(named: dict[str, Sweep]) -> str:
    """From how many keys per query on each sweep takes twice the time of its fewest."""
    found = {name: doubling(sweep) for name, sweep in named.items()}
    told = [
        f"{name} {cells.doubling(each)} (fewest: {cells.keys(named[name].keys[0])})"
        for name, each in found.items()
        if each.kind == CROSSES
    ]
    never = [name for name, each in found.items() if each.kind == NEVER]
    told += [f"none in range for {listed(never)}"] if never else []
    return f"twice the time of the fewest keys: {'; '.join(told)}" if told else ""


def _realised(named: dict[str, Sweep]) -> str:
    """What part of the speed-up by work each sweep realises where all are equally sparse, the most first."""
    against = {name: sweep for name, sweep in named.items() if sweep.baseline}
    density = common_density(list(against.values())) if len(against) > 1 else None
    if density is None:
        return ""
    found = {name: realised(sweep, density) for name, sweep in against.items()}
    known = sorted((name for name in found if math.isfinite(found[name].mean)), key=lambda name: -found[name].mean)
    if not known:
        return ""
    told = [f"{cells.share(found[name])} by {name}" for name in known]
    where = f"where {cells.density(density)} of all pairs are allowed, the least that all of them measured"
    return f"{where}, of the speed-up that the saved work allows was realised {listed(told)}"


def _memory(named: dict[str, Sweep]) -> str:
    """Peak memory from the fewest to the most keys, against the baseline's."""
    told = []
    for name, sweep in named.items():
        shares = sweep.peak_bytes[[0, -1]] / (sweep.baseline_peak_bytes or np.nan)
        if np.isfinite(shares).all():
            told.append(f"{ends([units.number(share, 2) for share in shares])} times for {name}")
    baseline = next((sweep.baseline for sweep in named.values() if sweep.baseline), "")
    return f"peak memory from the fewest to the most keys is, against {baseline}, {listed(told)}" if told else ""
