"""Building blocks of sentences: lists and ends."""

from collections.abc import Sequence

MOST_WORDS = 25
"""The most words of a sentence in the answer."""


def listed(told: Sequence[str]) -> str:
    """Join with commas: `a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def ends(told: Sequence[str]) -> str:
    """Join two ends: `a to b`, or `a` if they are equal."""
    return " to ".join(dict.fromkeys(told))
