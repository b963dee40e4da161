"""Odd small lengths, at which the edges of a pattern show: every element against dense masked attention in float64.

Where a variant brings a `reference`, that is the oracle instead.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import inf

import torch

from attnbench.runner.worker.call.calls import Inputs, inputs, wait
from attnbench.runner.worker.proof import tolerance
from attnbench.runner.worker.proof.expected import Expected, Useless, of_reference
from attnbench.runner.worker.proof.verdict import Verdict, judge, unfit
from attnbench.variants import Pattern, Setting, Shape, Spans
from attnbench.variants.kernels import Program, _oracle
from attnbench.variants.kernels._oracle import Oracle

Takes = Callable[[Pattern, Shape], bool]
"""Whether an implementation computes a pattern at a shape."""

_BELOW = (1, 5, 61)
_ABOVE = (97, 193, 389, 777, 1553)
_ABOVE_ON_CUDA = _ABOVE[2:]
"""Kernels for a GPU work on tiles of 128 and more: what goes wrong between tiles does not show within one."""
_DENSITY = 3 / 4
_MOST_SCORES = 2**25
"""Of all heads: the oracle holds about four such arrays in float64, 1 GiB in all."""


def small(
    pattern: Pattern, shape: Shape, takes: Takes | None = None, device: str = "cpu"
) -> list[tuple[Pattern, Shape]]:
    """Up to four small shapes at which to `check` an implementation of a case's pattern and shape.

    Odd lengths shorter than the case's own, at which the pattern exists: 1, 5, 61, and the first of 97, 193,
    389, ... 1553 at which fewer than three in four pairs are allowed (of those that are not after the query, for a
    causal pattern), or the one with the smallest share, so that there is structure to get wrong. A pattern that exists
    at few lengths is replaced by one `near` each of these. Two batch entries, one where the implementation takes no
    more, and two key heads where the case has as many, with their query heads. On CUDA 97 and 193 are left out, and
    everywhere the shapes that the implementation does not take. There may be none that is left.
    """
    below = list(_there(map(pattern.near, _BELOW), shape, takes))
    above = _sparse(_there(map(pattern.near, _ABOVE_ON_CUDA if device == "cuda" else _ABOVE), shape, takes))
    return sorted({*below, *([above] if above else [])}, key=lambda each: each[1].seq_len)


def _there(
    patterns: Iterable[tuple[Pattern, int]], shape: Shape, takes: Takes | None
) -> Iterator[tuple[Pattern, Shape]]:
    """Those that exist and are taken, shorter than the case's own shape, with their small shapes."""
    for kind, n in patterns:
        if n >= shape.seq_len or kind.unsupported(n) is not None:
            continue
        few = _few(shape, n)
        taken = next((each for each in (few, replace(few, batch=1)) if takes is None or takes(kind, each)), None)
        if taken is not None:
            yield kind, taken


def _few(shape: Shape, n: int) -> Shape:
    """A shape at another length, with two batch entries and few heads; with fewer where the oracle has more to do."""
    kv_heads = min(shape.kv_heads, 2)
    group = min(shape.heads // shape.kv_heads, max(2, _MOST_SCORES // (2 * kv_heads * n * n)))
    return replace(shape, batch=2, heads=kv_heads * group, kv_heads=kv_heads, seq_len=n)


def _sparse(found: Iterable[tuple[Pattern, Shape]]) -> tuple[Pattern, Shape] | None:
    """The first that leaves out a good share of the pairs that it could allow; where none does, the one with most."""
    sparsest: tuple[Pattern, Shape] | None = None
    least = inf
    for kind, shape in found:
        share = _share(kind.spans(shape.seq_len))
        if share < least:
            sparsest, least = (kind, shape), share
        if share < _DENSITY:
            break
    return sparsest


def _share(spans: Spans) -> float:
    """The pairs that a pattern allows over those that it could."""
    pairs, n = spans.pairs(), spans.n
    causal = spans.causal().pairs() == pairs
    return pairs / (n * (n + 1) // 2 if causal else n**2)


def check(
    program: Program, spans: Spans, setting: Setting, *, seed: int = 0, reference: Oracle | None = None
) -> Verdict:
    """Compare a program with the oracle at a small shape; dQ, dK and dV too but in the direction `forward`."""
    gradients = setting.direction != "forward"
    given = inputs(setting.shape, setting.dtype, setting.device, seed)
    leaves = [each.clone().requires_grad_(gradients) for each in given[:3]]
    with torch.set_grad_enabled(gradients):
        out = program.call(*leaves)
    problem = unfit(0, out, given)
    if problem:
        return Verdict(inf, problem)
    found = [out.detach()]
    if gradients:
        grads = torch.autograd.grad(out, leaves, given.dout, allow_unused=True)
        found += [torch.zeros_like(to) if each is None else each for to, each in zip(leaves, grads, strict=True)]
    # An error of the device is then the kernel's own, and not the oracle's.
    wait(setting.device)
    try:
        want = _dense(spans, given, gradients) if reference is None else _asked(reference, given, gradients)
    except Useless as useless:
        return Verdict(inf, str(useless))
    return judge(tuple(found), want, given, None, _nothing)


def _asked(reference: Oracle, given: Inputs, gradients: bool) -> Expected:
    """What a variant's own reference says of all rows."""
    return of_reference(reference, 0, given, grads=gradients, step=_nothing)


def _dense(spans: Spans, given: Inputs, gradients: bool) -> Expected:
    """What dense masked attention says in float64."""
    mask = torch.from_numpy(spans.mask()).to(given.q.device)
    exact, plain = (
        _oracle.gradients(q, k, v, mask, dout) if gradients else (_oracle.attention(q, k, v, mask),)
        for q, k, v, dout in (Inputs(*(each.double() for each in given)), given)
    )
    errors = [float((near.double() - want).abs().max()) for near, want in zip(plain, exact, strict=True)]
    scales = [float(want.abs().max()) for want in exact]
    return Expected(exact, tolerance.allowed(errors, scales, given.q.dtype), 1.0)


def _nothing() -> None:
    """A step that nobody waits for."""
