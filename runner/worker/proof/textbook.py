"""Error of the textbook computation in a case's dtype at the case's own length."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.proof import oracle, stream
from attnbench.runner.worker.proof.stream import Step
from attnbench.variants import IntArray, Spans

FEW = 16
"""Number of rows or keys to compute if not all are."""
_KEYS = 4
_SCORES = 2**22
"""Maximum number of scores at once. Several such arrays are held."""
_MOST_PAIRS = 2**27
"""Above this number of pairs of a head, the error of dK and dV is not computed."""


class Look(NamedTuple):
    """Some elements of one result of a call."""

    place: int
    """Index of the result: output, dQ, dK or dV."""
    where: tuple[slice | Tensor, ...]
    exact: Tensor
    """The elements in float64."""
    error: float
    """The largest error of the textbook in the case's dtype."""


def look(spans: Spans, given: Inputs, *, grads: bool, step: Step) -> list[Look]:
    """Compute a few elements in float64 and in the dtype of the inputs.

    For the output and dQ, these are `FEW` rows of the first batch entry, in as many heads as affordable. For dK and dV,
    they are a few keys of one head, and only in 16-bit dtypes: in float32, the floor of the tolerance is many times the
    textbook's error.
    """
    n, group = spans.n, given.q.shape[1] // given.k.shape[1]
    rows = spread(n, FEW)
    heads = min(given.k.shape[1], max(1, _SCORES // (len(rows) * group * n)))
    some = _first(given, heads)
    where = torch.from_numpy(rows).to(given.q.device)
    exact, plain = (_rows(spans, rows, some, dtype, grads)[:2] for dtype in (torch.float64, given.q.dtype))
    index = slice(0, 1), slice(0, heads * group), where
    looks = [Look(place, index, *_apart(*pair)) for place, pair in enumerate(zip(exact, plain, strict=True))]
    step()
    keys = spread(n, _KEYS)
    seeing = stream.seeing(spans, keys) if grads and given.q.dtype.itemsize == 2 else rows[:0]
    if 0 < len(seeing) * group * n <= _MOST_PAIRS:
        index = slice(0, 1), slice(0, 1), torch.from_numpy(keys).to(given.q.device)
        sums = (_sums(spans, seeing, index, _first(given, 1), dtype, step) for dtype in (torch.float64, given.q.dtype))
        looks += [Look(place, index, *_apart(*pair)) for place, pair in enumerate(zip(*sums, strict=True), 2)]
    return looks


def spread(n: int, many: int) -> IntArray:
    """Return up to `many` evenly spread numbers below n, including the first and the last."""
    return np.unique(np.linspace(0, n - 1, min(n, many)).round().astype(np.int64))


def _first(given: Inputs, kv_heads: int) -> Inputs:
    """Return the first key heads of the first batch entry, with their query heads."""
    group = given.q.shape[1] // given.k.shape[1]
    heads = group * kv_heads, kv_heads, kv_heads, group * kv_heads
    return Inputs(*(each[:1, :many] for each, many in zip(given, heads, strict=True)))


def _rows(spans: Spans, rows: IntArray, given: Inputs, dtype: torch.dtype, grads: bool) -> tuple[Tensor, ...]:
    """Return the textbook's outputs of some rows, and the gradients from these rows, in a dtype."""
    where = torch.from_numpy(rows).to(given.q.device)
    mask = torch.from_numpy(spans.allowed(rows[:, None], np.arange(spans.n)[None, :])).to(given.q.device)
    q, k, v, dout = (each.to(dtype) for each in given)
    if not grads:
        return (oracle.attention(q[:, :, where], k, v, mask),)
    return oracle.gradients((q[:, :, where], k, v), mask, dout[:, :, where])


def _sums(
    spans: Spans, rows: IntArray, index: tuple[slice, slice, Tensor], given: Inputs, dtype: torch.dtype, step: Step
) -> list[Tensor]:
    """Return the textbook's dK and dV at some keys, summed over rows in float64 and then rounded to a dtype."""
    sums = [torch.zeros_like(given.k[index], dtype=torch.float64) for _ in range(2)]
    height = max(1, _SCORES // (given.q.shape[1] * spans.n))
    for at in range(0, len(rows), height):
        for total, part in zip(sums, _rows(spans, rows[at : at + height], given, dtype, True)[2:], strict=True):
            total += part[index]
        step()
    return [total.to(dtype) for total in sums]


def _apart(exact: Tensor, plain: Tensor) -> tuple[Tensor, float]:
    """Return the exact values, and the largest error of the others."""
    return exact, float((plain.double() - exact).abs().max())
