"""The result of comparing two measurements case by case."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import varied
from attnbench.reports.decision.decide import Rule, judge
from attnbench.reports.decision.pairs import Estimates
from attnbench.reports.decision.power import detectable_at_once
from attnbench.reports.decision.rule import COMPARED, ORDER, Verdict
from attnbench.reports.findings.run import Run
from attnbench.reports.stats.statistics import FloatArray, Interval
from attnbench.suites import Status, fingerprint
from attnbench.suites.schema.limits import METRICS as LIMITED
from attnbench.suites.schema.limits import Check, Severity
from attnbench.variants import AXES

IDENTITY = (*("case", "label", "implementation", *AXES),)
TIME = (
    *("verdict", "ratio", "low", "high", "minimum_detectable", "p_value", "reason"),
    *("a_ns", "b_ns", "processes", "limit"),
)
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
"""The columns of a comparison. `against` names the other case if a run is compared with itself. `verdict` is on time.
`ratio` is defined by the comparison's `Ratio`, with its 95 % interval `low`, `high`. `minimum_detectable` is the
smallest slow-down, a ratio minus 1, that is found with a power of 80 %. `p_value` is adjusted for the number of cases,
`processes` counts the processes of the ratio, and `limit` is the share by which the policy lets a time grow. `memory`,
`work` and `error` are verdicts on the peak, on allowed and computed pairs, and on the error against the oracle.
`operators` is a verdict on the calls of each operator, if both were profiled; `operators_changed` names those that
differ."""

UNDECIDED = "neither a change confirmed nor one excluded"
"""The usual reason of `inconclusive`, which says nothing beyond that."""
NUMBERS = ("peak_bytes", "allowed_pairs", "computed_pairs", "max_abs_error", "proved")
"""Numbers compared besides time, as columns of A (`a_peak_bytes`) and B."""


class Ratio(StrEnum):
    """Definition of a comparison's ratios. In each, above 1 is slower."""

    TIMES = "time of B over time of A"
    TO_BASELINES = "time over that of the baseline in the same run, B over A"
    CASES = "time of a case (B) over time of the one it is against (A)"


@dataclass(frozen=True)
class Ending:
    """Status and reason of a case on one side."""

    status: Status
    reason: str


_SEVERITIES = ("fail", "warn", "ignore")
_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT)
_NOT_TRIED = (Status.UNSUPPORTED, Status.SKIPPED, Status.OUT_OF_MEMORY)


def lost_or_new(a: Ending, b: Ending) -> tuple[Verdict, str] | None:
    """Return the verdict on a case that did not pass on both sides, and its reason; None if it passed on both."""
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
    """Return the verdict on a case that only B has, and its reason."""
    if b.status is Status.PASSED:
        return Verdict.NEW, "not in A"
    verdict = Verdict.ERROR if b.status in _FAULTS else Verdict.INCOMPARABLE
    return verdict, f"not in A, and in B {b.status}: {b.reason}"


def add_times(frame: pd.DataFrame, found: Estimates, rule: Rule, limits: FloatArray | None = None) -> None:
    """Fill in the verdicts on time with their numbers, from one stage over all cases; `limits` as in `judge`."""
    verdicts, adjusted = judge(found, rule, limits)
    frame["limit"] = np.nan if limits is None else limits
    frame["verdict"] = [verdict.value for verdict in verdicts]
    frame["ratio"], frame["low"], frame["high"] = (np.exp(each) for each in found[:3])
    frame["minimum_detectable"] = detectable_at_once(found.error, found.freedom, rule)
    frame["p_value"], frame["processes"] = np.where(np.isfinite(found.error), adjusted, np.nan), found.pairs


@dataclass(frozen=True)
class Finding:
    """Metric of a case that is worse than a policy allows, or a lost case."""

    case: str
    """The case's key."""
    title: str
    metric: str
    """`time`, `memory`, `work`, `operators`, `error`, or `ended` for a lost case."""
    verdict: Verdict
    severity: Severity
    told: str
    """What changed, in a few words."""

    @property
    def words(self) -> str:
        """What is worse, in words: `time 1.20x (1.18 to 1.22)`, or how a lost case ended."""
        return self.told if self.metric == "ended" else f"{self.metric} {self.told}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of B with A, computed once. Every table, text, figure and file renders it."""

    a: str
    b: str
    frame: pd.DataFrame
    """One row for each case of A or B; see `COLUMNS`."""
    differences: Mapping[str, tuple[Any, Any]]
    """Facts that differ between the machines or the code of A and B, with both values; empty if there are none."""
    how: str
    """How times were compared, in a sentence."""
    rule: Rule
    """The rule of the verdicts on time."""
    noise: float | None = None
    """The largest change, a ratio minus 1, that the same code shows against itself; None if not measured."""
    ratio: Ratio = Ratio.TIMES
    suite: str = ""
    """The name of the suite, or another title; empty if it is not known."""
    cut: str = ""
    """Why the comparison is incomplete, in a sentence; empty if it is complete."""
    disjoint: str = ""
    """Of which suites two runs without a case in common are, in words; empty if they have one."""
    after: Run | None = None
    """Run B, with the times of A as the column `before_ns` of its frame; None unless two runs are compared."""
    together: Interval | None = None
    """The mean of the log ratios of all cases of two runs, with its interval; None with fewer than two cases.

    A busy machine moves it, because it slows all cases alike.
    """
    what: str = "runs"
    """What is compared: `runs`, or `revisions` or `environments` of `bench ab`."""
    environments: tuple[Mapping[str, Any], ...] = ()
    """Where A and B were measured, or one environment if both were measured in it."""
    commands: tuple[tuple[str, str], ...] = ()
    """What each side is called, with the command that measured it."""
    findings: tuple[Finding, ...] | None = None
    """The findings, the worst first; None without a policy."""
    policies: Mapping[str, Check] | None = None
    """The policy of each case, by key; None without one."""
    judged_by_limit: bool = False
    """Whether a time regressed if it is shown to be above the limit of its case, and not above the rule's floor."""

    @property
    def failing(self) -> list[Finding]:
        """The findings that fail the check."""
        return [each for each in self.findings or () if each.severity == "fail"]

    @property
    def too_noisy(self) -> bool:
        """Check whether the same code differs from itself by more than the floor of a change."""
        return self.noise is not None and self.noise > self.rule.floor

    @property
    def what_differs(self) -> str:
        """What the differences are of: the environments, else the machines or the runs."""
        return self.what if self.what == "environments" else fingerprint.what_differs(self.differences)

    @property
    def title(self) -> str:
        """The title: what is compared with what."""
        return f"Cases of {self.b} against each other" if self.ratio is Ratio.CASES else f"{self.b} against {self.a}"

    @cached_property
    def worst_first(self) -> pd.DataFrame:
        """The rows, first those with findings, then those with any regression, by verdict on time and size of change.

        Findings that fail come before those that warn.
        """
        worst = {each.case: each.severity for each in reversed(self.findings or ())}
        finding = self.frame["case"].map(lambda case: _SEVERITIES.index(worst.get(case, "ignore")))
        worse = (self.frame[["verdict", *METRICS]] == Verdict.REGRESSED).any(axis=1)
        order = self.frame["verdict"].map(lambda verdict: ORDER[Verdict(verdict)])
        change = (self.frame["ratio"].fillna(1.0) - 1).abs()
        told = self.frame.assign(_finding=finding, _fine=~worse, _order=order, _change=-change)
        return told.sort_values(["_finding", "_fine", "_order", "_change"], kind="stable")[list(COLUMNS)]

    @property
    def shown(self) -> pd.DataFrame:
        """The rows of tables for people, the worst first: none if no case is in both runs."""
        return self.worst_first.head(0) if self.disjoint else self.worst_first

    def counts(self, metric: str = "verdict") -> dict[str, int]:
        """Count the cases of each verdict, the worst first."""
        told = self.frame[metric].value_counts()
        return {verdict.value: int(told[verdict.value]) for verdict in Verdict if verdict.value in told.index}

    @cached_property
    def named(self) -> set[str]:
        """The columns in which its settings differ."""
        return varied(self.frame)

    @cached_property
    def median_detectable(self) -> float:
        """The smallest detectable change of the median case; NaN if there is none."""
        return float(self.frame["minimum_detectable"].median())

    @cached_property
    def worst_detectable(self) -> float:
        """The smallest detectable change of the case in which it is largest; NaN if there is none."""
        return float(self.frame["minimum_detectable"].max())

    @property
    def profiled(self) -> bool:
        """Check whether the operators of any case were compared."""
        return bool((self.frame["operators"] != Verdict.INCOMPARABLE).any())

    def severity(self, case: str, metric: str) -> Severity:
        """Return the severity of a worse result of a metric of a case."""
        return self.policies[case].severity(metric) if self.policies else "fail"

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """The metrics in which the policies of its cases differ."""
        every = list(dict.fromkeys((self.policies or {}).values()))
        return tuple(name for name in LIMITED if len({each.limit(name) for each in every}) > 1)

    @property
    def margins(self) -> "pd.Series[float]":
        """The margin of `unchanged` of each case."""
        least = self.rule.equivalence
        limits = self.frame["limit"] if self.judged_by_limit else pd.Series(least, self.frame.index)
        return limits.clip(lower=least)

    @cached_property
    def timed(self) -> "pd.Series[bool]":
        """The cases whose times count: both are there, and the policy does not ignore them."""
        ignored = {case for case, policy in (self.policies or {}).items() if policy.time.severity == "ignore"}
        either = self.frame["verdict"].isin(COMPARED) | self.frame[["a_ns", "b_ns"]].notna().all(axis=1)
        return either & ~self.frame["case"].isin(ignored)

    @cached_property
    def blind(self) -> "pd.Series[bool]":
        """The cases in which a slow-down of their limit's size would probably not have been found."""
        seen = self.frame["minimum_detectable"] <= self.frame["limit"]
        return self.timed & self.frame["verdict"].isin(COMPARED) & ~seen & self.judged_by_limit

    @property
    def undecided(self) -> "pd.Series[bool]":
        """The cases whose times show neither a change nor that there is none, or could not have shown one."""
        open_ = (Verdict.INCONCLUSIVE, Verdict.UNSTABLE, Verdict.INCOMPARABLE)
        return self.timed & (self.frame["verdict"].isin(open_) | self.blind)

    @cached_property
    def apart(self) -> dict[str, tuple[list[str], list[str]]]:
        """The axes, with their values, in which all cases only in A differ from all cases only in B."""
        sides = [self.frame[self.frame["verdict"] == each.value] for each in (Verdict.MISSING, Verdict.NEW)]
        if any(side.empty for side in sides):
            return {}
        a, b = ({name: list(dict.fromkeys(map(str, side[name]))) for name in AXES} for side in sides)
        return {name: (a[name], b[name]) for name in AXES if not {*a[name]} & {*b[name]}}

    @cached_property
    def exchanged(self) -> dict[tuple[str, str], list[str]]:
        """Pairs of implementations, with the labels of the cases that use one in A alone and the other in B alone."""
        sides = [self.frame[self.frame["verdict"] == each.value] for each in (Verdict.MISSING, Verdict.NEW)]
        both = sides[0].merge(sides[1], on=["label", *AXES], suffixes=("_a", "_b"))
        found: dict[tuple[str, str], list[str]] = {}
        for label, *pair in both[["label", "implementation_a", "implementation_b"]].drop_duplicates().to_numpy():
            found.setdefault((pair[0], pair[1]), []).append(label)
        return found

    @property
    def compared(self) -> bool:
        """Check whether any two numbers were compared."""
        return bool(self.compared_rows.any())

    @property
    def compared_rows(self) -> "pd.Series[bool]":
        """The cases with any number that was compared."""
        return self.frame[["verdict", *METRICS]].isin(COMPARED).any(axis=1)
