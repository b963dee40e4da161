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
UNFIT = 6
FAULT = 70
"""A fault of attnbench; EX_SOFTWARE in sysexits.h."""
OUT_OF_TIME = 124
INTERRUPTED = 130


def of(rows: "Iterable[Result]", *, out_of_time: bool) -> int:
    """The exit code of a run. `unsupported` cases and predicted failures do not count as errors."""
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
    """The exit code of a comparison.

    A regression takes precedence over a lost case, and both over undecided times. If nothing was comparable the code is
    never 0. Undecided times count only with `strict`: `inconclusive`, `unstable`, `incomparable` with a time on both
    sides, or too noisy to show a slow-down of the limit's size.
    """
    if any(each.metric != "ended" for each in comparison.failing):
        return REGRESSED
    if comparison.failing:
        return NOT_PASSED
    if not comparison.compared:
        return NOTHING
    return INCONCLUSIVE if strict and comparison.undecided.any() else OK


def worst(codes: Iterable[int]) -> int:
    """The code of several comparisons: the worst of their codes."""
    order = (REGRESSED, NOT_PASSED, INCONCLUSIVE, NOTHING, OK)
    return min(codes, key=order.index)
