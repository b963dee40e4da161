"""Building blocks of sentences: lists, numbers with intervals, and where something is faster."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from attnbench.reports.data.values import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.text import units

_MOST = 6
"""More names than this are not listed."""


def listed(told: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def summed(told: Sequence[str]) -> str:
    """`a, b and c`; of more than six, which are in order, how many and the ends: `9, from a to z`."""
    return listed(told) if len(told) <= _MOST else f"{len(told)}, from {ends([told[0], told[-1]])}"


def ends(told: Sequence[str]) -> str:
    """`a to b`, or `a` where they are the same."""
    return " to ".join(dict.fromkeys(told))


def brackets(low: float, high: float) -> str:
    """The interval of a number after a blank, or nothing where it has none."""
    return "" if math.isnan(low) else f" {units.bounds(low, high)}"


class Where(NamedTuple):
    """Where one of them is faster."""

    name: str
    kind: str
    """Of a crossover."""
    words: str
    """The same of all whose kind is `ALWAYS`."""


def where(found: Sequence[Where]) -> list[str]:
    """`a from N = 330`, `b and c at every length measured`, `none in range for d`."""
    told = [f"{name} {words}" for name, kind, words in found if kind in (CROSSES, UNCLEAR)]
    always = [each for each in found if each.kind == ALWAYS]
    told += [f"{listed([each.name for each in always])} {always[0].words}"] if always else []
    never = [each.name for each in found if each.kind == NEVER]
    return [*told, f"none in range for {listed(never)}"] if never else told
