"""Output of `bench run --dry-run`: lines for people, or lines of JSON."""

from attnbench.reports.text import units
from attnbench.reports.text.units import clock
from attnbench.runner.execution.progress import event
from attnbench.runner.plan.dry_run import DryRun, PlannedCase
from attnbench.suites.case import names_of


def text(plan: DryRun, shard: str | None = None) -> str:
    """One line per case, and the totals; `shard` is the part of the suite that the cases are."""
    rows: list[tuple[str, ...]] = [("case", "peak memory", "allowed pairs", "a call, at least")]
    rows += [(title, *_cells(each)) for title, each in zip(_titles(plan), plan.cases, strict=True)]
    longest = max(len(title) for title, *_ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, *cells in rows if len(cells) > 1), strict=True)]
    lines = []
    for title, *cells in rows:
        aligned = cells if len(cells) == 1 else [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([title.ljust(longest), *aligned]))
    tried = sum(each.status is None for each in plan.cases)
    lines.append(
        f"{tried} of {len(plan.cases)} cases would be measured, in {plan.processes} processes: "
        f"{clock(plan.least_s)} at least; budget.suite_s ends it after {clock(plan.suite_s)}."
    )
    if shard:
        lines.append(f"These cases are shard {shard}.")
    lines.append("At least: the FLOPs of the allowed pairs at the rate of the fastest matrix product seen here.")
    return "\n".join(lines)


def tell(plan: DryRun, shard: str | None = None) -> None:
    """The same as JSON lines: an event `case` for each case, then `estimate`."""
    for title, each in zip(_titles(plan), plan.cases, strict=True):
        event("case", title=title, **{**vars(each), "case": each.case.key})
    estimate = {"processes": plan.processes, "least_s": plan.least_s, "suite_s": plan.suite_s}
    event("estimate", cases=len(plan.cases), **estimate, shard=shard)


def _titles(plan: DryRun) -> list[str]:
    """A name for each case, with every axis in which cases differ."""
    return names_of([each.case for each in plan.cases])


def _cells(each: PlannedCase) -> tuple[str, ...]:
    """The cells of a case: three numbers, or one status with its reason."""
    if each.status is not None:
        return (f"{each.status}: {each.reason}",)
    memory_cell = "not predicted" if each.predicted_bytes is None else units.size(each.predicted_bytes)
    time_cell = "-" if each.least_ns is None else units.time(each.least_ns)
    pairs_cell = "-" if each.allowed_pairs is None else f"{each.allowed_pairs:,}"
    return memory_cell, pairs_cell, time_cell
