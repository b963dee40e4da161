"""Answer to a suite's question, in at most three short sentences that the tables confirm."""

from collections import Counter
from collections.abc import Mapping, Sequence

from attnbench.reports.data.outcomes import Outcomes
from attnbench.reports.data.paired import Ratio, Threads
from attnbench.reports.data.run import Results, Run
from attnbench.reports.data.settings import told, varied
from attnbench.reports.text import by_keys, by_length, cells
from attnbench.reports.text.names import shortest
from attnbench.reports.text.phrases import ends, listed

MOST_SENTENCES = 3


def answer(run: Run) -> list[str]:
    """Return at most three sentences of at most 25 words each, the most important first.

    They are about the most important setting (`Run.summary`). What the run varies decides what comes first: threads,
    levels that are measured equally often, keys per query, or else lengths and variants. Brackets hold 95 % intervals
    over processes. A series counts as faster only if the whole interval of its speed-up is above 1.
    """
    found = run.summary
    if found is None:
        return [_nothing(run.outcomes)]
    named, results = shortest(run.frame), found.results
    between = varied(run.frame)
    title = ", ".join(told(results.setting.frame.iloc[0], between)) if between else ""
    levels, gradients = _compared(run.levels, named), _compared(run.gradients, named)
    even = len({len(each.setting.frame) for each in run.results}) == 1
    first = [*_threads(run.threads, named), *(levels if even else [])]
    alone = _of(results, run.results, named, title, [*levels, *gradients])
    return list(dict.fromkeys([*first, *alone, *gradients]))[:MOST_SENTENCES]


def of(results: Results, named: Mapping[str, str]) -> list[str]:
    """Return at most three sentences on one setting, of which some case passed; `named` has short names."""
    return _of(results, [results], named, "", [])[:MOST_SENTENCES]


def _of(
    results: Results, settings: Sequence[Results], named: Mapping[str, str], title: str, beside: Sequence[str]
) -> list[str]:
    """Return the sentences of a setting over keys per query, lengths, or both; see `by_length.sentences`."""
    lengths = by_length.sentences(results, settings, named, title, beside)
    keys = by_keys.sentences(results.sweeps, results.density, named)
    if not keys:
        return lengths
    return [*lengths[:2], *keys] if results.several_lengths else keys


def _nothing(found: Outcomes) -> str:
    """Return how the cases ended if none passed that mixes tokens."""
    if found.passed:
        return "Only layers that do not mix tokens passed, so nothing is compared."
    many: Counter[str] = Counter()
    for each in found.failures:
        many[each.word] += each.many
    ended = [f"{count} {status.replace('_', ' ')}" for status, count in many.most_common(4)]
    return f"No case passed: {listed(ended)}." if ended else "The run has no cases."


def _threads(found: Sequence[Threads], named: Mapping[str, str]) -> list[str]:
    """Return how much faster calls are with the most threads, at the longest length and at the shortest."""
    if not found or not found[0].gains:
        return []
    first, gains = found[0], sorted(found[0].gains, key=lambda each: float(each.time.mean))
    longest, shortest_n = (choose(each.seq_len for each in gains) for choose in (max, min))
    at = [each for each in gains if each.seq_len == longest]
    least, most = ((cells.factor(each.time), named[each.name]) for each in (at[0], at[-1]))
    head = f"With {first.most} threads instead of {first.fewest}, calls at N = {longest} are"
    if len(at) == 1:
        return [f"{head} {least[0]} times as fast with {least[1]}."]
    sentences = [f"{head} from {least[0]} times as fast with {least[1]} to {most[0]} times with {most[1]}."]
    if shortest_n != longest:
        short = [cells.factor(each.time) for each in gains if each.seq_len == shortest_n]
        sentences.append(f"At N = {shortest_n} they are {ends([short[0], short[-1]])} times as fast.")
    return sentences


def _compared(found: Sequence[Ratio], named: Mapping[str, str]) -> list[str]:
    """Return what a level takes as a multiple of another, or a direction of `forward`, each for the first setting."""
    alike: dict[str, list[Ratio]] = {}
    for each in found:
        first = alike.setdefault(each.against, [each])[0]
        if each is not first and (each.title, each.value) == (first.title, first.value):
            alike[each.against].append(each)
    return [_ends(sorted(each, key=lambda ratio: float(ratio.time.mean)), named) for each in alike.values()]


def _ends(found: list[Ratio], named: Mapping[str, str]) -> str:
    """Return the smallest and the largest of some ratios, which are sorted."""
    least, most = found[0], found[-1]
    times = [f"{cells.factor(each.time)} times" for each in (least, most)]
    head = f"At N = {least.seq_len}, {least.value} takes"
    if times[0] == times[1]:
        with_one = f" with {named[least.name]}" if len(found) == 1 else ""
        return f"{head} {times[0]} the time of {least.against}{with_one}."
    with_least = f"from {times[0]} the time of {least.against} with {named[least.name]}"
    return f"{head} {with_least} to {times[1]} with {named[most.name]}."
