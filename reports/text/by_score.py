"""Sentences on what models learned."""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.reports.findings.learned import BySize, Learned, Model
from attnbench.reports.text.phrases import listed

_MOST_NAMED = 3


def sentences(found: Sequence[Learned], sizes: Sequence[BySize], named: Mapping[str, str]) -> list[str]:
    """Return a sentence on each task, and one where too few seeds say nothing.

    Of tasks that differ in the number of examples, the fewest and the most have one sentence, and then each mechanism
    has one on where it scores more or less than the baseline, first where this depends on the number.
    """
    several = [task for each in sizes for task in each.tasks]
    told = [_ends(each, named) for each in sizes]
    told += [sentence for each in sizes for sentence in _against(each, named)]
    told += [_task(each, named) for each in found if each not in several]
    if any(not each.has_intervals for each in found):
        told.insert(1, f"With fewer than {FEWEST_PROCESSES} seeds nothing can be shown to be better.")
    return told


def _ends(found: BySize, named: Mapping[str, str]) -> str:
    """Return the best mechanisms with the fewest examples and with the most."""
    head, ends = f"On {found.data.partition('(')[0]}", []
    for task, size in ((found.tasks[at], found.sizes[at]) for at in (0, -1)):
        best = _some(task.best if task.has_intervals else task.models[:1], named)
        ends.append(f"with {size:,} examples {best} {100 * task.models[0].score.mean:.0f} %")
    return f"{head} {ends[0]}, {ends[1]}."


def _against(found: BySize, named: Mapping[str, str]) -> list[str]:
    """Return with how many examples each mechanism scores more or less than the baseline."""
    if not all(each.baseline and each.has_intervals for each in found.tasks):
        return []
    told: list[tuple[tuple[bool, int], str]] = []
    baseline = found.tasks[0].baseline
    for name in dict.fromkeys(each.name for task in found.tasks for each in task.models if each.name != baseline):
        gains = [next((each.gain for each in task.models if each.name == name), None) for task in found.tasks]
        pairs = [(size, gain) for size, gain in zip(found.sizes, gains, strict=True) if gain]
        where = {
            "more": [size for size, gain in pairs if gain.low > 0],
            "less": [size for size, gain in pairs if gain.high < 0],
        }
        every = [size for size, _ in pairs]
        parts = [f"{word} with {_sizes(sizes, every)}" for word, sizes in where.items() if sizes]
        words = f"scores {' and '.join(parts)} examples" if parts else "is not told apart with any number of examples"
        depends = any(0 < len(sizes) < len(every) for sizes in where.values())
        told.append(((not depends, -len(parts)), f"Against {named[baseline]}, {named[name]} {words}."))
    return [sentence for _, sentence in sorted(told, key=itemgetter(0))]


def _sizes(sizes: Sequence[int], every: Sequence[int]) -> str:
    """Write some of the numbers of examples, which are ascending: `up to 800`, `400 or more`, `100 and 400`."""
    if [*sizes] == [*every]:
        return "every number of"
    if len(sizes) > 1 and [*sizes] == [*every[: len(sizes)]]:
        return f"up to {sizes[-1]:,}"
    if len(sizes) > 1 and [*sizes] == [*every[-len(sizes) :]]:
        return f"{sizes[0]:,} or more"
    return listed([f"{each:,}" for each in sizes])


def percent(score: float, low: float, high: float) -> str:
    """Write a score in percent with its interval over seeds: `84.1 (82.0 to 86.2)`."""
    if math.isnan(low):
        return f"{100 * score:.1f}"
    return f"{100 * score:.1f} ({100 * max(low, 0.0):.1f} to {100 * min(high, 1.0):.1f})"


def _task(found: Learned, named: Mapping[str, str]) -> str:
    """Return the best mechanisms of a task with their score, and how many do not score more than chance.

    If none is shown to score more than a model without mixing, return that.
    """
    floor = found.unbeaten_floor if found.has_intervals else None
    if floor:
        told = f"On {found.task.source.name}, nothing is shown to find more targets than {named[floor.name]}"
        return f"{told}, which mixes no tokens: {100 * floor.score.mean:.0f} %."
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
