"""Positions and labels of ticks on logarithmic axes."""

import math
from collections.abc import Callable, Sequence

from attnbench.reports.text import units

Ticks = Callable[[float, float], list[tuple[float, str]]]
"""Function from the ends of an axis to its ticks and their labels."""

Places = Callable[[Sequence[float], int], list[tuple[float, str]]]
"""Function from the ascending values on an axis, and the most ticks that fit, to its ticks and their labels."""

_MOST, _FEWEST = 7, 4
"""The most ticks of an axis, and the fewest if numbers of two digits give as many."""


def times(low: float, high: float) -> list[tuple[float, str]]:
    """Return evenly spaced round numbers of nanoseconds."""
    return [(place, round_time(place)) for place in _even(low, high)]


def energies(low: float, high: float) -> list[tuple[float, str]]:
    """Return evenly spaced round numbers of joules."""
    return [(place, round_energy(place)) for place in _even(low, high)]


def rates(low: float, high: float) -> list[tuple[float, str]]:
    """Return evenly spaced round numbers of a count per second."""
    return [(place, round_count(place)) for place in _even(low, high)]


def numbers(low: float, high: float) -> list[tuple[float, str]]:
    """Return evenly spaced round numbers without a unit."""
    return [(place, f"{place:g}") for place in _even(low, high)]


def _even(low: float, high: float) -> list[float]:
    """Return round numbers between two numbers: 1, 10, 100, or 1, 3, 10, 30, or 1, 2, 4, 8, or finer.

    They have the same ratio, so that a logarithmic axis shows them at equal distances; 3 is nearly half of a decade.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # Powers of two start at a power of ten that is on the axis, if there is one.
    ten = 10.0 ** math.floor(math.log10(high))
    first, last = math.floor(math.log2(low / ten)), math.ceil(math.log2(high / ten))
    found = [
        [10.0**power for power in decades],
        [10.0**power * lead for power in decades for lead in (1, 3)],
        [ten * 2.0**power for power in range(first, last + 1)],
        *(
            [float(f"{ten * 2 ** (part / parts):.1e}") for part in range(first * parts, last * parts + 1)]
            for parts in (2, 4)
        ),
    ]
    for every in found:
        inside = [place for place in every if low <= place <= high]
        if len(inside) >= _FEWEST:
            return inside[:: -(-len(inside) // _MOST)]
    return inside or [_between(low, high)]


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
    """Return evenly spaced shares of 1 in percent."""
    return [(place, f"{100 * place:g} %") for place in _even(low, min(high, 1.0))] if low < 1 else []


def _powers(low: float, high: float) -> list[float]:
    """Return powers of two between two numbers; if there are too many, only exponents that a power of two divides."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = 1
    while (last - first) // step + 1 > _MOST:
        step *= 2
    return [2.0**power for power in range(first, last + 1) if power % step == 0] or [_between(low, high)]


def _between(low: float, high: float) -> float:
    """Return a number of two digits between two close numbers, else the smaller of these."""
    middle = _two_digits(math.sqrt(low * high))
    return middle if low <= middle <= high else low


def _two_digits(number: float) -> float:
    return float(f"{number:.1e}")


def round_time(ns: float) -> str:
    """Write a round time: `50 µs`."""
    for scale, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= scale * 0.999:
            return f"{ns / scale:g} {unit}"
    return f"{ns:g} ns"


def round_energy(joules: float) -> str:
    """Write a round energy: `50 mJ`."""
    for scale, unit in ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ")):
        if joules >= scale * 0.999:
            return f"{joules / scale:g} {unit}"
    return f"{joules * 1e6:g} µJ"


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
