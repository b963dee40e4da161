"""Phrases for crossover results."""

from collections.abc import Sequence
from typing import NamedTuple

from attnbench.reports.stats.crossover import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.text.phrases import listed


class Where(NamedTuple):
    """Where one of them is faster."""

    name: str
    kind: str
    """Of a crossover."""
    words: str
    """The same of all whose kind is `ALWAYS`."""


def phrases(found: Sequence[Where]) -> list[str]:
    """`a from N = 330`, `b and c at every length measured`, `none in range for d`."""
    told = [f"{name} {words}" for name, kind, words in found if kind in (CROSSES, UNCLEAR)]
    always = [each for each in found if each.kind == ALWAYS]
    told += [f"{listed([each.name for each in always])} {always[0].words}"] if always else []
    never = [each.name for each in found if each.kind == NEVER]
    return [*told, f"none in range for {listed(never)}"] if never else told
