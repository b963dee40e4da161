"""Sentences on what passed, what is flagged, and what did not pass."""

import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.settings import which
from attnbench.reports.stats.statistics import FEWEST_PROCESSES
from attnbench.reports.text import escape, proof
from attnbench.reports.text.phrases import ends

_LONGEST_REASON = 160
_MANY_FLAGGED = 0.2
"""From this share of flagged cases on, the answer says so."""


def sentences(frame: pd.DataFrame) -> list[str]:
    """How many passed, how many of them are flagged where they are many, and a sentence for each other status."""
    return [_passed(frame), *filter(None, [proof.in_part(frame)]), *_flagged(frame), *_failed(frame)]


def _passed(frame: pd.DataFrame) -> str:
    """How many cases passed, and what the brackets are."""
    told = f"{(frame['status'] == 'passed').sum()} of {len(frame)} cases passed"
    passed = frame.loc[frame["status"] == "passed", "processes"]
    if not len(passed) or passed.max() < FEWEST_PROCESSES:
        return f"{told}."
    processes = ends([str(passed.min()), str(passed.max())])
    return f"{told}; brackets hold 95 % intervals over {processes} processes."


def _flagged(frame: pd.DataFrame) -> list[str]:
    """That many of the cases that passed are flagged, and with what."""
    passed = frame[frame["status"] == "passed"]
    many = int((passed["flags"] != "").sum())
    if not many or many < _MANY_FLAGGED * len(passed):
        return []
    counts = {flag: len(flags.carrying(passed, flag)) for flag in flags.MEANINGS}
    told = ", ".join(f"{flag} {count}" for flag, count in counts.items() if count)
    return [f"{many} of the {len(passed)} that passed are flagged ({told}): see the table of flags before use."]


def _failed(frame: pd.DataFrame) -> list[str]:
    """What did not pass and why, a sentence for each status."""
    told = []
    for status, part in frame[frame["status"] != "passed"].groupby("status", sort=False):
        reasons = [escape.plain(reason, _LONGEST_REASON) for reason in part["reason"].unique()]
        others = len(reasons) - 1
        more = f", and {others} other reason{'s' if others > 1 else ''}" if others else ""
        told.append(f"{status} ({reasons[0]}{more}): {which(frame, part)}.")
    return told
