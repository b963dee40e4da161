"""Sentences on cases that passed, are flagged or did not pass, and on the proofs."""

from attnbench.reports.data.outcomes import Outcomes
from attnbench.reports.text import escape, units
from attnbench.reports.text.phrases import ends

_LONGEST_REASON = 160


def sentences(found: Outcomes) -> list[str]:
    """Return how many cases passed, how many are flagged if they are many, and a sentence for each other status."""
    return [_passed(found), *filter(None, [in_part(found), _flagged(found)]), *_ended(found)]


def _passed(found: Outcomes) -> str:
    """Return how many cases passed, and what the brackets are."""
    told = f"{found.passed} of {found.cases} cases passed"
    if found.processes is None:
        return f"{told}."
    return f"{told}; brackets hold 95 % intervals over {ends([*map(str, found.processes)])} processes."


def in_part(found: Outcomes) -> str:
    """Return how many cases were proved only in part; empty if none."""
    if not found.partly_proved:
        return ""
    cases = f"{found.partly_proved} case{'s' if found.partly_proved > 1 else ''}"
    least = units.percent(found.least_proved)
    return f"the proof of {cases} covered a part of the elements, as little as {least} in one: see proved in table.csv."


def price(found: Outcomes) -> str:
    """Return the time of the proofs, also as its share of a run that was not resumed; empty if unknown."""
    # `not >=` is also true for NaN.
    if not found.proof_s >= 0:
        return ""
    told = f"Proving took {units.time(found.proof_s * 1e9)}"
    return f"{told}, {units.percent(found.proof_s / found.run_s)} of the run." if found.run_s > 0 else f"{told}."


def _flagged(found: Outcomes) -> str:
    """Return how many cases are flagged, and with which flags; empty if they are few."""
    if not found.many_flagged:
        return ""
    told = ", ".join(f"{each.word} {each.many}" for each in found.flags)
    return f"{found.flagged} of the {found.passed} that passed are flagged ({told}): see the table of flags before use."


def _ended(found: Outcomes) -> list[str]:
    """Return a sentence for each status except `passed`: the reason and the cases."""
    told = []
    for status, reasons, which in found.ended:
        others = len(reasons) - 1
        more = f", and {others} other reason{'s' if others > 1 else ''}" if others else ""
        told.append(f"{status} ({escape.plain(reasons[0], _LONGEST_REASON)}{more}): {which}.")
    return told
