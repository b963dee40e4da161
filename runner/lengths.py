"""Lengths at which patterns exist: to draw them there, and to check what computes them."""

from collections.abc import Iterable, Iterator

from attnbench.variants import Pattern

POWERS = tuple(2**power for power in range(6, 12))
"""From 64 to 2048: what exists in whole blocks alone mostly exists at some of these."""


def existing(patterns: Iterable[tuple[Pattern, int]]) -> Iterator[tuple[Pattern, int]]:
    """Of patterns with a length each, those that exist there."""
    return (each for each in patterns if each[0].unsupported(each[1]) is None)
