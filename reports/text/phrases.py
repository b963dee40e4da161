"""Building blocks of sentences: lists, and numbers with intervals."""

import math
from collections.abc import Sequence

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
