"""A pattern as disjoint parts, each planned separately.

All spans with the same step are one part. In `strided` the parts are the neighbours and the residue class of the
query, in `fixed` its own block and the summaries. The keys that a block of 64 queries needs from both parts together
are nearly all keys, while each part alone wastes little. `merge` combines a query's results from several parts.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants._pattern import IntArray, Spans
from attnbench.variants.kernels.blockwise.grid import plan
from attnbench.variants.kernels.blockwise.plan import Group


@dataclass(frozen=True)
class Part:
    """Groups of blocks that cover each query at most once.

    `keys` `[M]` are the keys that some query sees; the groups' key numbers are places in it, from 0 to M - 1. If `keys`
    is None, they are places in the whole sequence.
    """

    groups: list[Group]
    keys: IntArray | None


def parts(spans: Spans) -> list[Part]:
    """Return one part for each step; together they cover each allowed pair exactly once."""
    if len(_steps(spans)) == 1:
        return [Part(plan(spans), None)]
    return [_part(each, int(each.step[0, 0])) for each in by_step(spans)]


def by_step(spans: Spans) -> list[Spans]:
    """Return the spans of each step."""
    if len(_steps(spans)) == 1:
        return [spans]
    # The step of a one-key span means nothing. A query's own key is put with the neighbours (step 1), so that it does
    # not become a part of its own.
    alone = (spans.lengths() == 1) & (spans.start == np.arange(spans.n)[:, None])
    spans = Spans(spans.start, np.where(alone, spans.start + 1, spans.stop), np.where(alone, 1, spans.step))
    return [_of_step(spans, step) for step in _steps(spans)]


def _steps(spans: Spans) -> list[int]:
    """Return the distinct steps of the spans that are not empty."""
    return [int(step) for step in np.unique(spans.step[spans.stop > spans.start])]


def _of_step(spans: Spans, step: int) -> Spans:
    """Return the spans with this step only."""
    mine = (spans.stop > spans.start) & (spans.step == step)
    columns = mine.any(axis=0)
    start, stop = (np.where(mine, bound, 0)[:, columns] for bound in (spans.start, spans.stop))
    return Spans(start, stop, np.full_like(start, step))


def _part(spans: Spans, step: int) -> Part:
    """Return the part for spans that all have this step."""
    residues = np.unique(spans.start[spans.stop > spans.start] % step)
    keys = np.flatnonzero(np.isin(np.arange(spans.n) % step, residues))
    if len(keys) == spans.n:
        return Part(plan(spans), None)
    return Part(plan(_renumbered(spans, residues, step)), keys)


def _renumbered(spans: Spans, residues: IntArray, step: int) -> Spans:
    """Return the spans with keys renumbered, counting only keys whose residue modulo the step is in `residues`."""
    held = spans.stop > spans.start
    apart = len(residues)
    start = spans.start // step * apart + np.searchsorted(residues, spans.start % step)
    stop = start + (spans.lengths() - 1) * apart + 1
    return Spans(np.where(held, start, 0), np.where(held, stop, 0), np.full_like(start, apart))
