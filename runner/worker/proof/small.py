"""Checks at odd small lengths, where errors at edges show. Every element is compared with the oracle in float64.

The oracle is the variant's own `reference`, or dense masked attention over a pattern's keys.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import inf

import torch

from attnbench.runner.worker.call.calls import wait
from attnbench.runner.worker.call.inputs import Inputs, inputs_of
from attnbench.runner.worker.proof import oracle, tolerance
from attnbench.runner.worker.proof.choice import NotAllowed
from attnbench.runner.worker.proof.expected import Expected, Useless
from attnbench.runner.worker.proof.verdict import Verdict, judge, unfit
from attnbench.variants import DECODE, Parameters, Pattern, Setting, Shape, Spans
from attnbench.variants.kernels import Program

Takes = Callable[[Parameters, Shape], bool]
"""Function that checks whether an implementation supports a mechanism with these parameters at a shape."""

_BELOW = (1, 5, 61)
_ABOVE = (97, 193, 389, 777, 1553)
_ABOVE_ON_CUDA = _ABOVE[2:]
"""Kernels for a GPU use tiles of 128 and more. Errors between tiles do not show within one tile."""
_DENSITY = 3 / 4
_MOST_SCORES = 2**25
"""Maximum number of scores of all heads. The oracle holds about four such arrays in float64, 1 GiB in all."""


def small(
    parameters: Parameters, shape: Shape, takes: Takes | None = None, device: str = "cpu"
) -> list[tuple[Parameters, Shape]]:
    """Return up to four small shapes at which to `check` an implementation of a case's mechanism.

    Lengths are odd, shorter than the case's own, and such that the mechanism exists: 1, 5, 61 and one from 97, 193,
    389, ... 1553. That one is the first at which fewer than three in four pairs are allowed (of the pairs up to the
    query, for a causal pattern), so that there is structure to get wrong. If there is none, it is the one with the
    smallest share, and without a pattern the first. If a mechanism exists at few lengths, one `near` each of these is
    used.

    Shapes have two batch entries, or one if the implementation supports no more, and at most two key heads with their
    query heads. On CUDA 97 and 193 are left out. Shapes that the implementation does not support are left out, so the
    list may be empty.
    """
    below = list(_there(map(parameters.near, _BELOW), shape, takes))
    above = _sparse(_there(map(parameters.near, _ABOVE_ON_CUDA if device == "cuda" else _ABOVE), shape, takes))
    return sorted({*below, *([above] if above else [])}, key=lambda each: each[1].seq_len)


def _there(
    kinds: Iterable[tuple[Parameters, int]], shape: Shape, takes: Takes | None
) -> Iterator[tuple[Parameters, Shape]]:
    """Yield parameters and small shapes that exist and are supported, at lengths below the case's own."""
    for kind, n in kinds:
        if n >= shape.seq_len or kind.unsupported(n) is not None:
            continue
        few = _few(shape, n)
        taken = next((each for each in (few, replace(few, batch=1)) if takes is None or takes(kind, each)), None)
        if taken is not None:
            yield kind, taken


def _few(shape: Shape, n: int) -> Shape:
    """Return a shape of length n with two batch entries and few heads, fewer if the oracle needs much memory."""
    kv_heads = min(shape.kv_heads, 2)
    group = min(shape.heads // shape.kv_heads, max(2, _MOST_SCORES // (2 * kv_heads * n * n)))
    return replace(shape.at(n), batch=2, heads=kv_heads * group, kv_heads=kv_heads)


def _sparse(found: Iterable[tuple[Parameters, Shape]]) -> tuple[Parameters, Shape] | None:
    """Return the first that leaves out enough pairs, or the one that leaves out most."""
    sparsest: tuple[Parameters, Shape] | None = None
    least = inf
    for kind, shape in found:
        share = _share(kind.spans(shape.seq_len)) if isinstance(kind, Pattern) else 0.0
        if share < least:
            sparsest, least = (kind, shape), share
        if share < _DENSITY:
            break
    return sparsest


def _share(spans: Spans) -> float:
    """Return the share of the pairs that a pattern allows. For a causal pattern, only pairs up to the query count."""
    pairs, n = spans.pairs(), spans.n
    causal = spans.causal().pairs() == pairs
    return pairs / (n * (n + 1) // 2 if causal else n**2)


def check(program: Program, setting: Setting, expect: Callable[[Inputs], Expected], content: int = 0) -> Verdict:
    """Compare a program at a small shape with its expected result on a content, which `expect` returns.

    In the directions `backward` and `training`, gradients are compared too, in `decode` the state.
    """
    gradients = setting.direction in ("backward", "training")
    given = inputs_of(setting, content)
    leaves = Inputs(*(each.clone() for each in given)).leaves(gradients=gradients)
    with torch.set_grad_enabled(gradients):
        out = program.call(*leaves)
    problem = unfit(given.result(0), out, given.dout, setting.shape.seq_len)
    if problem:
        return Verdict(inf, problem)
    found = [out.detach(), *(program.state if setting.direction == DECODE else ())]
    if gradients:
        wanted = [each for each in (*leaves, *program.weights) if each.requires_grad]
        found += torch.autograd.grad(out, wanted, given.dout, allow_unused=True, materialize_grads=True)
    # Wait, so that an error of the device is blamed on the kernel and not on the oracle.
    wait(setting.device)
    try:
        want = expect(given)
    except (NotAllowed, Useless) as problem:
        return Verdict(inf, str(problem))
    return judge(tuple(found), want, given, None, _nothing)


def dense(spans: Spans, given: Inputs, *, gradients: bool) -> Expected:
    """Return the result of dense masked attention over a pattern's keys in float64; it is 0 in padding."""
    mask = torch.from_numpy(spans.mask()).to(given.q.device)
    if given.lengths:
        filled = torch.arange(spans.n) < torch.tensor(given.lengths)[:, None]
        mask = mask & (filled[:, None, :, None] & filled[:, None, None, :]).to(mask.device)
    exact, plain = (
        oracle.gradients((q, k, v), mask, dout) if gradients else (oracle.attention(q, k, v, mask),)
        for q, k, v, dout in (Inputs(*(each.double() for each in given)), given)
    )
    errors = [float((near.double() - want).abs().max()) for near, want in zip(plain, exact, strict=True)]
    scales = [float(want.abs().max()) for want in exact]
    return Expected(exact, tolerance.allowed(errors, scales, given.q.dtype), 1.0)


def _nothing() -> None:
    """Do nothing after a step; small shapes need no sign of progress."""
