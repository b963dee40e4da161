"""The result of comparing two measurements case by case."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from attnbench.reports.decision.decide import Rule
from attnbench.reports.decision.verdict import COMPARED, ORDER, Verdict
from attnbench.suites import Status
from attnbench.variants import AXES

IDENTITY = (*("case", "label", "implementation", *AXES),)
TIME = ("verdict", "ratio", "low", "high", "minimum_detectable", "p_value", "reason", "a_ns", "b_ns", "processes")
METRICS = ("memory", "work", "operators", "error")
COLUMNS = (
    *IDENTITY,
    "against",
    *TIME,
    *("memory", "memory_ratio", "a_peak_bytes", "b_peak_bytes"),
    *("work", "a_allowed_pairs", "b_allowed_pairs", "a_computed_pairs", "b_computed_pairs"),
    *("operators", "operators_changed"),
    *("error", "a_max_abs_error", "b_max_abs_error", "a_proved", "b_proved"),
)
"""The columns of a comparison. `against` names the other case where one run is compared with itself. `verdict` is on
time; `ratio` is what the comparison's `Ratio` says, with its 95 % interval `low`, `high`; `minimum_detectable` the
smallest slow-down (a ratio minus 1) that would be found with a power of 80 %; `p_value` is adjusted for the number of
cases; `processes` are those behind the ratio. `memory`, `work` and `error` are verdicts of their own: on the peak, on
the pairs allowed and computed, and on the error against the oracle. `operators` is one on the calls of each operator,
where both were profiled, and `operators_changed` names those that differ."""

NUMBERS = ("peak_bytes", "allowed_pairs", "computed_pairs", "max_abs_error", "proved")
"""What is compared besides time, as columns of A (`a_peak_bytes`) and of B."""


class Ratio(StrEnum):
    """What the ratios of a comparison are; above 1 is slower in each."""

    TIMES = "time of B over time of A"
    TO_BASELINES = "time over that of the baseline in the same run, B over A"
    CASES = "time of a case (B) over time of the one it is against (A)"


@dataclass(frozen=True)
class Ending:
    """How a case ended on one side."""

    status: Status
    reason: str


_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT)
_NOT_TRIED = (Status.UNSUPPORTED, Status.SKIPPED, Status.OUT_OF_MEMORY)


def lost_or_new(a: Ending, b: Ending) -> tuple[Verdict, str] | None:
    """The verdict on a case that did not pass on both sides, and why; None where it did."""
    if b.status is not Status.PASSED:
        told = f"{b.status}: {b.reason}"
        if a.status is Status.PASSED:
            return Verdict.ERROR, told
        if a.status in _NOT_TRIED and b.status in _FAULTS:
            return Verdict.ERROR, f"new in B, and {told}"
        return Verdict.INCOMPARABLE, f"passed in neither; B {told}"
    if a.status is not Status.PASSED:
        return Verdict.NEW, f"passed only in B; A {a.status}: {a.reason}"
    return None


def only_in_b(b: Ending) -> tuple[Verdict, str]:
    """The verdict on a case that A has not, and why."""
    if b.status is Status.PASSED:
        return Verdict.NEW, "only B has it"
    verdict = Verdict.ERROR if b.status in _FAULTS else Verdict.INCOMPARABLE
    return verdict, f"only B has it; {b.status}: {b.reason}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A comparison of B with A."""

    a: str
    b: str
    frame: pd.DataFrame
    """A row for each case of either; see `COLUMNS`."""
    differences: Mapping[str, tuple[Any, Any]]
    """What differs between the machines, or what code a run mixes, as A and B have it; empty where they are alike."""
    how: str
    """How times were compared, in a sentence."""
    rule: Rule
    """By which times were judged."""
    noise: float | None = None
    """The largest ratio minus 1 that the same code is shown to have against itself, where that was measured."""
    ratio: Ratio = Ratio.TIMES
    cut: str = ""
    """Why what was measured is not the whole, in a sentence; empty where it is."""

    @property
    def too_noisy(self) -> bool:
        """Whether the same code is shown to differ from itself by more than counts as a change."""
        return self.noise is not None and self.noise > self.rule.floor

    @property
    def title(self) -> str:
        """What is compared with what."""
        return f"Cases of {self.b} against each other" if self.ratio is Ratio.CASES else f"{self.b} against {self.a}"

    @property
    def worst_first(self) -> pd.DataFrame:
        """The rows: first what regressed in anything, then by the verdict on time, then by the size of the change."""
        worse = (self.frame[["verdict", *METRICS]] == Verdict.REGRESSED).any(axis=1)
        order = self.frame["verdict"].map(lambda verdict: ORDER[Verdict(verdict)])
        change = (self.frame["ratio"].fillna(1.0) - 1).abs()
        told = self.frame.assign(_fine=~worse, _order=order, _change=-change)
        return told.sort_values(["_fine", "_order", "_change"], kind="stable")[list(COLUMNS)]

    def counts(self, metric: str = "verdict") -> dict[str, int]:
        """How many cases have each verdict, the worst first."""
        told = self.frame[metric].value_counts()
        return {verdict.value: int(told[verdict.value]) for verdict in Verdict if verdict.value in told.index}

    @property
    def compared(self) -> bool:
        """Whether any number of a case was compared with another."""
        return bool(self.compared_rows.any())

    @property
    def compared_rows(self) -> "pd.Series[bool]":
        """Of which cases any number was."""
        return self.frame[["verdict", *METRICS]].isin(COMPARED).any(axis=1)
