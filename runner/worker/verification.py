"""Whether an implementation computes what its pattern says: the proof before any number.

An output passes when its largest error against the float64 oracle, on inputs as rounded to the case's dtype, is
at most twice that of the plain computation in that dtype plus a floor. The floor is a fraction of the oracle's
largest value: 1e-12 (float64), 1e-5 (float32), 1e-3 (float16), 8e-3 (bfloat16). For gradients it is four times
that fraction of the largest value in any of dQ, dK and dV: one of them may vanish (dQ and dK at N = 1) while the
terms that cancel in it do not. Anything not finite is wrong, and so is another shape or dtype.

Where a variant brings a `reference`, that is the oracle in float64, and the plain computation in the case's dtype.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from math import inf, isqrt

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.lengths import POWERS
from attnbench.runner.worker.calls import inputs, wait
from attnbench.variants._pattern import IntArray, Pattern, Spans
from attnbench.variants._shape import Shape
from attnbench.variants.kernels import _oracle
from attnbench.variants.kernels._oracle import Oracle

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Takes = Callable[[Pattern, Shape], bool]
"""Whether an implementation computes a pattern at a shape."""

_FLOORS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
_GRADIENT_FLOOR = 4
_USELESS = 0.5
"""Beyond this share of the largest value a reference's own error, in the case's dtype, is no yardstick."""
_BELOW = (1, 5, 61)
_ABOVE = (97, 193, 389, 777, 1553)
_ABOVE_ON_CUDA = _ABOVE[2:]
"""Kernels for a GPU work on tiles of 128 and more: what goes wrong between tiles does not show within one."""
_DENSITY = 3 / 4
_MOST_SCORES = 2**25
"""Of all heads: the oracle holds about four such arrays in float64, 1 GiB in all."""
_ROWS = 16


@dataclass(frozen=True)
class Verdict:
    """The largest error of an output against the oracle, and what is wrong with it or its gradients, if anything."""

    max_abs_error: float
    problem: str | None


def small(
    pattern: Pattern, shape: Shape, takes: Takes | None = None, device: str = "cpu"
) -> list[tuple[Pattern, Shape]]:
    """Up to four small shapes at which to `check` an implementation of a case's pattern and shape.

    Odd lengths no longer than the case's own, at which the pattern exists: 1, 5, 61, and the first of 97, 193,
    389, ... 1553 at which fewer than three in four pairs are allowed (of those that are not after the query, for a
    causal pattern), or the one with the smallest share, so that there is structure to get wrong. A pattern that exists
    at few lengths is replaced by one `near` each of these. One batch entry, and at most two key heads with their query
    heads. On CUDA 97 and 193 are left out.

    Where none from 97 on is left, the pattern is checked at the case's own length, up to 1553; else, by the same
    rule, at one of 64, 128, ... 2048; else at the shortest at which it exists, or at the case's own. Beyond 1553 that
    is with one key head and at most two query heads, and as far as the oracle's scores are few enough. Shapes that the
    implementation does not take are left out. There may be none that is left.
    """
    n = shape.seq_len
    near = map(pattern.near, range(1, min(n, isqrt(_MOST_SCORES)) + 1))
    shortest = islice((each for each in near if each[0].unsupported(each[1]) is None), 1)
    longer: tuple[Iterable[tuple[Pattern, int]], ...] = (
        map(pattern.near, _ABOVE_ON_CUDA if device == "cuda" else _ABOVE),
        [(pattern, n)] if n <= _ABOVE[-1] else [],
        map(pattern.near, POWERS),
        chain(shortest, [(pattern, n)]),
    )
    below = list(_there(map(pattern.near, _BELOW), shape, takes))
    last = next(filter(None, (_sparse(_there(each, shape, takes)) for each in longer)), None)
    return sorted({*below, *([last] if last else [])}, key=lambda each: each[1].seq_len)


def _there(
    patterns: Iterable[tuple[Pattern, int]], shape: Shape, takes: Takes | None
) -> Iterator[tuple[Pattern, Shape]]:
    """Those that exist, can be checked and are taken, no longer than the case's own shape, with their small shapes."""
    for kind, n in patterns:
        if n > shape.seq_len or kind.unsupported(n) is not None:
            continue
        few = _few(shape, n)
        affordable = n <= _ABOVE[-1] or few.heads * n**2 <= _MOST_SCORES
        if affordable and (takes is None or takes(kind, few)):
            yield kind, few


def _few(shape: Shape, n: int) -> Shape:
    """A shape at another length, with one batch entry and few heads; with fewer where the oracle has more to do."""
    kv_heads = min(shape.kv_heads, 2)
    group = min(shape.heads // shape.kv_heads, max(2, _MOST_SCORES // (kv_heads * n * n)))
    if n > _ABOVE[-1]:
        kv_heads, group = 1, min(group, 2)
    return replace(shape, batch=1, heads=kv_heads * group, kv_heads=kv_heads, seq_len=n)


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
    attend: Attend,
    spans: Spans,
    shape: Shape,
    dtype: str,
    device: str,
    seed: int = 0,
    gradients: bool = False,
    reference: Oracle | None = None,
) -> Verdict:
    """Compare `attend` with the oracle at a small shape, and with `gradients` dQ, dK and dV too.

    A `reference` is asked for rows instead of being given a mask.
    """
    q, k, v, dout = inputs(shape, dtype, device, seed)
    rows = np.arange(spans.n)
    where = torch.from_numpy(spans.mask() if reference is None else rows).to(device)
    oracle = reference or _oracle.attention
    if not gradients:
        with torch.no_grad():
            found: tuple[Tensor, ...] = (attend(q, k, v),)
        wait(device)
        return _judge(found, (q, k, v, where), None, rows, spans.n, oracle)
    leaves = [each.requires_grad_() for each in (q, k, v)]
    out = attend(*leaves)
    found = (out.detach(), *torch.autograd.grad(out, leaves, dout)) if _same(out, q) else (out.detach(),)
    # An error of the device is then the kernel's own, and not the oracle's.
    wait(device)
    return _judge(found, (q.detach(), k.detach(), v.detach(), where), dout, rows, spans.n, oracle)


def check_rows(
    spans: Spans,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    dout: Tensor | None = None,
    dq: Tensor | None = None,
    seed: int = 0,
    reference: Oracle | None = None,
) -> Verdict:
    """Compare some rows of an output, and of dQ where it and `dout` are given, at any length.

    The rows are the first, the last and up to 14 drawn with `seed`; nothing of N x N is allocated. Of a `reference`
    only outputs are asked: its output at a row may depend on the queries of others, and then dQ needs all rows.
    """
    for name, each in (("output", out), ("dQ", dq)):
        if each is not None and not _same(each, q):
            return Verdict(float("inf"), _unlike(name, each, q, spans.n))
    n = spans.n
    drawn = np.random.default_rng(seed).integers(0, n, _ROWS - 2)
    rows = np.unique(np.concatenate([[0, n - 1], drawn]))
    where = torch.from_numpy(rows).to(q.device)
    if reference is not None:
        asked = (q.detach(), k.detach(), v.detach(), where)
        return _judge((out.detach()[:, :, where],), asked, None, rows, n, reference)
    mask = torch.from_numpy(spans.allowed(rows[:, None], np.arange(n)[None, :])).to(q.device)
    found = tuple(each.detach()[:, :, where] for each in (out, dq) if each is not None)
    judged = (q.detach()[:, :, where], k.detach(), v.detach(), mask)
    douts = dout[:, :, where] if dout is not None and dq is not None else None
    return _judge(found, judged, douts, rows, n, _oracle.attention)


def _judge(
    found: tuple[Tensor, ...], args: tuple[Tensor, ...], dout: Tensor | None, rows: IntArray, n: int, oracle: Oracle
) -> Verdict:
    """The verdict on an output, and on as many of dQ, dK, dV as were found."""
    exact, plain = (_expected(args, dout, oracle, exact=each, whole=len(found) == 4) for each in (True, False))
    error = float("inf")
    useless = None if oracle is _oracle.attention else _useless(exact, plain, n)
    if useless:
        return Verdict(error, useless)
    for place, (name, got) in enumerate(zip(("output", "dQ", "dK", "dV"), found, strict=False)):
        want = exact[place]
        if not _same(got, plain[place]):
            return Verdict(error, _unlike(name, got, plain[place], n))
        distance = (got.double() - want).abs()
        if place == 0:
            error = float(torch.nan_to_num(distance, nan=torch.inf).max())
        scale = max(float(each.abs().max()) for each in (exact[1:] if place else exact[:1]))
        floor = _FLOORS[got.dtype] * scale * (_GRADIENT_FLOOR if place else 1)
        allowed = 2 * float((plain[place].double() - want).abs().max()) + floor
        problem = _problem(name, got, distance, allowed, rows if place < 2 else np.arange(n), n)
        if problem:
            return Verdict(error, problem)
    return Verdict(error, None)


def _useless(exact: tuple[Tensor, ...], plain: tuple[Tensor, ...], n: int) -> str | None:
    """Why a variant's reference proves nothing in the case's dtype, or nothing: whatever is found would be near it."""
    for name, want, near in zip(("output", "dQ", "dK", "dV"), exact, plain, strict=False):
        scale = float(want.abs().max())
        apart = float((near.double() - want).abs().max())
        if not apart <= _USELESS * scale + _FLOORS[near.dtype]:
            dtype = str(near.dtype).removeprefix("torch.")
            return f"the variant's reference in {dtype} is off by {apart:.1e} in the {name} at N={n}: it proves nothing"
    return None


def _expected(
    args: tuple[Tensor, ...], dout: Tensor | None, oracle: Oracle, *, exact: bool, whole: bool
) -> tuple[Tensor, ...]:
    """The output, and its gradients where `dout` is given: `exact` in float64, else in the dtype of the inputs.

    Key head by key head, so that a long sequence is never held in float64 at once. Where not the `whole` sequence is
    asked for, of dK and dV there is only the largest value of each head.
    """
    q, k, v, where = args
    if oracle is not _oracle.attention:
        return _answered((q, k, v, where), dout, oracle, exact=exact)
    group = q.shape[1] // k.shape[1]
    heads = []
    for head in range(k.shape[1]):
        many, few = slice(head * group, (head + 1) * group), slice(head, head + 1)
        given = q[:, many], k[:, few], v[:, few], where
        out, *grads = _answered(given, None if dout is None else dout[:, many], oracle, exact=exact)
        if not whole:
            grads[1:] = [each.abs().amax(dim=(2, 3), keepdim=True) for each in grads[1:]]
        heads.append((out, *grads))
    return tuple(torch.cat(each, dim=1) for each in zip(*heads, strict=True))


def _answered(args: tuple[Tensor, ...], dout: Tensor | None, oracle: Oracle, *, exact: bool) -> tuple[Tensor, ...]:
    """What an oracle says."""
    q, k, v = (each.double() if exact else each for each in args[:3])
    if dout is None:
        return (oracle(q, k, v, args[3]),)
    return _oracle.gradients(q, k, v, args[3], dout.to(q.dtype), oracle)


def _problem(name: str, got: Tensor, distance: Tensor, allowed: float, rows: IntArray, n: int) -> str | None:
    """What is wrong with one tensor, or nothing; `rows` are the positions that it holds."""
    finite = got.isfinite()
    if not finite.all():
        row = int(rows[int((~finite).any(dim=3).any(dim=1).any(dim=0).int().argmax())])
        return f"{name} is not finite at N={n}, row {row}"
    worst = float(distance.max())
    if worst <= allowed:
        return None
    row = int(rows[int(distance.amax(dim=(0, 1, 3)).argmax())])
    return f"{name} differs from the oracle by {worst:.1e} at N={n}, row {row}, allowed {allowed:.1e}"


def _same(found: Tensor, expected: Tensor) -> bool:
    """Whether a tensor has the expected shape and dtype."""
    return found.shape == expected.shape and found.dtype == expected.dtype


def _unlike(name: str, found: Tensor, expected: Tensor, n: int) -> str:
    """In what a tensor differs from the expected shape and dtype."""
    return f"{name}: expected {expected.dtype} {list(expected.shape)}, found {found.dtype} {list(found.shape)} at N={n}"
