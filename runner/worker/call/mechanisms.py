"""What the variant of a case declares: its oracle, its options, and what stands around it."""

from collections.abc import Callable

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call.inputs import sizes_of
from attnbench.suites import Case
from attnbench.variants import DECODE, levels
from attnbench.variants.levels import Around

Oracle = Callable[..., Tensor]
"""Function that returns outputs for q, k, v, then a mask of allowed keys or the indices of queries, then weights."""


def around(case: Case) -> Around | None:
    """Return what stands around the case's mechanisms, or None if its variant is the whole of it."""
    return levels.around(case.setting.level, variants.load(case.mechanism.name).level)


def reference(case: Case, choice: Tensor | None = None) -> Oracle | None:
    """Return the oracle of the case's variant, or None. It raises if its outputs have another shape or dtype.

    `choice` is what a call chose, if the mechanism chooses by content.
    """
    variant = variants.load(case.mechanism.name)
    own = variant.reference or (getattr(type(case.parameters), "attention", None) if modifies_scores(case) else None)
    if own is None:
        return None

    many = len(sizes_of(case.setting.shape, variant.level)) - 1

    def outputs(*given: Tensor) -> Tensor:
        """Return outputs `B H R D` of the queries at rows, from inputs, rows and weights."""
        inputs, rows, weights = given[:many], given[many], given[many + 1 :]
        beside = () if variant.is_pattern else (weights,) if choice is None else (weights, choice)
        out = own(case.parameters, *inputs, rows, *beside)
        like = inputs[0]
        expected = torch.Size((*like.shape[:-2], len(rows), like.shape[-1]))
        if out.shape != expected or out.dtype != like.dtype:
            found = f"{out.dtype} {list(out.shape)}"
            raise TypeError(f"reference: expected {like.dtype} {list(expected)} for {len(rows)} rows, found {found}")
        return out

    return outputs


def modifies_scores(case: Case) -> bool:
    """Check whether the case's pattern modifies scores."""
    # Code under test may be older than `Scored`.
    return hasattr(case.parameters, "modified")


def streams(case: Case) -> bool:
    """Check whether single elements of the case's results can be computed again: those of attention over a pattern."""
    return around(case) is None and reference(case) is None and case.setting.direction != DECODE


def options(case: Case) -> Callable[..., tuple[Tensor, int]] | None:
    """Return a function of q, k, v, rows and weights that scores the options of a mechanism that chooses by content.

    Return None if the mechanism does not choose by content with these parameters.
    """
    own = variants.load(case.mechanism.name).options
    if own is None or not case.parameters.chooses():
        return None

    def scored(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, *weights: Tensor) -> tuple[Tensor, int]:
        """Return the scores `B H R ... C` of the queries at `rows`, and the number of options that are chosen."""
        found = own(case.parameters, q, k, v, rows, weights)
        scores, count = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
        right = isinstance(scores, Tensor) and scores.dim() > 3 and type(count) is int
        if not right or scores.shape[:3] != (*q.shape[:2], len(rows)) or not 1 <= count <= scores.shape[-1]:
            raise TypeError(f"options: expected scores {[*q.shape[:2], len(rows)]} and more, and a count, found others")
        return scores, count

    return scored


def choosers(case: Case) -> int:
    """Return how many of each head choose by content: its queries, unless the variant says otherwise."""
    own, n = variants.load(case.mechanism.name).choosers, case.setting.shape.seq_len
    return own(case.parameters, n) if own else n
