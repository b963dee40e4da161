"""Quantities that an interactive figure can show, each with its words and its axis."""

import math
from collections.abc import Callable
from typing import NamedTuple

from attnbench.reports.drawing import log_ticks

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
    column: str
    """Its column of the frame. The table of all cases knows which columns hold its interval."""
    round: Callable[[float], str]
    """Function that writes a round value, for the axis."""
    reading: str
    """What is better."""
    binary: bool = False
    """Whether the axis has its ticks at powers of two."""
    bound: str = ""
    """The column of what the work alone allows, if there is one."""

    @property
    def told(self) -> dict[str, str]:
        """What the script of the page gets."""
        return {"words": self.words, "column": self.column, "reading": self.reading, "bound": self.bound}

    def ticks(self, low: float, high: float) -> list[Tick]:
        """Return the ticks of a logarithmic axis that may be needed between two values."""
        if self.binary:
            powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
            return [Tick(2.0**each, self.round(2.0**each), _rank(each)) for each in powers]
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        places = [(float(f"{lead}e{decade}"), rank) for decade in decades for lead, rank in _LEADS.items()]
        return [Tick(place, self.round(place), rank) for place, rank in places]


def _rank(power: int) -> int:
    """Return the rank of a power of two: 0 for every fourth, 1 for every other, 2 for the rest."""
    return 0 if power % 4 == 0 else 1 if power % 2 == 0 else 2


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


METRICS = (
    Metric(
        "score",
        "score",
        _percent,
        "Higher is better. It is the share of the test's targets that a model finds.",
    ),
    Metric(
        "time of one call",
        "time_ns",
        log_ticks.round_time,
        "Lower is faster.",
    ),
    Metric(
        "speed-up against the baseline",
        "speedup",
        "{:g}x".format,
        "Above 1 is faster than the baseline. Dashed: the speed-up if time followed work.",
        binary=True,
        bound="bound_speedup",
    ),
    Metric(
        "peak memory of one call",
        "peak_bytes",
        log_ticks.round_size,
        "Lower is better. It is the peak of the allocator, inputs apart.",
        binary=True,
    ),
    Metric(
        "energy of one call",
        "energy_j",
        log_ticks.round_energy,
        "Lower is better. It is what the device takes beyond being idle.",
    ),
    Metric(
        "share of the roof",
        "roof_share",
        _percent,
        "Higher uses the machine better. The roof is the fastest matrix product seen beside the case.",
    ),
    Metric(
        "realised share of the bound",
        "realised",
        _percent,
        "Higher is better. It is the measured speed-up over the one that the saved work allows.",
    ),
    Metric(
        "tokens per second",
        "tokens_per_s",
        log_ticks.round_count,
        "Higher is faster.",
    ),
    Metric(
        "error against full attention",
        "error_vs_full",
        "{:g}".format,
        "Lower is closer to full attention. It is a share of the size of its output.",
    ),
    Metric(
        "largest error against the reference",
        "max_abs_error",
        "{:g}".format,
        "The largest difference of an output from the float64 reference of the same mechanism.",
    ),
    Metric(
        "cache or state of earlier tokens",
        "state_bytes",
        log_ticks.round_size,
        "Lower keeps less. A cache of all tokens grows with N; a state does not.",
        binary=True,
    ),
)
"""Every quantity, in the order of the menu."""
