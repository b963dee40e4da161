"""The oracle at any length: attention and its gradients over a pattern's spans, block by block.

    s_ij = q_i . k_j / sqrt(D)    l_i = sum_j exp(s_ij)    p_ij = exp(s_ij - log l_i)    for keys j that query i sees
    o_i = sum_j p_ij v_j          ds_ij = p_ij (do_i . v_j - do_i . o_i)
    dq_i = sum_j ds_ij k_j / sqrt(D)    dk_j = sum_i ds_ij q_i / sqrt(D)    dv_j = sum_i p_ij do_i

A block is a few queries and the union of their keys. Every allowed pair is in exactly one block. Keys at a fixed step
share a block with the queries that see them, so the work is linear in the allowed pairs, and nothing has N x N
elements. Computation is in the dtype of the inputs, float32 or float64. No maximum is subtracted from the scores,
because those of standard normal inputs are small; in float32, a score of 89 would overflow.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call.inputs import Inputs
from attnbench.variants import BoolArray, IntArray, Spans

_HEIGHTS = {"cpu": (64, 256), "cuda": (128, 512)}
"""Minimum and maximum number of queries in a block. More would waste pairs at the edges of a window."""
_MOST_SCORES = {"cpu": 2**20, "cuda": 2**27}
"""Maximum number of scores at once. On a CPU, they fit into its caches."""


class Units(NamedTuple):
    """Inputs by key head: queries and the output's gradient `U G N D`, keys and values `U N D`.

    U is the batch size times the key heads. G is the number of query heads for each key head.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor


Step = Callable[[], None]
"""Function that is called after each block to show that work goes on."""


class Block(NamedTuple):
    """Some queries `[R]`, their keys `[C]`, and a mask of the allowed pairs `[R, C]`; None if all are allowed."""

    rows: IntArray
    keys: IntArray
    mask: BoolArray | None


def blocks(spans: Spans, height: int) -> Iterator[Block]:
    """Yield blocks that together hold every allowed pair once. Spans may be those of some queries only."""
    # Keys of a span with step s are numbered t in residue + s t. So a span becomes an interval of t, whatever its step.
    lengths = spans.lengths() * (spans.stop > spans.start)
    steps = np.where(lengths == 1, 1, spans.step)
    for step in np.unique(steps[lengths > 0]):
        residues = spans.start % step
        held = (lengths > 0) & (steps == step)
        for residue in np.unique(residues[held]):
            inside = held & (residues == residue)
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            part = np.ix_(rows, columns)
            first = np.where(inside[part], (spans.start[part] - residue) // step, 0)
            last = first + np.where(inside[part], lengths[part], 0)
            for at in range(0, len(rows), height):
                few = slice(at, at + height)
                numbers, mask = _union(first[few], last[few])
                yield Block(rows[few], residue + step * numbers, mask)


def _union(first: IntArray, last: IntArray) -> tuple[IntArray, BoolArray | None]:
    """Return the union of the intervals `first <= t < last` of all rows, and a mask of each row's own numbers."""
    filled = last > first
    bounds = np.unique(np.stack([first[filled], last[filled]], axis=1), axis=0)
    # The intervals are sorted by their start. One that starts after all earlier ones have ended begins a new part.
    reach = np.maximum.accumulate(bounds[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], bounds[1:, 0] > reach[:-1]]))
    ends = reach[np.append(begins[1:], len(reach)) - 1]
    numbers = np.concatenate([np.arange(start, stop) for start, stop in zip(bounds[begins, 0], ends, strict=True)])
    if ((last - first).sum(axis=1) == len(numbers)).all():
        return numbers, None
    seen = np.zeros((len(first), len(numbers)), np.bool_)
    for begin, end in zip(first.T[:, :, None], last.T[:, :, None], strict=True):
        seen |= (begin <= numbers) & (numbers < end)
    return numbers, seen


def units(given: Inputs, dtype: torch.dtype) -> Units:
    """Convert inputs to a dtype and arrange them by key head."""
    q, k, v, dout = (each.to(dtype) for each in given)
    batch, kv_heads = k.shape[:2]

    def by_head(tensor: Tensor) -> Tensor:
        return tensor.reshape(batch * kv_heads, -1, *tensor.shape[2:])

    return Units(by_head(q), k.flatten(0, 1), v.flatten(0, 1), by_head(dout))


def attend(spans: Spans, given: Units, step: Step) -> tuple[Tensor, Tensor]:
    """Return outputs `U G R D` of the R queries of `spans`, and the log-sum-exp `U G R` of their scores.

    A query that sees no key has the output 0.
    """
    q, k, v, _ = given
    q = q * q.shape[-1] ** -0.5
    out, total = torch.zeros_like(q), torch.zeros_like(q[..., 0])
    for part, rows, keys, forbidden in _pieces(spans, q):
        weights = _weights(q[part, :, rows], k[part, keys], forbidden)
        # Add, because the keys of a query may be in several blocks.
        out[part, :, rows] += _product(weights, v[part, keys])
        total[part, :, rows] += weights.sum(dim=-1)
        step()
    # A query that sees no key is in no block, and its output is 0.
    total[..., torch.from_numpy(spans.counts() == 0).to(q.device)] = 1.0
    # Divide once at the end, when the sums over all blocks of a query are complete.
    return out.div_(total.unsqueeze(-1)), total.log_()


def gradients(spans: Spans, given: Units, out: Tensor, lse: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries `U G R D`, keys and values `U N D`, given the results of `attend`."""
    scaled, k, v, dout = _extended(given, out, lse)
    q, near, values, grads = (each[..., :-1] for each in (scaled, k, v, dout))
    dq, dk, dv = (torch.zeros_like(each, memory_format=torch.contiguous_format) for each in (q, near, values))
    for part, rows, keys, forbidden in _pieces(spans, q):
        weights = _weights(scaled[part, :, rows], k[part, keys], forbidden)
        _add(dv, part, keys, _transposed(weights, grads[part, :, rows]))
        slopes = _product(dout[part, :, rows], v[part, keys].transpose(1, 2)).mul_(weights)
        dq[part, :, rows] += _product(slopes, near[part, keys])
        _add(dk, part, keys, _transposed(slopes, q[part, :, rows]))
        step()
    return dq.mul_(q.shape[-1] ** -0.5), dk, dv


def _extended(given: Units, out: Tensor, lse: Tensor) -> Units:
    """Append a column to the inputs, so that their products are `s_ij - log l_i` and `do_i . v_j - do_i . o_i`."""
    q, k, v, dout = given
    # The product with a column of ones subtracts a number for each row, without another pass over the scores.
    ones = torch.ones_like(k[..., :1])
    inner = (dout * out).sum(dim=-1)
    return Units(
        torch.cat([q * q.shape[-1] ** -0.5, -lse.unsqueeze(-1)], dim=-1),
        torch.cat([k, ones], dim=-1),
        torch.cat([v, ones], dim=-1),
        torch.cat([dout, -inner.unsqueeze(-1)], dim=-1),
    )


def whole(spans: Spans, given: Units, *, grads: bool, step: Step) -> tuple[Tensor, ...]:
    """Return the output of all queries of `spans`, and with `grads` the gradients of queries, keys and values."""
    out, lse = attend(spans, given, step)
    return (out, *gradients(spans, given, out, lse, step)) if grads else (out,)


def at_rows(spans: Spans, rows: IntArray, given: Units, *, grads: bool, step: Step) -> tuple[Tensor, ...]:
    """Return the output of some queries `U G R D`, and with `grads` their gradients."""
    where = torch.from_numpy(rows).to(given.q.device)
    some = given._replace(q=given.q[:, :, where], dout=given.dout[:, :, where])
    return whole(_of(spans, rows), some, grads=grads, step=step)[:2]


def at_keys(spans: Spans, keys: IntArray, given: Units, step: Step) -> tuple[Tensor, Tensor]:
    """Return the gradients of some keys and values `U C D`, from all queries that see any of them."""
    rows = seeing(spans, keys)
    where, few = (torch.from_numpy(each).to(given.q.device) for each in (rows, keys))
    some = given._replace(q=given.q[:, :, where], dout=given.dout[:, :, where])
    out, lse = attend(_of(spans, rows), some, step)
    q, k, v, dout = _extended(some._replace(k=some.k[:, few], v=some.v[:, few]), out, lse)
    dk, dv = (torch.zeros_like(each[..., :-1], memory_format=torch.contiguous_format) for each in (k, v))
    height = max(1, _MOST_SCORES[q.device.type] // (len(keys) * q.shape[1]))
    for at in range(0, len(rows), height):
        part = slice(at, at + height)
        forbidden = torch.from_numpy(~spans.allowed(rows[part, None], keys[None, :])).to(q.device)
        weights = _weights(q[:, :, part], k, forbidden)
        dv += _transposed(weights, dout[:, :, part, :-1])
        slopes = _product(dout[:, :, part], v.transpose(1, 2)).mul_(weights)
        dk += _transposed(slopes, q[:, :, part, :-1])
        step()
    return dk, dv


def _of(spans: Spans, rows: IntArray) -> Spans:
    """Return the spans of some queries."""
    return Spans(spans.start[rows], spans.stop[rows], spans.step[rows])


def seeing(spans: Spans, keys: IntArray) -> IntArray:
    """Return the queries that see any of some keys."""
    found = [np.flatnonzero(spans.allowed(np.arange(spans.n), key)) for key in keys]
    return np.unique(np.concatenate(found))


def _pieces(spans: Spans, q: Tensor) -> Iterator[tuple[slice, slice | Tensor, slice | Tensor, Tensor | None]]:
    """Yield the blocks as indices on the device, for as many heads at once as fit into the caches."""
    device = q.device
    least, most = _HEIGHTS[device.type]
    # A power of two, because the blocks of many patterns are too.
    height = min(most, max(least, 2 ** int(math.log2(spans.pairs() / max(1, spans.n) / 8 + 1))))
    for rows, keys, mask in blocks(spans, height):
        many = max(1, _MOST_SCORES[device.type] // (q.shape[1] * len(rows) * len(keys)))
        forbidden = None if mask is None else torch.from_numpy(~mask).to(device)
        for at in range(0, q.shape[0], many):
            yield slice(at, at + many), _index(rows, device), _index(keys, device), forbidden


def _index(numbers: IntArray, device: torch.device) -> slice | Tensor:
    """Return numbers as an index: a slice if they are consecutive, because a slice copies nothing."""
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return torch.from_numpy(numbers).to(device)


def _weights(queries: Tensor, keys: Tensor, forbidden: Tensor | None) -> Tensor:
    """Return the exponentials `U G R C` of the products, with zero for pairs that are not allowed."""
    scores = _product(queries, keys.transpose(1, 2))
    if forbidden is not None:
        scores.masked_fill_(forbidden, -torch.inf)
    return scores.exp_()


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply `U G R X` by `U X Y`, in one product for all query heads of a key head."""
    return torch.bmm(left.flatten(1, 2), right).view(*left.shape[:3], right.shape[-1])


def _transposed(left: Tensor, right: Tensor) -> Tensor:
    """Multiply the transpose of `U G R C` by `U G R D`, summed over the query heads of a key head."""
    return torch.bmm(left.flatten(1, 2).transpose(1, 2), right.flatten(1, 2))


def _add(total: Tensor, part: slice, keys: slice | Tensor, found: Tensor) -> None:
    """Add to some rows of some heads."""
    if isinstance(keys, slice):
        total[part, keys] += found
    else:
        total[part].index_add_(1, keys, found)
