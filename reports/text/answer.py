"""Answer to a suite's question, in at most three short sentences that the tables confirm."""

from collections import Counter

from attnbench.reports.data.outcomes import Outcomes
from attnbench.reports.data.paired import Ratio, Threads
from attnbench.reports.data.run import Run
from attnbench.reports.text import by_keys, by_length, cells
from attnbench.reports.text.names import shortest
from attnbench.reports.text.phrases import ends, listed

MOST_SENTENCES, MOST_WORDS = 3, 25


def answer(run: Run) -> list[str]:
    """Return at most three sentences of at most 25 words each, the most important first.

    They are about the most important setting (`Run.summary`). What the run varies decides what comes first: threads,
    levels, keys per query, or else lengths and variants. Brackets hold 95 % intervals over processes. A series counts
    as faster only if the whole interval of its speed-up is above 1.
    """
    found = run.summary
    if found is None:
        return [_nothing(run.outcomes)]
    named, results = shortest(run.frame), found.results
    told = [*_threads(run.threads, named), *_levels(run.levels, named)]
    keys = by_keys.sentences(results.sweeps, results.density, named)
    told += keys if keys and not results.several_lengths else by_length.sentences(results, run.results, named)
    return [*told, *keys][:MOST_SENTENCES]


def _nothing(found: Outcomes) -> str:
    """Return how the cases ended if none passed."""
    many = Counter({each.status: 0 for each in found.ended})
    for each in found.failures:
        many[each.word] += each.many
    told = [f"{count} {status.replace('_', ' ')}" for status, count in many.most_common(4)]
    return f"No case passed: {listed(told)}." if told else "The run has no cases."


def _threads(found: tuple[Threads, ...], named: dict[str, str]) -> list[str]:
    """Return how much faster calls are with the most threads, at the longest length and at the shortest."""
    if not found or not found[0].gains:
        return []
    first = found[0]
    n, shortest_n = (each(gain.seq_len for gain in first.gains) for each in (max, min))
    gains = sorted((each for each in first.gains if each.seq_len == n), key=lambda each: float(each.time.mean))
    least, most = (f"{cells.factor(each.time)} times as fast for {named[each.name]}" for each in (gains[0], gains[-1]))
    threads = f"With {first.most} threads instead of {first.fewest}, calls at N = {n} are"
    told = [f"{threads} {least} to {most.replace(' times as fast', '')}." if len(gains) > 1 else f"{threads} {least}."]
    if shortest_n != n:
        short = sorted((each.time for each in first.gains if each.seq_len == shortest_n), key=lambda each: each.mean)
        told.append(
            f"At N = {shortest_n} they are {ends([cells.factor(short[0]), cells.factor(short[-1])])} times as fast."
        )
    return told


def _levels(found: tuple[Ratio, ...], named: dict[str, str]) -> list[str]:
    """Return what a level takes as a multiple of attention, and what its parameters add, in the first setting."""
    told: dict[str, str] = {}
    for each in found:
        alike = [other for other in found if (*other[:1], *other[2:5]) == (*each[:1], *each[2:5])]
        if each.title != found[0].title or each.against in told:
            continue
        alike.sort(key=lambda other: float(other.time.mean))
        times = [f"{cells.factor(end.time)} times" for end in (alike[0], alike[-1])]
        of = f"the time of {each.against}"
        told[each.against] = f"At N = {each.seq_len}, {each.value} takes {times[0]} {of} for {named[alike[0].name]}"
        told[each.against] += f" to {times[1]} for {named[alike[-1].name]}." if len(alike) > 1 else "."
    return list(told.values())[: MOST_SENTENCES - 1]
