"""Parameters of a comparison, and its verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from attnbench.reports.stats.statistics import FEWEST_PROCESSES

FEWEST_PAIRS = FEWEST_PROCESSES
"""The fewest pairs for a decision. A pair is one fresh process of each arm."""


@dataclass(frozen=True)
class Rule:
    """Parameters of a comparison. The guarantees of `decide` need them to be fixed before anything is measured.

    A change is a ratio minus 1 and applies in both directions: 0.03 stands for 1.03 and 1 / 1.03.

    Raises:
        ValueError: a value is outside its range.
    """

    screen_pairs: int = 5
    """Pairs of every case."""
    confirm_pairs: int = 12
    """New pairs of a flagged case."""
    screen_level: float = 0.10
    """Level of the screening t test, per direction."""
    floor: float = 0.03
    """The smallest estimate that is called a change. A case is flagged from half of it."""
    family_level: float = 0.05
    """The largest probability that a run without any change calls one, both directions together."""
    equivalence: float = 0.05
    """A case is `unchanged` if its whole interval is within this change."""

    @classmethod
    def of(cls, pairs: Mapping[str, int]) -> Self:
        """Return the rule for the numbers of pairs `screen` and `confirm`."""
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
    """Verdict on one metric of a case, B compared with A. The worst comes first."""

    REGRESSED = "regressed"
    """B is slower, or needs more."""
    ERROR = "error"
    """A passed and B did not, or the case is new in B and is wrong, crashed, failed or timed out."""
    MISSING = "missing"
    """Only A has the case."""
    UNSTABLE = "unstable"
    """There is a difference, but one side is flagged `bimodal`, `drifting` or `throttled`."""
    INCONCLUSIVE = "inconclusive"
    """The samples show neither a change nor that there is none."""
    INCOMPARABLE = "incomparable"
    """The conditions differ, or one side has no number."""
    IMPROVED = "improved"
    """B is faster, or needs less."""
    NEW = "new"
    """The case passed in B, and did not pass or exist in A."""
    UNCHANGED = "unchanged"
    """Shown to be the same. For times: the whole interval is within the margin of equivalence."""


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}
"""The rank of each verdict, the worst first."""
COMPARED = (Verdict.REGRESSED, Verdict.UNSTABLE, Verdict.INCONCLUSIVE, Verdict.IMPROVED, Verdict.UNCHANGED)
"""The verdicts that compare two numbers."""
