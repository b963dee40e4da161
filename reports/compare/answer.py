"""Answer of a comparison, in at most three short sentences, and notes on how it was made."""

import math
from collections.abc import Sequence

import pandas as pd

from attnbench.reports.compare.cells import title
from attnbench.reports.compare.comparison import METRICS, Comparison, Ratio
from attnbench.reports.decision.rule import COMPARED, Verdict
from attnbench.reports.text import escape, units
from attnbench.reports.text.phrases import ends, listed

MOST_SENTENCES = 3
_MOST_VALUES = 6
WORDS = {"verdict": "time", "memory": "peak memory", "work": "work", "operators": "operators", "error": "error"}
"""The metrics as columns, and in words."""


def answer(comparison: Comparison) -> list[str]:
    """Return at most three sentences of at most 25 words each, the worst first.

    The headline says why nothing could be compared.
    """
    if not comparison.compared:
        return _machines(comparison)
    frame = comparison.worst_first
    slower, faster = (frame[frame["verdict"] == each] for each in (Verdict.REGRESSED, Verdict.IMPROVED))
    every = int(comparison.timed.sum())
    changes = [
        *_changed(comparison, slower, "slower", every),
        *_lost(comparison, frame[frame["verdict"].isin([Verdict.ERROR, Verdict.MISSING])]),
    ]
    better = [*_changed(comparison, faster, "faster", every)]
    worse = _others(comparison, Verdict.REGRESSED, "worse")
    rest = worse or _others(comparison, Verdict.IMPROVED, "better") or _same(comparison)
    still = [] if changes or better else _open(comparison, every)
    return list(dict.fromkeys([*changes, *still, *worse, *better, *_machines(comparison), *rest]))[:MOST_SENTENCES]


def notes(comparison: Comparison) -> list[str]:
    """Return what else must be known: exchanged implementations, all times together, noise, machines, the method."""
    return [
        *([comparison.cut] if comparison.cut else []),
        *_axes(comparison),
        *(
            f"{listed(labels)}: {a} in A and {b} in B, which is not compared; "
            f"to compare them, write `implementation: {a}` in the suite of B"
            for (a, b), labels in comparison.exchanged.items()
        ),
        *_together(comparison),
        *_noise(comparison),
        *_differences(comparison),
        comparison.how,
    ]


def counted(comparison: Comparison) -> list[list[str]]:
    """Return a row for each metric: its name, and how many cases have each verdict. Operators only if profiled."""
    told = [name for name in WORDS if name != "operators" or comparison.profiled]
    return [
        [WORDS[name], ", ".join(f"{count:,} {verdict}" for verdict, count in comparison.counts(name).items())]
        for name in told
    ]


def undecided(comparison: Comparison) -> str:
    """Say how many times are not decided, and why: `3 of 8 times are not decided: 2 inconclusive and 1 unstable`.

    Headline, answer and `--strict` have this count. It is empty if every time is decided.
    """
    count, blind = int(comparison.undecided.sum()), int(comparison.blind.sum())
    if not count:
        return ""
    limits = sorted(set(map(units.change, comparison.frame["limit"][comparison.blind])))
    limit = limits[0] if len(limits) == 1 else "its limit"
    why = [f"{blind:,} could not have shown a slow-down of {limit}"] if blind else []
    rest = comparison.frame["verdict"][comparison.undecided & ~comparison.blind].tolist()
    why += [f"{rest.count(each):,} {each}" for each in Verdict if each in rest]
    verb = "is" if count == 1 else "are"
    return f"{count:,} of {int(comparison.timed.sum()):,} times {verb} not decided: {listed(why)}"


def nothing(comparison: Comparison) -> list[str]:
    """Return why nothing could be compared, in a sentence, or nothing if something was."""
    if comparison.compared:
        return []
    if comparison.frame.empty:
        why = "no two cases differ by that alone" if comparison.ratio is Ratio.CASES else "neither side has a case"
    elif comparison.disjoint:
        why = f"the runs are {comparison.disjoint} and have no case in common"
    else:
        why = listed([f"{_cases(count)} {verdict}" for verdict, count in comparison.counts().items()])
    return [f"Nothing could be compared: {why}."]


def _cases(count: int) -> str:
    return "1 case is" if count == 1 else f"{count:,} cases are"


def _axes(comparison: Comparison) -> list[str]:
    """Return a sentence on the axes that separate the cases only in A from those only in B."""
    told = [f"{name} is {_summed(a)} in A and {_summed(b)} in B" for name, (a, b) in comparison.apart.items()]
    return [f"no case is in both: {'; '.join(told)}"] if told else []


def _summed(told: Sequence[str]) -> str:
    """Join a few values with commas; of many, give the number and the first and last: `9, from a to z`."""
    return listed(told) if len(told) <= _MOST_VALUES else f"{len(told)}, from {ends([told[0], told[-1]])}"


def _changed(comparison: Comparison, part: pd.DataFrame, word: str, every: int) -> list[str]:
    """Return how many cases are slower or faster, and the one that changed most."""
    if part.empty:
        return []
    row = part.iloc[0]
    times = units.interval(row["ratio"], row["low"], row["high"], " times as long")
    named = title(row, comparison.named)
    if len(part) == 1:
        return [f"1 of {every:,} cases is {word}: {named} takes {times}."]
    return [f"{len(part):,} of {every:,} cases are {word}, most of all {named}: {times}."]


def _lost(comparison: Comparison, part: pd.DataFrame) -> list[str]:
    """Return how many cases are lost, and the first of them."""
    if part.empty:
        return []
    told = f"{title(part.iloc[0], comparison.named)} ({part.iloc[0]['reason'].partition(':')[0]})"
    return [f"1 case is lost: {told}." if len(part) == 1 else f"{len(part):,} cases are lost, first {told}."]


def _open(comparison: Comparison, every: int) -> list[str]:
    """Return that no time changed, and how many are not decided unless the headline says so."""
    if not comparison.frame["verdict"][comparison.timed].isin(COMPARED).any():
        return []
    told = "" if comparison.blind.any() else undecided(comparison)
    return [f"No time of {every:,} is shown to have changed{f'; {told}' if told else ''}."]


def _machines(comparison: Comparison) -> list[str]:
    """Return a sentence on what differs between the machines or the code."""
    if not comparison.differences:
        return []
    return [f"The {comparison.what_differs} differ in {_summed(list(comparison.differences))}."]


def _others(comparison: Comparison, verdict: Verdict, word: str) -> list[str]:
    """Return in how many cases metrics beside time have a verdict, which `word` says; nothing if none has."""
    found = [(WORDS[name], comparison.counts(name).get(verdict, 0)) for name in METRICS]
    there = [(name, count) for name, count in found if count]
    if not there:
        return []
    (first, count), *rest = there
    cases = "1 case" if count == 1 else f"{count:,} cases"
    return [f"{first.capitalize()} is {word} in {listed([cases, *(f'{name} in {each:,}' for name, each in rest)])}."]


def _same(comparison: Comparison) -> list[str]:
    """Return which metrics beside time are unchanged in every case."""
    same = [WORDS[name] for name in METRICS if set(comparison.counts(name)) == {Verdict.UNCHANGED.value}]
    verb = "is" if len(same) == 1 else "are"
    return [f"{listed(same).capitalize()} {verb} unchanged."] if same else []


def _together(comparison: Comparison) -> list[str]:
    """Return a sentence on the mean change of all cases of two runs."""
    if comparison.together is None:
        return []
    ratio, low, high = (math.exp(each) for each in comparison.together[:3])
    return [f"over all cases together B takes {units.interval(ratio, low, high, ' times as long as A')}"]


def _noise(comparison: Comparison) -> list[str]:
    if comparison.noise is None:
        return []
    told = f"differed by {units.change(comparison.noise)} at most" if comparison.noise else "is not shown to differ"
    return [f"the same code against itself {told}"]


def _differences(comparison: Comparison) -> list[str]:
    """Return a sentence with both values of what differs between the machines or the code."""
    if not comparison.differences:
        return ["no version and no variable differs"] if comparison.what == "environments" else []
    told = [f"{name}: {escape.plain(a)} and {escape.plain(b)}" for name, (a, b) in comparison.differences.items()]
    return [f"the {comparison.what_differs} differ in {'; '.join(told)}"]
