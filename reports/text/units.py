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
    """Write `value` with the digits that its interval justifies."""
    return number(value, digits(value, low, high))


def bounds(low: float, high: float) -> str:
    """Write the ends of an interval to the same decimal place as `honest` writes its value: `(660 to 830)`.

    Markdown needs no escape for this form.
    """
    last = _last_place(low, high)
    # A ratio above or below 1 must not read as 1.
    while any(round(end, -last) == 1 != end for end in (low, high)) and last > -_MOST_DIGITS:
        last -= 1
    ends = (number(end, max(_place(end) - last + 1, 1)) for end in (low, high))
    return f"({' to '.join(end.replace(',', '') for end in ends)})"


def step(low: float, high: float) -> float:
    """Return the unit of the last digit that an interval bears: 10 for `(660 to 830)`."""
    return float(10.0 ** _last_place(low, high))


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
    """Write half the width of an interval on the log scale: `±1.2%`; empty if there is none."""
    return "" if math.isnan(low) else _either_way(math.sqrt(high / low) - 1)


def linear_spread(value: float, low: float, high: float) -> str:
    """Write half the width of an interval that is not on the log scale, as a share of its value."""
    return "" if math.isnan(low) else _either_way((high - low) / 2 / value)


def percent(share: float) -> str:
    """Write a share in whole percent, or with one digit if it rounds to 0: `61%`, `0.3%`."""
    return f"{share:.0%}" if share >= 0.005 or share <= 0 else f"{number(100 * share, 1)}%"


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


def _either_way(share: float) -> str:
    """Write a share in either direction: `±1.2%`."""
    return f"±{number(100 * share, 2)}%" if share >= 0.001 else "±<0.1%"


def _place(value: float) -> int:
    """Return the power of ten of the leading digit."""
    return math.floor(math.log10(abs(value)))


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """Return the largest unit that is at most `value`, else the smallest one."""
    return next((each for each in units if value >= each[0]), units[-1])
