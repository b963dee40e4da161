"""The terms of a comparison: its parameters, and the verdicts that it may reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from attnbench.reports.stats.statistics import FEWEST_PROCESSES

FEWEST_PAIRS = FEWEST_PROCESSES
"""Below this many pairs nothing is decided: a pair is one fresh process of either arm."""


@dataclass(frozen=True)
class Rule:
    """What is fixed before anything is measured; the guarantees of a decision hold for no other use.

    Changes are written as a ratio minus 1 and mean the same in both directions: 0.03 stands for 1.03 and 1 / 1.03.

    Raises:
        ValueError: a value is outside its range.
    """

    screen_pairs: int = 5
    """Pairs that every case gets."""
    confirm_pairs: int = 12
    """New pairs that a flagged case gets."""
    screen_level: float = 0.10
    """Level of the screening t test, for each direction."""
    floor: float = 0.03
    """A change is called only if its estimate is at least this large; half of it is enough to be flagged."""
    family_level: float = 0.05
    """The probability that a run without any change calls one, both directions together."""
    equivalence: float = 0.05
    """`unchanged` means: shown to be smaller than this."""

    @classmethod
    def of(cls, pairs: Mapping[str, int]) -> Self:
        """The rule of something measured with these numbers of pairs, `screen` and `confirm`."""
        return cls(screen_pairs=pairs["screen"], confirm_pairs=pairs["confirm"])

    def __post_init__(self) -> None:
        for name in ("screen_pairs", "confirm_pairs"):
            _within(name, getattr(self, name) >= FEWEST_PAIRS, f"at least {FEWEST_PAIRS}", getattr(self, name))
        for name in ("screen_level", "family_level"):
            _within(name, 0 < getattr(self, name) < 0.5, "a probability between 0 and 0.5", getattr(self, name))
        _within("floor", 0 <= self.floor < 1, "a ratio minus 1, from 0 to below 1", self.floor)
        _within("equivalence", 0 < self.equivalence < 1, "a ratio minus 1, between 0 and 1", self.equivalence)


def _within(name: str, holds: bool, expected: str, found: float) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, found {found}")


class Verdict(StrEnum):
    """What is said of one metric of a case; B is compared with A. The worst comes first."""

    REGRESSED = "regressed"
    """B is slower, or needs more."""
    ERROR = "error"
    """B did not pass where A did; or what is new in B is wrong, crashed, failed or timed out."""
    MISSING = "missing"
    """Only A has the case."""
    UNSTABLE = "unstable"
    """There is a difference, but either side is flagged `bimodal`, `drifting` or `throttled`."""
    INCONCLUSIVE = "inconclusive"
    """The samples bear out neither a change nor that there is none."""
    INCOMPARABLE = "incomparable"
    """Made under conditions that differ, or without a number on either side."""
    IMPROVED = "improved"
    """B is faster, or needs less."""
    NEW = "new"
    """Only B has the case, or only there it passed; it did pass."""
    UNCHANGED = "unchanged"
    """Shown to be the same: for times, the difference is smaller than the margin of equivalence."""


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}
"""The place of each verdict, the worst first."""
COMPARED = (Verdict.REGRESSED, Verdict.UNSTABLE, Verdict.INCONCLUSIVE, Verdict.IMPROVED, Verdict.UNCHANGED)
"""Verdicts for which there were two numbers to compare."""
