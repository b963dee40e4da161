"""Attention by a plan of one part: a fused call for some blocks of a group and some key heads, one after another.

Tensors here are `heads N D`, with batch and heads laid end to end (`rows.flat`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants.kernels._support import sum_dtype
from attnbench.variants.kernels.blockwise.rows import Rows, flat, fold, unfold


@dataclass(frozen=True)
class Step:
    """Some blocks of a group, computed `heads` key heads at a time.

    `mask` `[G * height, width]` repeats the block's mask for each of the G query heads of a key head. It is None if
    every query of a block sees all its keys.
    """

    queries: Rows
    keys: Rows
    mask: Tensor | None
    heads: int

    def slices(self, q: Tensor, k: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield the heads of each call, as a slice of the query heads and a slice of the key heads."""
        group = q.shape[0] // k.shape[0]
        for head in range(0, k.shape[0], self.heads):
            last = min(head + self.heads, k.shape[0])
            yield slice(head * group, last * group), slice(head, last)


@dataclass(frozen=True)
class _Call:
    """A fused call with its autograd graph: the heads it read, the tensors it read, and its output."""

    step: Step
    many: slice
    few: slice
    leaves: tuple[Tensor, Tensor, Tensor]
    out: Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, steps: Sequence[Step]) -> Tensor:
    """Return the outputs `B H N D` of queries `B H N D` over keys and values `B K N D`."""
    if torch.is_grad_enabled() and any(each.requires_grad for each in (q, k, v)):
        out: Tensor = _Differentiable.apply(q, k, v, steps)  # type: ignore[no-untyped-call]  # so in torch
        return out
    return _forward(q, k, v, steps, None)


def _forward(q: Tensor, k: Tensor, v: Tensor, steps: Sequence[Step], calls: list[_Call] | None) -> Tensor:
    """Return the outputs. If `calls` is given, append each call with its graph to it."""
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    flat_q, flat_k, flat_v, flat_out = (flat(each) for each in (q, k, v, out))
    for step in steps:
        for many, few in step.slices(flat_q, flat_k):
            call = _call(step, many, few, flat_q, flat_k, flat_v, graph=calls is not None)
            step.queries.write(flat_out[many], unfold(call.out.detach(), many))
            if calls is not None:
                calls.append(call)
            del call  # without gradients this frees the call's tensors before the next call allocates its own
    return out


def _call(step: Step, many: slice, few: slice, q: Tensor, k: Tensor, v: Tensor, graph: bool) -> _Call:
    """Make one fused call over some heads; with `graph`, record its autograd graph."""
    queries = fold(step.queries.read(q[many]), few)
    leaves = queries, step.keys.read(k[few]), step.keys.read(v[few])
    with torch.set_grad_enabled(graph):
        for leaf in leaves:
            leaf.requires_grad_(graph)
        return _Call(step, many, few, leaves, scaled_dot_product_attention(*leaves, attn_mask=step.mask))


class _Differentiable(torch.autograd.Function):
    """`_forward` with gradients.

    Each call is differentiated separately and adds to dQ, dK and dV in place. One graph over all calls would allocate a
    whole dK and dV for each of them.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, steps: Sequence[Step]) -> Tensor:
        """Return the outputs and keep the graph of each call."""
        ctx.calls = []
        ctx.save_for_backward(q, k, v)
        return _forward(q, k, v, steps, ctx.calls)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV; sums over blocks are held in float32 or wider."""
        q, k, v = ctx.saved_tensors
        dq = torch.empty_like(q, memory_format=torch.contiguous_format)
        dk, dv = (torch.zeros(each.shape, dtype=sum_dtype(each), device=each.device) for each in (k, v))
        flat_dout, flat_dq, flat_dk, flat_dv = (flat(each) for each in (dout, dq, dk, dv))
        for call in ctx.calls:
            _differentiate(call, flat_dout, flat_dq, flat_dk, flat_dv)
        return dq, dk.to(k.dtype), dv.to(v.dtype), None


def _differentiate(call: _Call, dout: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
    """Write dQ for a call's queries, and add its shares of dK and dV."""
    queries, keys = call.step.queries, call.step.keys
    given = fold(queries.read(dout[call.many]), call.few)
    # The caller may differentiate again (`retain_graph`), so the graph is kept; it is freed with the output's graph.
    grads = torch.autograd.grad(call.out, call.leaves, given, retain_graph=True)
    queries.write(dq[call.many], unfold(grads[0], call.many))
    keys.add(dk[call.few], grads[1])
    keys.add(dv[call.few], grads[2])
