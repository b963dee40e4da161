"""Quantities that an interactive figure can show, each with its words and its axis."""

import math
from collections.abc import Callable
from typing import NamedTuple

from attnbench.reports.drawing import log_ticks
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import brackets

Written = Callable[[float, float, float], str]
"""Function from a value and the ends of its interval, NaN if it has none, to words."""


_LEADS = {1: 0, 2: 1, 3: 2, 4: 2, 5: 1, 6: 2, 7: 2, 8: 2, 9: 2}
"""Leading digits of ticks, with their ranks."""


class Tick(NamedTuple):
    """Place on an axis that may have a tick."""

    place: float
    words: str
    rank: int
    """The figure has the ticks of rank 0, and those of further ranks as far as there is room."""


class Metric(NamedTuple):
    """Quantity of a case."""

    words: str
    columns: tuple[str, ...]
    """Its column of the frame, then those of the ends of its interval if it has one."""
    written: Written
    round: Callable[[float], str]
    """Function that writes a round value, for the axis."""
    reading: str
    """What is better."""
    binary: bool = False
    """Whether the axis has its ticks at powers of two."""
    bound: str = ""
    """The column of what the work alone allows, if there is one."""

    def ticks(self, low: float, high: float) -> list[Tick]:
        """Return the ticks of a logarithmic axis that may be needed between two values."""
        if self.binary:
            powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
            return [Tick(2.0**each, self.round(2.0**each), _rank(each)) for each in powers]
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        places = [(lead, float(f"{lead}e{decade}")) for decade in decades for lead in range(1, 10)]
        return [
            Tick(place, self.round(place), 0 if lead == 1 else 1 if lead in (2, 5) else 2) for lead, place in places
        ]


def _rank(power: int) -> int:
    """Return the rank of a power of two: 0 for every fourth, 1 for every other, 2 for the rest."""
    return 0 if power % 4 == 0 else 1 if power % 2 == 0 else 2


def _time(value: float, low: float, high: float) -> str:
    return f"{units.time(value, low, high)} {units.spread(low, high)}".rstrip()


def _times(value: float, low: float, high: float) -> str:
    return f"{units.honest(value, low, high)}x{brackets(low, high)}"


def _share(value: float, low: float, high: float) -> str:
    ends = "" if math.isnan(low) else f" [{units.percent(low)}, {units.percent(high)}]"
    return units.percent(value) + ends


def _size(value: float, low: float, high: float) -> str:
    del low, high
    return units.size(value)


def _rate(value: float, low: float, high: float) -> str:
    return f"{units.honest(value, low, high)}{brackets(low, high)}"


def _error(value: float, low: float, high: float) -> str:
    del low, high
    return cells.error(value)


def _difference(value: float, low: float, high: float) -> str:
    del low, high
    return f"{value:.1e}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


METRICS = (
    Metric(
        "time of one call",
        ("time_ns", "time_low_ns", "time_high_ns"),
        _time,
        log_ticks.round_time,
        "Lower is faster. Both axes are logarithmic: a straight line is a power.",
    ),
    Metric(
        "speed-up against the baseline",
        ("speedup", "speedup_low", "speedup_high"),
        _times,
        "{:g}x".format,
        "Above 1 is faster than the baseline. Dashed: the speed-up if time followed work.",
        binary=True,
        bound="bound_speedup",
    ),
    Metric(
        "peak memory of one call",
        ("peak_bytes",),
        _size,
        log_ticks.round_size,
        "Lower is leaner. It is the peak of the allocator, inputs apart.",
        binary=True,
    ),
    Metric(
        "share of the roof",
        ("roof_share", "roof_share_low", "roof_share_high"),
        _share,
        _percent,
        "Higher uses the machine better. The roof is the fastest matrix product seen beside the case.",
    ),
    Metric(
        "realised share of the bound",
        ("realised",),
        _share,
        _percent,
        "Higher is better. It is the measured speed-up over the one that the saved work allows.",
    ),
    Metric(
        "tokens per second",
        ("tokens_per_s", "tokens_low", "tokens_high"),
        _rate,
        log_ticks.round_count,
        "Higher is faster.",
    ),
    Metric(
        "error against full attention",
        ("error_vs_full",),
        _error,
        "{:g}".format,
        "Lower is closer to full attention. It is a share of the size of its output.",
    ),
    Metric(
        "largest error against the reference",
        ("max_abs_error",),
        _difference,
        "{:g}".format,
        "The largest difference of an output from the float64 reference of the same mechanism.",
    ),
    Metric(
        "cache or state of earlier tokens",
        ("state_bytes",),
        _size,
        log_ticks.round_size,
        "Lower keeps less. A cache of all tokens grows with N; a state does not.",
        binary=True,
    ),
)
"""Every quantity, in the order of the menu. `tokens_low` and `tokens_high` are columns that a figure adds."""
