"""Check of a comparison against a policy: what is worse than allowed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pandas as pd

from attnbench.reports.compare import cells
from attnbench.reports.compare.comparison import Comparison, Finding
from attnbench.reports.decision.rule import ORDER, Verdict
from attnbench.suites.schema.limits import Check, TimeLimit

STRICT = Check(time=TimeLimit(relative="0%", severity="fail"))
"""Policy under which every regression counts, for arms that were measured together."""


def held(comparison: Comparison, policy: Check | Mapping[str, Check], *, times: bool = True) -> Comparison:
    """Return the comparison with its findings: everything worse than the policy allows, and every lost case.

    The policy is one for all cases, or one for each by key. Metrics that it ignores are left out, and so are times
    unless `times`. A lost case, which is missing or no longer passes, always fails. Runs without a case in common have
    no findings: nothing can be said about them.
    """
    cases = comparison.frame["case"]
    policies = dict.fromkeys(cases, policy) if isinstance(policy, Check) else policy
    limits = [policies[case].time.of(ns) for case, ns in zip(cases, comparison.frame["a_ns"], strict=True)]
    comparison = replace(comparison, frame=comparison.frame.assign(limit=limits), policies=policies)
    rows = comparison.shown.iterrows()
    found = [each for _, row in rows for each in _of(row, comparison.named, policies[row["case"]])]
    found = [each for each in found if times or each.metric != "time"]
    found.sort(key=lambda each: (each.severity != "fail", ORDER[each.verdict]))
    return replace(comparison, findings=tuple(found))


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
    """Yield the metrics of a case that are worse than allowed, and what changed."""
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
