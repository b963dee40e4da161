"""Answer to a suite's question, in sentences that the tables confirm."""

import math
import re
from itertools import groupby
from typing import TYPE_CHECKING

from attnbench.reports.data.paired import Gain, Ratio, Threads
from attnbench.reports.data.run import Results, Run
from attnbench.reports.data.settings import SERIES, names
from attnbench.reports.text import by_keys, by_length, cells, outcomes, units
from attnbench.reports.text.phrases import ends, listed

if TYPE_CHECKING:
    import pandas as pd

_MOST_IN_DETAIL = 4
"""With more settings than this, or if threads vary, each setting gets a short text."""
_MOST_SERIES = 8
"""With more series than this, only the smallest and the largest ratio are given."""


def answer(run: Run) -> list[str]:
    """Return sentences about what the run varies, then about what passed and what did not.

    - Threads: the gain from more of them.
    - Keys per query: the number up to which a pattern beats the baseline, and the cost of one more key.
    - Lengths: the length from which a series beats the baseline, the fastest series, growth of time and memory, and the
      realised share of the saved work.
    - Levels: what stands around attention, and what its parameters add. Directions: the cost of gradients.

    Brackets hold 95 % intervals. With too few processes for an interval, no difference is claimed.
    """
    measured = [each for each in run.results if each.passed]
    found = [sentence for each in run.threads for sentence in _threads(each)]
    detailed = len(measured) <= _MOST_IN_DETAIL and not found
    found += [sentence for each in measured for sentence in _of(each, detailed=detailed)]
    ratios = (*run.levels, *run.gradients)
    alike = groupby(ratios, key=lambda each: (each.title, each.value, each.against, each.seq_len))
    found += [_ratios(list(each)) for _, each in alike]
    return _shortened(run.frame, [*found, *outcomes.sentences(run.outcomes)])


def _threads(found: Threads) -> list[str]:
    """Return how much faster each series is with more threads, at the shortest and the longest length."""
    by_length = {n: list(each) for n, each in groupby(found.gains, key=lambda each: each.seq_len)}
    ends_of = dict.fromkeys((min(by_length), max(by_length))) if by_length else ()
    return [_gains(found, n, by_length[n]) for n in ends_of]


def _gains(found: Threads, n: int, gains: list[Gain]) -> str:
    """Return the sentence on the gains of one setting and length, the largest first."""
    ordered = sorted(gains, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in ordered]
    threads = f"{found.fewest} to {found.most} threads"
    return f"{found.title}: from {threads} at N = {n} a call gets faster by {listed(told)}."


def _of(results: Results, *, detailed: bool) -> list[str]:
    """Return the sentences of one setting: over keys per query, over lengths, or both."""
    told = by_keys.sentences(results.sweeps, results.density)
    if not told or results.several_lengths:
        told += by_length.sentences(results, detailed=detailed)
    return [f"{results.setting.title}: {each}" for each in told]


def _ratios(found: list[Ratio]) -> str:
    """Return a sentence that compares a direction or level with another: time, the most first, memory and work."""
    first = found[0]
    found = sorted(found, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in found]
    if len(told) > _MOST_SERIES:
        told = [f"{told[0]} (most)", f"{told[-1]} (least)"]
    sentence = f"{first.title}: against {first.against}, {first.value} at N = {first.seq_len} takes {listed(told)}"
    peak, work = (_ends([getattr(each, name) for each in found]) for name in ("peak", "work"))
    beside = [f"its peak memory is {peak} times as large"] if peak else []
    beside += [f"its work {work} times"] if work else []
    return f"{sentence}; {', '.join(beside)}." if beside else f"{sentence}."


def _ends(ratios: list[float]) -> str:
    """Write the smallest and the largest ratio; empty if none is known."""
    known = sorted(filter(math.isfinite, ratios))
    return ends([units.number(each, 2) for each in (known[0], known[-1])]) if known else ""


def _shortened(frame: "pd.DataFrame", sentences: list[str]) -> list[str]:
    """Return the sentences without implementations of labels that have only one."""
    pairs = frame[list(SERIES)].drop_duplicates()
    alone = pairs[~pairs["label"].duplicated(keep=False)]
    for name, label in zip(names(alone), alone["label"], strict=True):
        whole = re.compile(rf"(?<![\w/]){re.escape(name)}(?!\w)")
        sentences = [label.join(whole.split(each)) for each in sentences]
    return sentences
