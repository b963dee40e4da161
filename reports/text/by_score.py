"""Sentences on what models learned."""

import math
from collections.abc import Mapping, Sequence

from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.reports.findings.learned import Learned, Model
from attnbench.reports.text.phrases import listed

_MOST_NAMED = 3


def sentences(found: Sequence[Learned], named: Mapping[str, str]) -> list[str]:
    """Return a sentence on each task, and one where too few seeds say nothing."""
    told = [_task(each, named) for each in found]
    if any(not each.has_intervals for each in found):
        told.insert(1, f"With fewer than {FEWEST_PROCESSES} seeds nothing can be shown to be better.")
    return told


def percent(score: float, low: float, high: float) -> str:
    """Write a score in percent with its interval over seeds: `84.1 (82.0 to 86.2)`."""
    if math.isnan(low):
        return f"{100 * score:.1f}"
    return f"{100 * score:.1f} ({100 * max(low, 0.0):.1f} to {100 * min(high, 1.0):.1f})"


def _task(found: Learned, named: Mapping[str, str]) -> str:
    """Return the best mechanisms of a task with their score, and how many do not score more than chance."""
    best, score = found.best if found.has_intervals else found.models[:1], found.models[0].score.mean
    head = f"On {found.task.source.name}, {_some(best, named)} the most targets, {100 * score:.0f} %"
    guessing = [each for each in found.guessing if each not in best]
    if not guessing or not found.has_intervals:
        return f"{head}."
    words = listed([named[each.name] for each in guessing]) if len(guessing) <= _MOST_NAMED else str(len(guessing))
    many = f"{words} of {len(found.models)} mechanisms" if len(guessing) > _MOST_NAMED else words
    return f"{head}; {many} {'is' if len(guessing) == 1 else 'are'} not shown to beat guessing."


def _some(best: Sequence[Model], named: Mapping[str, str]) -> str:
    """Name the best: one finds, several find, or many are not told apart."""
    if len(best) == 1:
        return f"{named[best[0].name]} finds"
    if len(best) <= _MOST_NAMED:
        return f"{listed([named[each.name] for each in best])} find"
    return f"{named[best[0].name]} and {len(best) - 1} that it is not told apart from find"
