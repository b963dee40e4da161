"""Building blocks of sentences: lists, intervals, and the range in which something is faster."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from attnbench.reports.data.values import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.text import units

_MOST = 6
"""The most names that are listed one by one."""


def listed(told: Sequence[str]) -> str:
    """Join with commas: `a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def summed(told: Sequence[str]) -> str:
    """Join as `listed` does. For more than six, which must be ordered, give number and ends: `9, from a to z`."""
    return listed(told) if len(told) <= _MOST else f"{len(told)}, from {ends([told[0], told[-1]])}"


def ends(told: Sequence[str]) -> str:
    """Join two ends: `a to b`, or `a` if they are equal."""
    return " to ".join(dict.fromkeys(told))


def brackets(low: float, high: float) -> str:
    """Write the interval of a number after a blank; empty if it has none."""
    return "" if math.isnan(low) else f" {units.bounds(low, high)}"


class Where(NamedTuple):
    """Range in which a series is faster."""

    name: str
    kind: str
    """The kind of its crossover."""
    words: str
    """The range in words. All entries of kind `ALWAYS` must have the same words."""


def where(found: Sequence[Where]) -> list[str]:
    """Write ranges, grouped by kind: `a from N = 330`, `b and c at every length measured`, `none in range for d`."""
    told = [f"{name} {words}" for name, kind, words in found if kind in (CROSSES, UNCLEAR)]
    always = [each for each in found if each.kind == ALWAYS]
    told += [f"{listed([each.name for each in always])} {always[0].words}"] if always else []
    never = [each.name for each in found if each.kind == NEVER]
    return [*told, f"none in range for {listed(never)}"] if never else told
