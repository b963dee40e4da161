"""The findings of a comparison that violate a policy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from attnbench.reports.compare import cells
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.data.settings import varied
from attnbench.reports.decision.verdict import ORDER, Verdict
from attnbench.suites.schema.limits import Check, Severity, TimeLimit

STRICT = Check(time=TimeLimit(relative="0%", severity="fail"))
"""Every worsening that was shown counts: for arms that were measured together."""


@dataclass(frozen=True)
class Finding:
    """One metric of one case that is worse, or a case that is lost."""

    case: str
    """The case's key."""
    title: str
    metric: str
    """`time`, `memory`, `work`, `operators`, `error`, or `ended` for a case that is lost."""
    verdict: Verdict
    severity: Severity
    told: str
    """What changed, in a few words."""


def findings(comparison: Comparison, policy: Check) -> list[Finding]:
    """Everything that is worse than the policy allows, and every case that is lost; the worst first.

    What the policy ignores is left out. A case that is missing, or that passed before and does not now, always fails.
    """
    frame = comparison.worst_first
    named = varied(frame)
    found = [each for _, row in frame.iterrows() for each in _of(row, named, policy)]
    return sorted(found, key=lambda each: (each.severity != "fail", ORDER[each.verdict]))


def failed(found: Sequence[Finding]) -> list[Finding]:
    """Those that fail the check."""
    return [each for each in found if each.severity == "fail"]


def _of(row: pd.Series, named: set[str], policy: Check) -> Iterator[Finding]:
    verdict = Verdict(row["verdict"])
    if verdict in (Verdict.ERROR, Verdict.MISSING):
        yield Finding(row["case"], cells.title(row, named), "ended", verdict, "fail", str(row["reason"]))
        return
    for metric, told in _worse(row, policy):
        severity = policy.severity(metric)
        if severity != "ignore":
            yield Finding(row["case"], cells.title(row, named), metric, Verdict.REGRESSED, severity, told)


def _worse(row: pd.Series, policy: Check) -> Iterator[tuple[str, str]]:
    """The metrics of a case that are worse than allowed, and by what."""
    if row["verdict"] == Verdict.REGRESSED and not policy.time.allows(row["ratio"], row["a_ns"]):
        yield "time", cells.change(row)
    peaks = row["b_peak_bytes"], row["a_peak_bytes"]
    if row["memory"] == Verdict.REGRESSED and not policy.memory.allows(*map(float, peaks)):
        yield "memory", cells.memory(row).removeprefix("regressed ")
    if row["work"] == Verdict.REGRESSED:
        yield "work", f"{cells.work(row).removeprefix('regressed ')} pairs"
    if row["operators"] == Verdict.REGRESSED:
        yield "operators", str(row["operators_changed"])
    if row["error"] == Verdict.REGRESSED:
        yield "error", cells.error(row).removeprefix("regressed ")
