"""Exit codes of the verbs. Imports nothing heavy."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.reports.compare.comparison import Comparison
    from attnbench.suites import Result

OK = 0
REGRESSED = 1
USAGE = 2
NOT_PASSED = 3
INCONCLUSIVE = 4
NOTHING = 5
FAULT = 70
"""Of attnbench itself; sysexits.h calls it a software error."""
OUT_OF_TIME = 124
INTERRUPTED = 130


def of(rows: "Iterable[Result]", *, out_of_time: bool) -> int:
    """The exit code of a run: what was not to be expected counts, `unsupported` and predictions do not."""
    from attnbench.suites import Probe, Sample
    from attnbench.suites.result import is_fault

    rows = list(rows)
    if out_of_time:
        return OUT_OF_TIME
    if any(is_fault(row.status, predicted=isinstance(row, Probe) and row.predicted) for row in rows):
        return NOT_PASSED
    if not any(isinstance(row, Sample) and row.status == "passed" for row in rows):
        return NOTHING
    return OK


def of_comparison(comparison: "Comparison", *, strict: bool = False) -> int:
    """The exit code of a comparison, from its findings.

    Nothing comparable is never 0. Something worse comes before a case that is lost, and both before what is open: times
    that are `inconclusive`, `unstable`, or there on both sides and `incomparable`, which count under `strict` alone.
    """
    if any(each.metric != "ended" for each in comparison.failing):
        return REGRESSED
    if comparison.failing:
        return NOT_PASSED
    if not comparison.compared:
        return NOTHING
    frame = comparison.frame
    is_open = frame["verdict"].isin(["inconclusive", "unstable"])
    is_open |= (frame["verdict"] == "incomparable") & frame[["a_ns", "b_ns"]].notna().all(axis=1)
    return INCONCLUSIVE if strict and is_open.any() else OK


def worst(codes: Iterable[int]) -> int:
    """The code of several comparisons: what is worse than another comes first."""
    order = (REGRESSED, NOT_PASSED, INCONCLUSIVE, NOTHING, OK)
    return min(codes, key=order.index)
