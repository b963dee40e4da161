"""How far a trained model looks: attention span, effective receptive field, and the error against full attention.

For each layer, on one batch of the test:

- span: mean over sequences, heads and queries of sum_j a_ij |i - j|, a_ij the attention of query i to key j
- field: the mean distance |i - j| of the tokens j that a token i depends on after so many blocks, weighted by the
  absolute gradient of the sum of its numbers by the vector of token j; a mean over sequences and eight tokens
- error: |o - f| / |f| of what the mechanism gives, o, and softmax attention over all keys, f, on its queries, keys and
  values

Only mechanisms that are patterns have a span, and only those that take queries, keys and values have an error.

Source: Tay et al. 2020, arXiv 2011.04006, section 3.4 (required attention span); Luo et al. 2016, arXiv 1701.04128.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.suites import Case
from attnbench.suites.result import Reach
from attnbench.variants.levels import Attend
from attnbench.variants.levels.encoder import OF_BLOCK, encoded
from attnbench.variants.levels.task import Task

_TOKENS = 8
"""Tokens whose receptive field is measured."""


def measure(
    case: Case,
    level: Task,
    attends: Sequence[Attend],
    layers: Callable[[Sequence[Attend]], Sequence[Attend]],
    weights: tuple[Tensor, ...],
    tokens: Tensor,
) -> tuple[Reach, ...]:
    """Return how far each layer looks on a batch. `layers` makes layers of mechanisms, `weights` are the level's."""
    given: list[tuple[Tensor, ...]] = []
    found: list[Tensor] = []

    def noting(attend: Attend) -> Attend:
        def call(*inputs: Tensor) -> Tensor:
            given.append(inputs)
            found.append(attend(*inputs))
            return found[-1]

        return call

    with torch.no_grad():
        level.scores(case.setting, layers([noting(each) for each in attends]), weights, tokens)
    fields = _fields(level, layers(attends), weights, tokens)
    return tuple(
        Reach(field=field, span=_span(case, inputs), error=_error(inputs, out))
        for field, inputs, out in zip(fields, given, found, strict=True)
    )


def _span(case: Case, inputs: tuple[Tensor, ...]) -> float | None:
    """Return the mean distance of a query's attention, or None if the mechanism is not a pattern."""
    spans = case.spans
    if spans is None or len(inputs) < 3:
        return None
    q, k = (each.double() for each in inputs[:2])
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    seen = torch.from_numpy(spans.mask()).to(q.device)
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf).softmax(dim=-1)
    return float((weights * _distances(q.shape[-2], q.device)).sum(dim=-1).mean())


def _error(inputs: tuple[Tensor, ...], out: Tensor) -> float | None:
    """Return the relative error against full attention, or None if the mechanism takes no queries."""
    if len(inputs) < 3:
        return None
    q, k, v = (each.double() for each in inputs[:3])
    full = scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])
    return float((out.double() - full).norm() / full.norm())


def _fields(level: Task, layers: Sequence[Attend], weights: tuple[Tensor, ...], tokens: Tensor) -> list[float]:
    """Return the mean distance that tokens depend on after each block."""
    embedding, *rest = (each.detach() for each in weights)
    added = [rest.pop(0)] if level.adds else []
    n = tokens.shape[1]
    places = torch.linspace(0, n - 1, min(_TOKENS, n)).round().long().tolist()
    apart, found = _distances(n, tokens.device), []
    for depth in range(1, level.layers + 1):
        far = []
        x = level.embedded(tokens, embedding).requires_grad_()
        y = encoded(partial(torch.clone, x), added, layers[:depth], rest[: OF_BLOCK * depth])
        for place in places:
            (gradient,) = torch.autograd.grad(y[:, place].sum(), x, retain_graph=True)
            shares = gradient.double().abs().sum(dim=-1)
            far.append(float(((shares * apart[place]).sum(dim=1) / shares.sum(dim=1)).mean()))
        found.append(sum(far) / len(far))
    return found


def _distances(n: int, device: torch.device) -> Tensor:
    """Return |i - j| as `N N` in float64."""
    at = torch.arange(n, device=device, dtype=torch.float64)
    return (at[:, None] - at).abs()
