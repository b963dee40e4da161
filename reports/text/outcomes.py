"""Lines on how the cases of a run ended: which passed, are flagged, did not pass, or were proved in part."""

from attnbench.reports.data import flags
from attnbench.reports.findings.outcomes import Outcomes
from attnbench.reports.text import escape, units
from attnbench.reports.text.phrases import ends, listed

_LONGEST_REASON = 100


def lines(found: Outcomes) -> list[str]:
    """Return one line each on what passed, what did not, flags with what to do, and proofs in part, as plain text."""
    return [*filter(None, [passed(found), failed(found), flagged(found), in_part(found)])]


def passed(found: Outcomes) -> str:
    """Return how many cases passed, and over how many processes intervals are."""
    told = f"{found.passed} of {found.cases} cases passed."
    if found.processes is None:
        return told
    return f"{told} Brackets hold 95 % intervals over {ends([*map(str, found.processes)])} processes."


def failed(found: Outcomes) -> str:
    """Return how many cases ended in each other status, with the reason of most; empty if all passed."""
    if not found.failures:
        return ""
    many: dict[str, int] = {}
    for each in found.failures:
        many[each.word] = many.get(each.word, 0) + each.many
    told = listed([f"{count} {status}" for status, count in many.items()])
    first = max(found.failures, key=lambda each: each.many)
    return f"Did not pass: {told}. Most: {escape.plain(first.reason, _LONGEST_REASON)}."


def flagged(found: Outcomes) -> str:
    """Return how many cases have which flag, and what to do about the most frequent one; empty if none has any."""
    if not found.flags:
        return ""
    told = ", ".join(f"{each.word} {each.many}" for each in found.flags)
    first = max(found.flags, key=lambda each: each.many)
    return f"Flagged: {found.flagged} of {found.passed} ({told}). For {first.word}: {flags.MEANINGS[first.word].do}."


def in_part(found: Outcomes) -> str:
    """Return how many cases were proved only in part; empty if none."""
    if not found.partly_proved:
        return ""
    cases = f"{found.partly_proved} case{'s' if found.partly_proved > 1 else ''}"
    least = units.percent(found.least_proved)
    return f"The proof of {cases} covered a part of the elements, as little as {least} in one: see proved in table.csv."


def price(found: Outcomes) -> str:
    """Return the time of the proofs, also as its share of a run that was not resumed; empty if unknown."""
    # `not >=` is also true for NaN.
    if not found.proof_s >= 0:
        return ""
    told = f"Proving took {units.time(found.proof_s * 1e9)}"
    return f"{told}, {units.percent(found.proof_s / found.run_s)} of the run." if found.run_s > 0 else f"{told}."
