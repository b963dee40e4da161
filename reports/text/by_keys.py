"""Sentences on keys per query: up to where series beat the baseline, the cost of a key, and which realises most."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from attnbench.reports.data.values import ALWAYS, CROSSES
from attnbench.reports.findings.sweeps import Sweep
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import ends


def sentences(found: Sequence[Sweep], density: float | None, named: Mapping[str, str]) -> list[str]:
    """Return sentences on the sweeps of a setting; `density` is the lowest that all reach, `named` has short names."""
    alone = [label for label, many in Counter(each.label for each in found).items() if many == 1]
    sweeps = {each.label if each.label in alone else each.name: each for each in found}
    return [*filter(None, [_limits(sweeps, named), _cost(sweeps), _realised(sweeps, density)])] if sweeps else []


def _limits(sweeps: Mapping[str, Sweep], named: Mapping[str, str]) -> str:
    """Return up to how many keys per query sweeps are faster than the baseline."""
    limits = {name: sweep.limit for name, sweep in sweeps.items() if sweep.limit.kind}
    if not limits:
        return ""
    always = [name for name, each in limits.items() if each.kind == ALWAYS]
    crossing = {name: each for name, each in limits.items() if each.kind == CROSSES}
    told = [(always, "at every number of keys measured")] if always else []
    if crossing:
        numbers = sorted(each.last if math.isnan(each.at) else each.at for each in crossing.values())
        keys = ends([units.number(each, 2).replace(",", "") for each in (numbers[0], numbers[-1])])
        up_to = cells.limit(next(iter(crossing.values()))) if len(crossing) == 1 else f"up to {keys} keys"
        told.append(([*crossing], up_to))
    first = next(iter(sweeps.values()))
    against = named[first.against]
    if not told:
        return f"At N = {first.seq_len}, none of {len(limits)} series is faster than {against} with any number of keys."
    subject, words = told[0]
    head = f"At N = {first.seq_len}, {_some(subject, len(limits))} faster than {against} {words}"
    rest = [name for name in limits if name not in always and name not in crossing]
    told += [(rest, "not even with the fewest")] if rest else []
    others = [f"{names[0] if len(names) == 1 else len(names)} {words}" for names, words in told[1:]]
    return f"{', '.join([head, *others])}."


def _some(names: Sequence[str], of: int) -> str:
    """Write some of several series with a verb: `a is`, `all 4 series are`, `3 of 4 series are`."""
    if len(names) == 1:
        return f"{names[0]} is"
    return f"all {of} series are" if len(names) == of else f"{len(names)} of {of} series are"


def _cost(sweeps: Mapping[str, Sweep]) -> str:
    """Return the smallest and the largest cost of one more key, of sweeps whose time rises as a straight line."""
    rising = {name: sweep.line.per_key_ns for name, sweep in sweeps.items() if sweep.line.straight and sweep.rises}
    if not rising:
        return ""
    ordered = sorted(rising, key=lambda name: float(rising[name].mean))
    told = [units.time(*map(float, rising[name][:3])) for name in dict.fromkeys((ordered[0], ordered[-1]))]
    if len(told) == 1:
        return f"One more key per query costs {told[0]} a call with {ordered[0]}."
    return f"One more key per query costs from {told[0]} a call with {ordered[0]} to {told[1]} with {ordered[-1]}."


def _realised(sweeps: Mapping[str, Sweep], density: float | None) -> str:
    """Return the largest and the smallest realised share of the bound at a common density."""
    found = {name: sweep.realised for name, sweep in sweeps.items() if sweep.against and sweep.realised}
    known = {name: float(each.mean) for name, each in found.items() if math.isfinite(each.mean)}
    if density is None or len(known) < 2:
        return ""
    most, least = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
    high, low = (units.percent(math.exp(known[name])) for name in (most, least))
    told = f"With {cells.density(density)} of all pairs, {most} realises {high} of the speed-up"
    return f"{told} that its saved work allows, {least} {low}."
