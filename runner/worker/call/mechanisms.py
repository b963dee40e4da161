"""What the variant of a case declares: its oracle, its options, and what stands around it."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call.inputs import sizes_of
from attnbench.suites import Case
from attnbench.variants import ATTENTION, DECODE, Spans, levels
from attnbench.variants.levels import Around

Oracle = Callable[..., Tensor]
"""Function that returns outputs for q, k, v, then a mask of allowed keys or the indices of queries, then weights."""


def around(case: Case) -> Around | None:
    """Return what stands around the case's mechanisms, or None if its variant is the whole of it."""
    return levels.around(variants.load(case.mechanism.name), case.parameters, case.setting)


def reference(case: Case, choice: Tensor | None = None, spans: Spans | None = None) -> Oracle | None:
    """Return the oracle of the case's variant, or None. It raises if its outputs have another shape or dtype.

    `choice` is what a call chose, if the mechanism chooses by content. `spans` are those of a pattern that modifies
    scores within a sequence of a padded batch.
    """
    variant = variants.load(case.mechanism.name)
    own = variant.reference or (getattr(type(case.parameters), "attention", None) if modifies_scores(case) else None)
    # Code under test may be older than biases.
    biased = case.setting.level != ATTENTION and levels.has_bias(case.setting)
    if biased:
        own = importlib.import_module("attnbench.variants._scored").attention
    if own is None:
        return None

    many = len(sizes_of(case.setting.shape, variant.level)) - 1 + biased

    def outputs(*given: Tensor) -> Tensor:
        """Return outputs `B H R D` of the queries at rows, from inputs, rows and weights."""
        inputs, rows, weights = given[:many], given[many], given[many + 1 :]
        beside: tuple[Any, ...] = () if spans is None else (spans,)
        if not variant.is_pattern:
            beside = (weights,) if choice is None else (weights, choice)
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
    """Return a function that scores the options of a mechanism that chooses by content, from inputs, rows and weights.

    Return None if the mechanism does not choose by content with these parameters.
    """
    variant, shape = variants.load(case.mechanism.name), case.setting.shape
    own = variant.options
    if own is None or not case.parameters.chooses():
        return None
    many = len(sizes_of(shape, variant.level)) - 1

    def scored(*given: Tensor) -> tuple[Tensor, int]:
        """Return the scores `B H R ... C` of the queries at `rows`, and the number of options that are chosen."""
        inputs, rows, weights = given[:many], given[many], given[many + 1 :]
        found = own(case.parameters, *inputs, rows, weights)
        scores, count = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
        # Tokens `B N C` do not say how many heads there are.
        heads = inputs[0].shape[1] if inputs[0].dim() > 3 else shape.heads
        expected = (inputs[0].shape[0], heads, len(rows))
        right = isinstance(scores, Tensor) and scores.dim() > 3 and type(count) is int
        if not right or scores.shape[:3] != expected or not 1 <= count <= scores.shape[-1]:
            raise TypeError(f"options: expected scores {[*expected]} and more, and a count, found others")
        return scores, count

    return scored


def choosers(case: Case) -> int:
    """Return how many of each head choose by content: its queries, unless the variant says otherwise."""
    own, n = variants.load(case.mechanism.name).choosers, case.setting.shape.seq_len
    return own(case.parameters, n) if own else n
