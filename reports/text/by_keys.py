"""Sentences on keys per query: up to where patterns beat the baseline, which realises most, and the cost of a key."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from attnbench.reports.data.sweeps import Sweep
from attnbench.reports.data.values import ALWAYS, CROSSES
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import ends, listed


def sentences(found: Sequence[Sweep], density: float | None, named: Mapping[str, str]) -> list[str]:
    """Return sentences on the sweeps of a setting; `density` is the lowest that all reach, `named` has short names."""
    if not found:
        return []
    alone = [label for label, many in Counter(each.label for each in found).items() if many == 1]
    sweeps = {each.label if each.label in alone else each.name: each for each in found}
    told = [_limits(sweeps, named), _realised(sweeps, density), _cost(sweeps)]
    return [each for each in told if each]


def _limits(sweeps: Mapping[str, Sweep], named: Mapping[str, str]) -> str:
    """Return up to how many keys per query sweeps are faster than the baseline."""
    limits = {name: sweep.limit for name, sweep in sweeps.items() if sweep.limit.kind}
    if not limits:
        return ""
    first = next(iter(sweeps.values()))
    head = f"At N = {first.seq_len}, faster than {named[first.against]}: "
    always = [name for name, each in limits.items() if each.kind == ALWAYS]
    crossing = {name: each for name, each in limits.items() if each.kind == CROSSES}
    told = [f"{_some(always, limits)} at every number of keys measured"] if always else []
    if len(crossing) == 1:
        told += [f"{name} {cells.limit(each)} per query" for name, each in crossing.items()]
    elif crossing:
        numbers = [each.last if math.isnan(each.at) else each.at for each in crossing.values()]
        keys = ends([units.number(each, 2) for each in (min(numbers), max(numbers))])
        told.append(f"{_some(list(crossing), limits)} up to {keys} keys per query")
    rest = [name for name in limits if name not in always and name not in crossing]
    told += [f"{_some(rest, limits)} not even with the fewest keys"] if rest else []
    return f"{head}{listed(told)}."


def _some(names: Sequence[str], of: Mapping[str, object]) -> str:
    """Write how many of some sweeps: their name if it is one, `all 4`, `3 of 4`."""
    if len(names) == 1:
        return names[0]
    return f"all {len(of)} sweeps" if len(names) == len(of) else f"{len(names)} of {len(of)} sweeps"


def _realised(sweeps: Mapping[str, Sweep], density: float | None) -> str:
    """Return the largest and the smallest realised share of the bound at a common density."""
    found = {name: sweep.realised for name, sweep in sweeps.items() if sweep.against and sweep.realised}
    known = {name: float(each.mean) for name, each in found.items() if math.isfinite(each.mean)}
    if density is None or len(known) < 2:
        return ""
    most, least = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
    shares = (units.percent(math.exp(known[name])) for name in (most, least))
    told = f"Where {cells.density(density)} of all pairs are allowed, {most} realises {next(shares)} of the speed-up"
    return f"{told} that its saved work allows, {least} {next(shares)}."


def _cost(sweeps: Mapping[str, Sweep]) -> str:
    """Return the smallest and the largest cost of one more key, of sweeps whose time rises as a straight line."""
    rising = {name: sweep.line.per_key_ns for name, sweep in sweeps.items() if sweep.line.straight and sweep.rises}
    if not rising:
        return ""
    ordered = sorted(rising, key=lambda name: float(rising[name].mean))
    told = [f"{units.time(*map(float, rising[name][:3]))} with {name}" for name in ordered]
    return f"One more key per query adds {ends([told[0], told[-1]])} to a call."
