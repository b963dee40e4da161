"""Sentences on which results hold on all classes of hardware of a run, and which change sides."""

from collections.abc import Mapping, Sequence

from attnbench.reports.data.values import FASTER, SLOWER
from attnbench.reports.findings.hardware import CHANGES, HOLDS, ByHardware, OnEach
from attnbench.reports.text.phrases import listed


def sentences(found: Sequence[ByHardware], named: Mapping[str, str]) -> list[str]:
    """Return how many results hold on all classes, and what changes sides; nothing if no class is compared."""
    if not found or not found[0].baseline or not found[0].series:
        return []
    first = found[0]
    against, many = named[first.baseline], len(first.classes)
    holds = [each for each in first.series if each.result == HOLDS]
    changes = [each for each in first.series if each.result == CHANGES]
    faster = [each for each in holds if FASTER in each.verdicts.values()]
    told = f"On {'both' if many == 2 else f'all {many}'} kinds of hardware, "
    words = [
        f"{_some(each, first, named)} {'is' if len(each) == 1 else 'are'} {verdict} than {against}"
        for each, verdict in ((faster, FASTER), ([each for each in holds if each not in faster], SLOWER))
        if each
    ]
    kept = f"{told}{' and '.join(words) or f'nothing is shown to be faster or slower than {against}'}"
    return [f"{kept} at N = {first.seq_len}.", *([_changed(changes, named, against)] if changes else [])]


def _some(chosen: Sequence[OnEach], found: ByHardware, named: Mapping[str, str]) -> str:
    """Name one series, or count several."""
    if len(chosen) == 1:
        return named[chosen[0].name]
    return f"{'all' if len(chosen) == len(found.series) else f'{len(chosen)} of'} {len(found.series)} series"


def _changed(changes: Sequence[OnEach], named: Mapping[str, str], against: str) -> str:
    """Return on which hardware the first of some series is faster, and on which slower."""
    first = changes[0]
    sides = [
        f"{verdict} on {listed([name for name, said in first.verdicts.items() if said == verdict])}"
        for verdict in (FASTER, SLOWER)
    ]
    more = f" ({len(changes) - 1} more change sides)" if len(changes) > 1 else ""
    return f"Against {against}, {named[first.name]} is {' and '.join(sides)}{more}."
