"""Sentences on the gain from threads."""

from itertools import groupby

from attnbench.reports.data.frame import Run
from attnbench.reports.summary.threads import Gain, gains
from attnbench.reports.text import cells
from attnbench.reports.text.phrases import listed


def sentences(run: Run) -> list[str]:
    """For each setting, at its shortest and its longest length: how much faster each series is with more threads."""
    told = []
    for _, found in groupby(gains(run), key=lambda each: each.title):
        by_length = {n: list(each) for n, each in groupby(found, key=lambda each: each.seq_len)}
        told += [_sentence(by_length[n]) for n in dict.fromkeys((min(by_length), max(by_length)))]
    return told


def _sentence(found: list[Gain]) -> str:
    """One setting and length, the largest gain first."""
    first = found[0]
    found = sorted(found, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in found]
    threads = f"{first.fewest} to {first.most} threads"
    return f"{first.title}: from {threads} at N = {first.seq_len} a call gets faster by {listed(told)}."
