"""The answer to a suite's question in sentences that the tables confirm."""

import math
import re
from itertools import groupby
from typing import TYPE_CHECKING

from attnbench.reports.data.paired import Gain, Gradient, Threads
from attnbench.reports.data.run import Results, Run
from attnbench.reports.data.settings import SERIES, names
from attnbench.reports.text import by_keys, by_length, cells, outcomes, units
from attnbench.reports.text.phrases import ends, listed

if TYPE_CHECKING:
    import pandas as pd

_MOST_IN_DETAIL = 4
"""With more settings than this, or where they differ by threads, each is told in short."""
_MOST_SERIES = 8
"""Of more series than this, the least and the most are told."""


def answer(run: Run) -> list[str]:
    """Sentences about what the run varies, then what passed and what did not.

    Over threads: what more of them buy. Over keys per query: up to how many a pattern beats the baseline, and what one
    more costs. Over lengths: who beats the baseline from when on, who is fastest, how time and memory grow and what was
    realised of the work saved. Over directions: what gradients cost.

    Brackets hold 95 % intervals. Where there are too few processes for one, nothing is said to differ.
    """
    measured = [each for each in run.results if each.passed]
    found = [sentence for each in run.threads for sentence in _threads(each)]
    detailed = len(measured) <= _MOST_IN_DETAIL and not found
    found += [sentence for each in measured for sentence in _of(each, detailed=detailed)]
    alike = groupby(run.gradients, key=lambda each: (each.title, each.direction, each.seq_len))
    found += [_gradients(list(each)) for _, each in alike]
    return _shortened(run.frame, [*found, *outcomes.sentences(run.outcomes)])


def _threads(found: Threads) -> list[str]:
    """At the shortest and at the longest length: how much faster each series is with more threads."""
    by_length = {n: list(each) for n, each in groupby(found.gains, key=lambda each: each.seq_len)}
    ends_of = dict.fromkeys((min(by_length), max(by_length))) if by_length else ()
    return [_gains(found, n, by_length[n]) for n in ends_of]


def _gains(found: Threads, n: int, gains: list[Gain]) -> str:
    """One setting and length, the largest gain first."""
    ordered = sorted(gains, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in ordered]
    threads = f"{found.fewest} to {found.most} threads"
    return f"{found.title}: from {threads} at N = {n} a call gets faster by {listed(told)}."


def _of(results: Results, *, detailed: bool) -> list[str]:
    """The sentences of one setting: over keys per query, over lengths, or both."""
    told = by_keys.sentences(results.sweeps, results.density)
    if not told or results.several_lengths:
        told += by_length.sentences(results, detailed=detailed)
    return [f"{results.setting.title}: {each}" for each in told]


def _gradients(found: list[Gradient]) -> str:
    """One setting and direction against `forward`: its time, the dearest series first, and its peak memory."""
    first = found[0]
    found = sorted(found, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in found]
    if len(told) > _MOST_SERIES:
        told = [f"{told[0]} (most)", f"{told[-1]} (least)"]
    sentence = f"{first.title}: against forward, {first.direction} at N = {first.seq_len} takes {listed(told)}"
    peak, work = (_ends([getattr(each, name) for each in found]) for name in ("peak", "work"))
    beside = [f"its peak memory is {peak} times as large"] if peak else []
    beside += [f"its work {work} times"] if work else []
    return f"{sentence}; {', '.join(beside)}." if beside else f"{sentence}."


def _ends(ratios: list[float]) -> str:
    """The smallest and the largest ratio; nothing where none is known."""
    known = sorted(filter(math.isfinite, ratios))
    return ends([units.number(each, 2) for each in (known[0], known[-1])]) if known else ""


def _shortened(frame: "pd.DataFrame", sentences: list[str]) -> list[str]:
    """The sentences without the implementation of each label that has but one."""
    pairs = frame[list(SERIES)].drop_duplicates()
    alone = pairs[~pairs["label"].duplicated(keep=False)]
    for name, label in zip(names(alone), alone["label"], strict=True):
        whole = re.compile(rf"(?<![\w/]){re.escape(name)}(?!\w)")
        sentences = [label.join(whole.split(each)) for each in sentences]
    return sentences
