"""Answer to a suite's question, in at most three short sentences that the tables confirm."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from attnbench.reports.data.settings import told, varied
from attnbench.reports.data.values import FASTER, FEWEST_PROCESSES, SLOWER
from attnbench.reports.findings.crossovers import LONGER, SHORTER
from attnbench.reports.findings.outcomes import Outcomes
from attnbench.reports.findings.paired import Gain, Ratio, Threads
from attnbench.reports.findings.run import Results, Run
from attnbench.reports.findings.shared import Shared
from attnbench.reports.text import by_hardware, by_keys, by_length, by_score, cells, units
from attnbench.reports.text.names import shortest
from attnbench.reports.text.phrases import MOST_WORDS, ends, listed

MOST_SENTENCES = 3
_ENERGY = ("energy_j", "energy_low_j", "energy_high_j")
_FRACTION = ("energy_fraction", "energy_fraction_low", "energy_fraction_high")


def answer(run: Run) -> list[str]:
    """Return at most three sentences of at most 25 words each, the most important first.

    They are about the most important setting (`Run.summary`). What the run varies decides what comes first: classes of
    hardware, processes that share a sequence, threads, levels that are measured equally often, keys per query, or else
    lengths and variants. If models are trained, all sentences are about their scores. If energies are known, the last
    sentence is about them.
    Brackets hold 95 % intervals over processes. A series counts as faster only if the whole interval of its speed-up is
    above 1.
    """
    found = run.summary
    if found is None:
        return [_nothing(run.outcomes)]
    named, results = shortest(run.frame), found.results
    if run.learned:
        return by_score.sentences(run.learned, run.learned_by_size, named)[:MOST_SENTENCES]
    between = varied(run.frame)
    title = ", ".join(told(results.setting.frame.iloc[0], between)) if between else ""
    levels, gradients = _compared(run.levels, named), _compared(run.gradients, named)
    even = len({len(each.setting.frame) for each in run.results}) == 1
    several = [*_shared(run.shared), *_threads(run.threads, named)]
    first = [*by_hardware.sentences(run.by_hardware, named), *several, *(levels if even else [])]
    alone = _of(results, run.results, named, title, [*levels, *gradients])
    return _ending(list(dict.fromkeys([*first, *alone, *gradients])), results, named)


def of(results: Results, named: Mapping[str, str]) -> list[str]:
    """Return at most three sentences on one setting, of which some case passed; `named` has short names."""
    return _ending(_of(results, [results], named, "", []), results, named)


def _ending(sentences: list[str], results: Results, named: Mapping[str, str]) -> list[str]:
    """Return the first of some sentences, and last the one about energy, if there is one."""
    last = _energy(results, named)
    return [*sentences[: MOST_SENTENCES - len(last)], *last]


def _energy(results: Results, named: Mapping[str, str]) -> list[str]:
    """Return the energy of a call of the fastest series, beside the baseline's; nothing if it is unknown."""
    assert results.fastest is not None
    name, best, base = results.fastest.name, results.fastest.case, results.baseline
    if math.isnan(best["energy_j"]):
        return []
    told = f"At N = {best['seq_len']}, {named[name]} takes {units.energy(*(best[each] for each in _ENERGY))} a call"
    share, low, high = (float(best[each]) for each in _FRACTION)
    beside = f", {units.interval(share, low, high, f' times the energy of {named.get(base)}')}"
    # Without an interval, no difference is told.
    return [f"{told}{'' if name == base or math.isnan(low) else beside}."]


def _of(
    results: Results, settings: Sequence[Results], named: Mapping[str, str], title: str, beside: Sequence[str]
) -> list[str]:
    """Return the sentences of a setting over implementations, keys per query and lengths; see `by_length.sentences`."""
    leading = _implementations(results, f"{title}: at" if title else "At")
    lengths = [*leading, *by_length.sentences(results, settings, named, "" if leading else title, beside)]
    keys = by_keys.sentences(results.sweeps, results.density, named)
    if not keys:
        return lengths
    return [*lengths[:2], *keys] if results.several_lengths else keys


def _implementations(results: Results, at: str) -> list[str]:
    """Return which implementation is the fastest of most variants; nothing if some variant has only one."""
    n, frame = results.compared_at, results.setting.frame
    found = [each for each in results.implementations if each.seq_len == n]
    every = frame[(frame["seq_len"] == n) & (frame["status"] == "passed")]["label"].nunique()
    shown = Counter(each.implementation for each in found if each.is_shown)
    ((name, count),) = shown.most_common(1) or [("", 0)]
    if len(found) < max(every, 2) or 2 * count <= every:
        return []
    times = [each.time for each in found if each.is_shown and each.implementation == name]
    times.sort(key=lambda each: float(each.mean))
    several = f"all {every}" if count == every else f"{count} of {every}"
    factor = ends([cells.factor(times[0]), cells.factor(times[-1])])
    told = f"{at} N = {n}, {name} is the fastest implementation of {several} variants"
    beside = f"{told}, {factor} times as fast as the next"
    return [f"{beside if len(beside.split()) <= MOST_WORDS else told}."]


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
    if not found:
        return []
    gains = [each for each in found[0].gains if each.time.processes >= FEWEST_PROCESSES]
    by_length = {choose(each.seq_len for each in gains): None for choose in (max, min)} if gains else {}
    head = f"With {found[0].most} threads instead of {found[0].fewest}"
    alike: dict[str, list[str]] = {}
    for n in by_length:
        at = [each for each in gains if each.seq_len == n]
        alike.setdefault(_gained(at, named), []).append(f"N = {n}")
    told = [f"{head}, {words} at {' and '.join(lengths)}." for words, lengths in alike.items()]
    return [*told, *_moved(found[0], named)]


def _shared(found: Sequence[Shared]) -> list[str]:
    """Return what the most processes gain that share the longest sequence."""
    known = [each for each in found if each.over_one.processes >= FEWEST_PROCESSES]
    if not known:
        return []
    best = max(known, key=lambda each: (each.seq_len, each.world))
    head = f"At N = {best.seq_len}, {best.world} processes that share the sequence are"
    told = f"{head} {cells.ratio(best.over_one, ' times as fast as one')}"
    if best.over_threads.processes < FEWEST_PROCESSES:
        return [f"{told}."]
    return [f"{told}, and {cells.ratio(best.over_threads, f' times as fast as {best.world} threads')}."]


def _moved(found: Threads, named: Mapping[str, str]) -> list[str]:
    """Return which crossovers are at another length with the most threads than with the fewest."""
    moved = {each.name: each.moved for each in found.crossovers if each.moved is not None}
    head, words = f"With {found.most} threads instead of {found.fewest}", []
    for side in (LONGER, SHORTER):
        part = [name for name, where in moved.items() if where == side]
        if len(part) == 1:
            words.append(f"the crossover of {named[part[0]]} is at a {side} length")
        elif part:
            many = "all" if len(part) == len(moved) else f"{len(part)} of {len(moved)}"
            words.append(f"{many} crossovers are at a {side} length")
    if moved and not words:
        words.append("no crossover is shown to be at another length")
    return [f"{head}, {' and '.join(words)}."] if words else []


def _gained(gains: list[Gain], named: Mapping[str, str]) -> str:
    """Return at one length which series are faster or slower with more threads."""
    faster = sorted((each for each in gains if each.verdict == FASTER), key=lambda each: float(each.time.mean))
    slower = [each.name for each in gains if each.verdict == SLOWER]
    if not faster and not slower:
        return "nothing is shown to be faster or slower"
    words = [f"{_some(slower, len(gains), named)} slower"] if slower else []
    if faster:
        times = ends([cells.factor(faster[0].time), cells.factor(faster[-1].time)])
        words.insert(0, f"{_some([each.name for each in faster], len(gains), named)} faster ({times} times)")
    return " and ".join(words)


def _some(part: Sequence[str], every: int, named: Mapping[str, str]) -> str:
    """Name a part of the series: `full is`, `all are`, `2 of 6 are`."""
    if len(part) == 1:
        return f"{named[part[0]]} is"
    return f"{'all' if len(part) == every else f'{len(part)} of {every}'} are"


def _compared(found: Sequence[Ratio], named: Mapping[str, str]) -> list[str]:
    """Return what a level takes as a multiple of another, or a direction of `forward`, each for the first setting."""
    alike: dict[str, list[Ratio]] = {}
    for each in found:
        if each.time.processes < FEWEST_PROCESSES:
            continue
        first = alike.setdefault(each.against, [each])[0]
        if each is not first and (each.title, each.value) == (first.title, first.value):
            alike[each.against].append(each)
    return [_ends(sorted(each, key=lambda ratio: float(ratio.time.mean)), named) for each in alike.values()]


def _ends(found: list[Ratio], named: Mapping[str, str]) -> str:
    """Return the smallest and the largest of some ratios, which are sorted; with names if they are shown to differ."""
    least, most = found[0], found[-1]
    times = [cells.factor(each.time) for each in (least, most)]
    head = f"At N = {least.seq_len}, {least.value} takes"
    if len(found) == 1:
        return f"{head} {times[0]} times the time of {least.against} with {named[least.name]}."
    if least.time.high >= most.time.low:
        return f"{head} {ends(times)} times the time of {least.against}."
    with_least = f"from {times[0]} times the time of {least.against} with {named[least.name]}"
    return f"{head} {with_least} to {times[1]} times with {named[most.name]}."
