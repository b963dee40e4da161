"""Checks of a pattern at a length: queries that see no key, spans that overlap, two definitions that differ."""

import numpy as np

from attnbench.variants._pattern import Pattern, Spans

PAIRWISE = 512
"""Up to this length a pattern is checked pair by pair. Odd lengths below it show the flaws of longer ones."""


def flaw(pattern: Pattern, n: int) -> str | None:
    """Return what is wrong with a pattern at length n, or None if it is sound; the pattern must support n.

    At any length, check the form of the spans, and that every query sees some key. Up to `PAIRWISE`, also check that
    the spans of a row are disjoint, and that `allowed` and `spans` agree if a variant defines both.
    """
    spans = pattern.spans(n)
    found = _form(spans, n) or _blind(spans)
    if found or n > PAIRWISE:
        return found
    return _overlap(spans) or _disagreement(pattern, spans)


def _form(spans: Spans, n: int) -> str | None:
    """Return an error if the arrays have a wrong dtype or shape, or if a bound lies outside the sequence."""
    if not isinstance(spans, Spans):
        return f"spans at N={n}: expected Spans, found {type(spans).__name__}; make them with Spans.of"
    arrays = {"start": spans.start, "stop": spans.stop, "step": spans.step}
    for name, each in arrays.items():
        if each.dtype != np.int64 or each.ndim != 2 or each.shape != (n, spans.start.shape[-1]):
            found = f"{each.dtype} {list(each.shape)}"
            return f"spans at N={n}: expected {name} as int64 [{n}, S], found {found}; make them with Spans.of"
    out = (spans.start < 0) | (spans.stop > n) | (spans.stop < spans.start) | (spans.step < 1)
    if not out.any():
        return None
    i, s = (int(each) for each in np.argwhere(out)[0])
    found = ", ".join(f"{name} {each[i, s]}" for name, each in arrays.items())
    return (
        f"query {i} at N={n}: expected 0 <= start <= stop <= {n} and step >= 1, found {found}; make spans with Spans.of"
    )


def _blind(spans: Spans) -> str | None:
    """Return an error about the first query that sees no key."""
    blind = np.flatnonzero(spans.counts() == 0)
    if not len(blind):
        return None
    return (
        f"query {blind[0]} at N={spans.n} sees no key; every query must see at least one, "
        "or unsupported(n) must say why there is no such pattern"
    )


def _overlap(spans: Spans) -> str | None:
    """Return an error about the first query with a key in two spans."""
    counted, seen = spans.counts(), spans.mask().sum(axis=1)
    twice = np.flatnonzero(counted != seen)
    if not len(twice):
        return None
    i = twice[0]
    return (
        f"query {i} at N={spans.n} sees {seen[i]} keys, and its spans hold {counted[i]}; "
        "the spans of a row must be disjoint"
    )


def _disagreement(pattern: Pattern, spans: Spans) -> str | None:
    """Return an error about the first pair on which the variant's `spans` and its own `allowed` differ."""
    if type(pattern).allowed is Pattern.allowed or type(pattern).spans is Pattern.spans:
        return None
    asked = Spans.where(spans.n, lambda i, j: pattern.allowed(i, j, spans.n)).mask()
    differ = np.argwhere(spans.mask() != asked)
    if not len(differ):
        return None
    i, j = (int(each) for each in differ[0])
    yes, no = ("allowed", "spans") if asked[i, j] else ("spans", "allowed")
    return f"query {i} at N={spans.n} sees key {j} by {yes} and not by {no}; make them agree, or leave one out"
