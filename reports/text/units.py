"""Functions that format numbers with units, with no more digits than their interval justifies."""

import math
from collections.abc import Sequence

_MOST_DIGITS = 4
_DIGITS_WITHOUT_INTERVAL = 2
_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_ENERGY_UNITS = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
_SIZE_UNITS = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def digits(value: float, low: float, high: float) -> int:
    """Return the significant digits of `value`, up to the first one that the interval leaves open."""
    half = (high - low) / 2
    if not (math.isfinite(half) and math.isfinite(value)):
        return _DIGITS_WITHOUT_INTERVAL
    if half <= 0 or value == 0:
        return _MOST_DIGITS
    return min(max(_place(value) - _place(half) + 1, 1), _MOST_DIGITS)


def number(value: float, significant: int) -> str:
    """Write `value` with `significant` digits and without an exponent: `12,300`, `3.10`, `0.012`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = significant - 1 - _place(value)
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def honest(value: float, low: float, high: float) -> str:
    """Write `value` with the digits that its interval justifies, as `interval` does."""
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(value)):
        return number(value, _DIGITS_WITHOUT_INTERVAL)
    return _alike(value, low, high)[0]


def interval(value: float, low: float, high: float, unit: str = "") -> str:
    """Write a number, its unit, and its interval, all to the same decimal place: `0.940x (0.882 to 1.003)`.

    Without an interval this is the number alone, to two digits. Markdown needs no escape for this form.
    """
    told = f"{honest(value, low, high)}{unit}"
    return told if math.isnan(low) else f"{told} {bounds(value, low, high)}"


def bounds(value: float, low: float, high: float) -> str:
    """Write the ends of an interval to the decimal place at which `honest` stops its value: `(660 to 830)`."""
    _, *ends = _alike(value, low, high)
    return f"({' to '.join(ends).replace(',', '')})"


def step(low: float, high: float) -> float:
    """Return the unit of the last digit that an interval bears: 10 for `(660 to 830)`."""
    return float(10.0 ** _last_place(low, high))


def _alike(value: float, low: float, high: float) -> list[str]:
    """Write a number and the ends of its interval to one decimal place; to as many digits each if it is wide."""
    numbers, ends = (value, low, high), (low, high)
    # The end of a ratio above or below 1 must not read as 1, here and below.
    if 0 < 10 * low <= high:
        significant = _DIGITS_WITHOUT_INTERVAL
        while any(_reads_as_one(end, significant - 1 - _place(end)) for end in ends) and significant < _MOST_DIGITS:
            significant += 1
        return [number(each, significant) for each in numbers]
    places = [_place(each) for each in numbers if each]
    least = max(places, default=0) - _MOST_DIGITS + 1
    half = (high - low) / 2
    last = max(min([_place(half) if half > 0 else least, *places]), least)
    while any(_reads_as_one(end, -last) for end in ends) and last > -_MOST_DIGITS:
        last -= 1
    return [number(each, max(_place(each) - last + 1, 1) if each else 1) for each in numbers]


def _reads_as_one(value: float, decimals: int) -> bool:
    return round(value, decimals) == 1 != value


def _last_place(low: float, high: float) -> int:
    half, least = (high - low) / 2, _place((low + high) / 2) - _MOST_DIGITS + 1
    return max(_place(half), least) if half > 0 else least


def time(ns: float, low: float = math.nan, high: float = math.nan) -> str:
    """Write a time with its unit: `3.10 ms`."""
    scale, unit = _unit(ns, _TIME_UNITS)
    return f"{number(ns / scale, digits(ns, low, high))} {unit}"


def energy(joules: float, low: float = math.nan, high: float = math.nan) -> str:
    """Write an energy with its unit: `310 mJ`."""
    scale, unit = _unit(joules, _ENERGY_UNITS)
    return f"{number(joules / scale, digits(joules, low, high))} {unit}"


def size(count: float) -> str:
    """Write bytes with their unit, to three digits: `4.63 MiB`."""
    scale, unit = _unit(count, _SIZE_UNITS)
    return f"{number(count / scale, 3) if scale > 1 else round(count)} {unit}"


def time_scale(ns: Sequence[float]) -> tuple[float, str]:
    """Return nanoseconds in the unit that suits the smallest of some times, and its name."""
    return _unit(min(ns, default=1.0), _TIME_UNITS)


def size_scale(counts: Sequence[float]) -> tuple[float, str]:
    """Return bytes in the unit that suits the smallest of some sizes, and its name."""
    return _unit(min(counts, default=1.0), _SIZE_UNITS)


def spread(low: float, high: float) -> str:
    """Write half the width of an interval on the log scale: `±1.2%`; empty if there is none.

    From 100 % on these are its ends, as multiples of the value in the middle: `(0.24 to 4.1 times)`.
    """
    factor = math.sqrt(high / low)
    return "" if math.isnan(low) else _either_way(factor - 1, 1 / factor, factor)


def linear_spread(value: float, low: float, high: float) -> str:
    """Write half the width of an interval that is not on the log scale, as a share of its value, as `spread` does."""
    return "" if math.isnan(low) else _either_way((high - low) / 2 / value, low / value, high / value)


def change(share: float) -> str:
    """Write a change, a ratio minus 1, to two digits: `2.1%`, `160%`; empty if there is none."""
    return "" if math.isnan(share) else f"{number(100 * share, 2).removesuffix('.0')}%"


def percent(share: float, *beside: float) -> str:
    """Write a share in whole percent: `61%`. If it, or a share beside it, would read as 0, it has decimals: `0.3%`."""
    least = min((each for each in (share, *beside) if each > 0), default=1.0)
    return f"{100 * share:.{-_place(100 * least) if least < 0.005 else 0}f}%"


def fraction(share: float) -> str:
    """Write an exact ratio with two decimals, so that 1.02 does not read as 1.0; from 10 on with two digits."""
    return f"{share:.2f}" if 0.01 <= share < 9.995 else number(share, 2)


def clock(seconds: float) -> str:
    """Write a duration as a clock does: `1:05`, `2:03:04`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def length(n: float) -> str:
    """Write a sequence length in short: `512`, `2K`, `1M`."""
    whole = round(n)
    for scale, unit in ((1 << 20, "M"), (1 << 10, "K")):
        if whole >= scale and whole % scale == 0:
            return f"{whole // scale}{unit}"
    return str(whole)


def _either_way(share: float, low: float, high: float) -> str:
    """Write a share in either direction, `±1.2%`, or from 100 % on the multiples at the ends."""
    if share >= 1:
        return bounds(1.0, low, high).replace(")", " times)")
    return f"±{number(100 * share, 2)}%" if share >= 0.001 else "±<0.1%"


def _place(value: float) -> int:
    """Return the power of ten of the leading digit."""
    return math.floor(math.log10(abs(value)))


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """Return the largest unit that is at most `value`, else the smallest one."""
    return next((each for each in units if value >= each[0]), units[-1])
