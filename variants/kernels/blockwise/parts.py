"""A pattern as disjoint parts, each planned by itself, so that no block needs keys for the sake of another part.

Spans of one step are one part. In `strided` that is the neighbours and the residue class of the query, in `fixed`
the own block and the summaries: a block of 64 queries that had to hold the keys of both would hold nearly all keys,
while by itself each part has little waste. What a query gets from several parts is merged (`merge`).
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants._pattern import IntArray, Spans
from attnbench.variants.kernels.blockwise.grid import plan
from attnbench.variants.kernels.blockwise.plan import Group


@dataclass(frozen=True)
class Part:
    """Groups that cover each query at most once.

    Where only the keys `keys` `[M]` of the sequence are seen by anybody, the groups number those, from 0 to M - 1; with
    None they number the whole sequence.
    """

    groups: list[Group]
    keys: IntArray | None


def parts(spans: Spans) -> list[Part]:
    """The parts that cover each allowed pair exactly once: one for each step."""
    if len(_steps(spans)) == 1:
        return [Part(plan(spans), None)]
    # A query's own key, alone in its span, has no step: it goes with the neighbours, which are often all there is.
    alone = (spans.lengths() == 1) & (spans.start == np.arange(spans.n)[:, None])
    spans = Spans(spans.start, np.where(alone, spans.start + 1, spans.stop), np.where(alone, 1, spans.step))
    return [_part(_of_step(spans, step), step) for step in _steps(spans)]


def _steps(spans: Spans) -> list[int]:
    """The steps that there are."""
    return [int(step) for step in np.unique(spans.step[spans.stop > spans.start])]


def _of_step(spans: Spans, step: int) -> Spans:
    """The spans of one step, the others left out."""
    mine = (spans.stop > spans.start) & (spans.step == step)
    columns = mine.any(axis=0)
    start, stop = (np.where(mine, bound, 0)[:, columns] for bound in (spans.start, spans.stop))
    return Spans(start, stop, np.full_like(start, step))


def _part(spans: Spans, step: int) -> Part:
    """The part of spans that all have this step."""
    residues = np.unique(spans.start[spans.stop > spans.start] % step)
    keys = np.flatnonzero(np.isin(np.arange(spans.n) % step, residues))
    if len(keys) == spans.n:
        return Part(plan(spans), None)
    return Part(plan(_renumbered(spans, residues, step)), keys)


def _renumbered(spans: Spans, residues: IntArray, step: int) -> Spans:
    """The spans where only the keys of some residues modulo their step are numbered."""
    held = spans.stop > spans.start
    apart = len(residues)
    start = spans.start // step * apart + np.searchsorted(residues, spans.start % step)
    stop = start + (spans.lengths() - 1) * apart + 1
    return Spans(np.where(held, start, 0), np.where(held, stop, 0), np.full_like(start, apart))
