"""Sentences on the cost of gradients."""

import math
from itertools import groupby

from attnbench.reports.data.frame import Run
from attnbench.reports.summary.directions import Ratio, ratios
from attnbench.reports.text import cells, units
from attnbench.reports.text.phrases import ends, listed
from attnbench.variants import FLOPS_PER_PAIR

_MOST = 8
"""Of more series than this, the least and the most are told."""


def sentences(run: Run) -> list[str]:
    """For each setting and direction: its time over that of `forward`, and its peak memory."""
    groups = groupby(ratios(run), key=lambda each: (each.title, each.direction, each.seq_len))
    return [_sentence(list(found)) for _, found in groups]


def _sentence(found: list[Ratio]) -> str:
    """One setting and direction, the dearest series first."""
    first = found[0]
    work = FLOPS_PER_PAIR[first.direction] / FLOPS_PER_PAIR["forward"]
    found = sorted(found, key=lambda each: -float(each.time.mean))
    told = [f"{cells.ratio(each.time)} for {each.name}" for each in found]
    if len(told) > _MOST:
        told = [f"{told[0]} (most)", f"{told[-1]} (least)"]
    sentence = f"{first.title}: against forward, {first.direction} at N = {first.seq_len} takes {listed(told)}"
    peaks = sorted(each.peak for each in found if math.isfinite(each.peak))
    if peaks:
        both = ends([units.number(each, 2) for each in (peaks[0], peaks[-1])])
        sentence += f"; its peak memory is {both} times as large"
    return f"{sentence}, its work {work:g} times."
