"""Verdicts of a comparison on a case."""

from enum import StrEnum


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
