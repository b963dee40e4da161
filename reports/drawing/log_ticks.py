"""Positions and labels of ticks on logarithmic axes."""

import math
from collections.abc import Callable, Sequence

from attnbench.reports.text import units

Ticks = Callable[[float, float], list[tuple[float, str]]]
"""Function from the ends of an axis to its ticks and their labels."""

Places = Callable[[Sequence[float], int], list[tuple[float, str]]]
"""Function from the ascending values on an axis, and the most ticks that fit, to its ticks and their labels."""

_MOST = 7


def times(low: float, high: float) -> list[tuple[float, str]]:
    """Return decades of nanoseconds, with twos and fives if there are few decades."""
    return [(place, round_time(place)) for place in _decades(low, high)]


def rates(low: float, high: float) -> list[tuple[float, str]]:
    """Return decades of a count per second, with twos and fives if there are few decades."""
    return [(place, round_count(place)) for place in _decades(low, high)]


def _decades(low: float, high: float) -> list[float]:
    """Return powers of ten between two numbers, with twos and fives if there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [lead * 10.0**decade for decade in decades for lead in (1, 2, 5)]
    inside = [place for place in every if low <= place <= high] or [_between(low, high)]
    tens = [place for place in inside if math.isclose(math.log10(place), round(math.log10(place)))]
    return inside if len(inside) <= _MOST else tens if len(tens) > 2 else inside[:: len(inside) // _MOST + 1]


def sizes(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of two of bytes."""
    return [(place, round_size(place)) for place in _powers(low, high)]


def ratios(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of two as multiples: `0.5x`, `1x`, `2x`."""
    return [(place, f"{place:g}x") for place in _powers(low, high)]


def lengths(n: Sequence[float], room: int) -> list[tuple[float, str]]:
    """Return at most `room` of the measured lengths, evenly thinned, always with the longest."""
    step = -(-len(n) // room)
    return [(place, units.length(place)) for place in n[::-1][::step][::-1]]


def counts(values: Sequence[float], room: int) -> list[tuple[float, str]]:
    """Return at most `room` powers of two between the values."""
    return [(place, units.length(place)) for place in _powers(values[0], values[-1])[-room:]]


def whole(values: Sequence[float], room: int) -> list[tuple[float, str]]:
    """Return at most `room` of the whole numbers, the largest ones."""
    return [(place, f"{place:g}") for place in values[-room:]]


def densities(low: float, high: float) -> list[tuple[float, str]]:
    """Return shares of 1 in percent, by ones, twos and fives of each decade as far as there is room."""
    decades = [lead * 10.0**decade for decade in range(-6, 1) for lead in (1, 2, 5)]
    inside = [place for place in decades if low <= place <= min(high, 1.0)]
    return [(place, f"{100 * place:g} %") for place in inside[::-1][:: len(inside) // _MOST + 1][::-1]]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of two between two numbers; if there are too many, only exponents that a power of two divides."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = 1
    while (last - first) // step + 1 > _MOST:
        step *= 2
    return [2.0**power for power in range(first, last + 1) if power % step == 0] or [_between(low, high)]


def _between(low: float, high: float) -> float:
    """Return a number of two digits between two close numbers, else the smaller of these."""
    middle = float(f"{math.sqrt(low * high):.1e}")
    return middle if low <= middle <= high else low


def round_time(ns: float) -> str:
    """Write a round time: `50 µs`."""
    for scale, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= scale * 0.999:
            return f"{ns / scale:g} {unit}"
    return f"{ns:g} ns"


def round_count(count: float) -> str:
    """Write a round number: `50K`."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if count >= scale * 0.999:
            return f"{count / scale:g}{unit}"
    return f"{count:g}"


def round_size(count: float) -> str:
    """Write a round size: `16 MiB`."""
    for scale, unit in ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")):
        if count >= scale:
            return f"{count / scale:.4g} {unit}"
    return f"{count:g} B"
