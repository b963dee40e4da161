"""Attention by several parts of a pattern: each call's outputs are merged into those so far, and gradients are added.

    o <- (exp(L) o + exp(L') o') / (exp(L) + exp(L')),   L <- log(exp(L) + exp(L'))

o is a query's output over the keys so far and L their log-sum-exp; o' and L' are those of one call (`partial`). The
backward pass computes each call's scores again from the merged L, so only q, k, v, o and L are kept for it. Tensors
here are `heads N D`, with batch and heads laid end to end (`rows.flat`), and log-sum-exps `heads N 1`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnbench.variants.kernels._support import sum_dtype
from attnbench.variants.kernels.blockwise import partial
from attnbench.variants.kernels.blockwise.rows import Gathered, Rows, flat, fold, unfold
from attnbench.variants.kernels.blockwise.steps import Step


@dataclass(frozen=True)
class Piece:
    """A part that is ready to run: its calls, and the keys `[1, M]` that they index.

    `keys` is None if the calls index the whole sequence. If there are several pieces, the masks of the calls are
    numbers that are added to the scores.
    """

    steps: list[Step]
    keys: Gathered | None

    @property
    def held_bytes(self) -> int:
        """Bytes of the indices."""
        gathered = 0 if self.keys is None else self.keys.held_bytes
        return gathered + sum(step.queries.held_bytes + step.keys.held_bytes for step in self.steps)

    def read(self, tensor: Tensor) -> Tensor:
        """Return the keys or values that the calls index: `heads M D` of `heads N D`."""
        return tensor if self.keys is None else self.keys.read(tensor).squeeze(1)

    def sums(self, tensor: Tensor) -> Tensor:
        """Return the tensor `heads M D` to which the calls add their gradients, for gradients `heads N D`."""
        return tensor if self.keys is None else tensor.new_zeros(tensor.shape[0], self.keys.shape[1], tensor.shape[2])

    def add(self, tensor: Tensor, sums: Tensor) -> None:
        """Add the calls' gradients `sums` to the gradients `heads N D`, unless they are the same tensor."""
        if self.keys is not None:
            self.keys.add(tensor, sums.unsqueeze(1))


def attend(q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece]) -> Tensor:
    """Return the outputs `B H N D` of queries `B H N D` over keys and values `B K N D`."""
    if torch.is_grad_enabled() and any(each.requires_grad for each in (q, k, v)):
        out: Tensor = _Differentiable.apply(q, k, v, pieces)  # type: ignore[no-untyped-call]  # so in torch
        return out
    return _forward(q, k, v, pieces)[0]


def _forward(q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece]) -> tuple[Tensor, Tensor]:
    """Return the outputs `B H N D`, and their log-sum-exps `(B H) N 1`."""
    out = torch.zeros_like(q, memory_format=torch.contiguous_format)
    flat_q, flat_k, flat_v, flat_out = (flat(each) for each in (q, k, v, out))
    sums = torch.full((*flat_q.shape[:2], 1), -torch.inf, dtype=sum_dtype(q), device=q.device)
    for piece in pieces:
        keys, values = piece.read(flat_k), piece.read(flat_v)
        for step in piece.steps:
            for many, few in step.slices(flat_q, flat_k):
                found = _call(step, few, flat_q[many], keys[few], values[few])
                _merge(step.queries, flat_out[many], sums[many], *(unfold(each, many) for each in found))
                del found  # frees the call's outputs before the next call allocates its own
    return out, sums


def _call(step: Step, few: slice, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs of one call, and their log-sum-exps."""
    queries = fold(step.queries.read(q), few)
    out, sums = partial.attend(queries, step.keys.read(k), step.keys.read(v), step.mask)
    return out, sums.unsqueeze(-1)


def _merge(rows: Rows, out: Tensor, sums: Tensor, new_out: Tensor, new_sums: Tensor) -> None:
    """Merge the outputs `heads blocks height D` of a call into some rows of all outputs; `new_out` is overwritten."""
    held = rows.read(sums)
    # exp(L) / (exp(L) + exp(L')) as a sigmoid cannot overflow, and is 0 for rows without outputs so far (L = -inf).
    share = torch.sigmoid(held - new_sums)
    merged = new_out.to(share.dtype).lerp_(rows.read(out).to(share.dtype), share)
    rows.write(out, merged.to(out.dtype))
    rows.write(sums, torch.logaddexp(held, new_sums))


class _Differentiable(torch.autograd.Function):
    """`_forward` with gradients; each call adds its shares to dQ, dK and dV in place."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece]) -> Tensor:
        """Return the outputs."""
        out, sums = _forward(q, k, v, pieces)
        ctx.pieces = pieces
        ctx.save_for_backward(q, k, v, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV, summed in float32 or wider."""
        q, k, v, out, sums = ctx.saved_tensors
        dq, dk, dv = (torch.zeros(each.shape, dtype=sum_dtype(each), device=each.device) for each in (q, k, v))
        given = flat(dout), flat(q), flat(out), sums
        flat_k, flat_v, *flat_grads = (flat(each) for each in (k, v, dq, dk, dv))
        for piece in ctx.pieces:
            _differentiate(piece, given, flat_k, flat_v, *flat_grads)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None


def _differentiate(
    piece: Piece, given: tuple[Tensor, ...], k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor
) -> None:
    """Add the gradients of a piece's calls; `given` is dO, Q, O and the log-sum-exps."""
    keys, values = piece.read(k), piece.read(v)
    dkeys, dvalues = piece.sums(dk), piece.sums(dv)
    for step in piece.steps:
        for many, few in step.slices(dq, dk):
            grads = _gradients(step, few, tuple(each[many] for each in given), keys[few], values[few])
            step.queries.add(dq[many], unfold(grads[0], many))
            step.keys.add(dkeys[few], grads[1])
            step.keys.add(dvalues[few], grads[2])
            del grads
    piece.add(dk, dkeys)
    piece.add(dv, dvalues)


def _gradients(step: Step, few: slice, given: tuple[Tensor, ...], k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Return one call's shares of dQ `K blocks (G height) D`, and of dK and dV `K blocks width D`."""
    dout, q, out, sums = (fold(step.queries.read(each), few) for each in given)
    keys, values = step.keys.read(k), step.keys.read(v)
    return partial.gradients(dout, q, keys, values, out, sums.squeeze(-1), step.mask)
