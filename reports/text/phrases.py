"""Building blocks of sentences: lists, ends and intervals."""

import math
from collections.abc import Sequence

from attnbench.reports.text import units

MOST_WORDS = 25
"""The most words of a sentence in the answer."""


def listed(told: Sequence[str]) -> str:
    """Join with commas: `a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def ends(told: Sequence[str]) -> str:
    """Join two ends: `a to b`, or `a` if they are equal."""
    return " to ".join(dict.fromkeys(told))


def brackets(low: float, high: float) -> str:
    """Write the interval of a number after a blank; empty if it has none."""
    return "" if math.isnan(low) else f" {units.bounds(low, high)}"
