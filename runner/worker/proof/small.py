"""Checks at odd small lengths, where edges show: every element against the oracle in float64.

That is the variant's own `reference`, or dense masked attention over a pattern's keys.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import inf

import torch

from attnbench.runner.worker.call.calls import Inputs, inputs, wait
from attnbench.runner.worker.proof import oracle, tolerance
from attnbench.runner.worker.proof.choice import NotAllowed
from attnbench.runner.worker.proof.expected import Expected, Useless
from attnbench.runner.worker.proof.verdict import Verdict, judge, unfit
from attnbench.variants import Parameters, Pattern, Setting, Shape, Spans
from attnbench.variants.kernels import Program

Takes = Callable[[Parameters, Shape], bool]
"""Whether an implementation computes a mechanism with these parameters at a shape."""

_BELOW = (1, 5, 61)
_ABOVE = (97, 193, 389, 777, 1553)
_ABOVE_ON_CUDA = _ABOVE[2:]
"""Kernels for a GPU work on tiles of 128 and more: what goes wrong between tiles does not show within one."""
_DENSITY = 3 / 4
_MOST_SCORES = 2**25
"""Of all heads: the oracle holds about four such arrays in float64, 1 GiB in all."""


def small(
    parameters: Parameters, shape: Shape, takes: Takes | None = None, device: str = "cpu"
) -> list[tuple[Parameters, Shape]]:
    """Up to four small shapes at which to `check` an implementation of a case's mechanism and shape.

    Odd lengths shorter than the case's own, at which the mechanism exists: 1, 5, 61, and the first of 97, 193,
    389, ... 1553 at which fewer than three in four pairs are allowed (of those that are not after the query, for a
    causal pattern), or the one with the smallest share, so that there is structure to get wrong; the first, where the
    mechanism is no pattern. What exists at few lengths is replaced by one `near` each of these. Two batch entries, one
    where the implementation takes no more, and two key heads where the case has as many, with their query heads. On
    CUDA 97 and 193 are left out, and everywhere the shapes that the implementation does not take. There may be none
    that is left.
    """
    below = list(_there(map(parameters.near, _BELOW), shape, takes))
    above = _sparse(_there(map(parameters.near, _ABOVE_ON_CUDA if device == "cuda" else _ABOVE), shape, takes))
    return sorted({*below, *([above] if above else [])}, key=lambda each: each[1].seq_len)


def _there(
    kinds: Iterable[tuple[Parameters, int]], shape: Shape, takes: Takes | None
) -> Iterator[tuple[Parameters, Shape]]:
    """Those that exist and are taken, shorter than the case's own shape, with their small shapes."""
    for kind, n in kinds:
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


def _sparse(found: Iterable[tuple[Parameters, Shape]]) -> tuple[Parameters, Shape] | None:
    """The first that leaves out a good share of the pairs that it could allow; where none does, the one with most."""
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
    """The pairs that a pattern allows over those that it could."""
    pairs, n = spans.pairs(), spans.n
    causal = spans.causal().pairs() == pairs
    return pairs / (n * (n + 1) // 2 if causal else n**2)


def check(program: Program, setting: Setting, expect: Callable[[Inputs], Expected], *, seed: int = 0) -> Verdict:
    """Compare a program at a small shape with what it must give on some inputs, as `expect` says after the call.

    In the directions `backward` and `training`, its gradients too.
    """
    gradients = setting.direction != "forward"
    given = inputs(setting.shape, setting.dtype, setting.device, seed)
    leaves = [each.clone().requires_grad_(gradients) for each in given[:3]]
    with torch.set_grad_enabled(gradients):
        out = program.call(*leaves)
    problem = unfit(0, out, given.q, setting.shape.seq_len)
    if problem:
        return Verdict(inf, problem)
    found = [out.detach()]
    if gradients:
        wanted = [*leaves, *(each for each in program.weights if each.requires_grad)]
        found += torch.autograd.grad(out, wanted, given.dout, allow_unused=True, materialize_grads=True)
    # An error of the device is then the kernel's own, and not the oracle's.
    wait(setting.device)
    try:
        want = expect(given)
    except (NotAllowed, Useless) as problem:
        return Verdict(inf, str(problem))
    return judge(tuple(found), want, given, None, _nothing)


def dense(spans: Spans, given: Inputs, *, gradients: bool) -> Expected:
    """What dense masked attention over a pattern's keys says in float64."""
    mask = torch.from_numpy(spans.mask()).to(given.q.device)
    exact, plain = (
        oracle.gradients(q, k, v, mask, dout) if gradients else (oracle.attention(q, k, v, mask),)
        for q, k, v, dout in (Inputs(*(each.double() for each in given)), given)
    )
    errors = [float((near.double() - want).abs().max()) for near, want in zip(plain, exact, strict=True)]
    scales = [float(want.abs().max()) for want in exact]
    return Expected(exact, tolerance.allowed(errors, scales, given.q.dtype), 1.0)


def _nothing() -> None:
    """A step that nobody waits for."""
