"""Ring attention in one of several ranks: it has a part of the queries, and keys and values go around.

    O_i = sum_j exp(L_ij - L_i) O_ij,  L_i = log sum_j exp(L_ij)

O_ij and L_ij are the output and the log-sum-exp of the queries of rank i over the keys of rank j. After W steps each
rank has seen all keys, and held at most two parts of them at once.

Source: Liu, Zaharia and Abbeel 2023, arXiv 2310.01889, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from attnbench.variants.kernels.context_parallel import _block


@dataclass
class Ring:
    """A rank's place in the ring, and how many keys each rank has."""

    rank: int
    parts: Sequence[int]
    """Tokens of each rank."""
    causal: bool
    sent_bytes: int = 0
    """Bytes that this rank has sent."""

    @property
    def world(self) -> int:
        """The number of ranks."""
        return len(self.parts)

    def source(self, step: int) -> int:
        """Return the rank whose keys are here at a step."""
        return (self.rank - step) % self.world

    def sees(self, source: int) -> bool:
        """Check whether queries of this rank see keys of another."""
        return self.parts[self.rank] > 0 and self.parts[source] > 0 and not (self.causal and source > self.rank)

    def rotate(self, tensors: Sequence[Tensor], step: int) -> "Rotation":
        """Begin to send tensors `B K n D` of a step to the next rank, and to receive those of the previous one."""
        following, size = (self.rank + 1) % self.world, self.parts[self.source(step + 1)]
        received = [each.new_empty(*each.shape[:2], size, each.shape[3]) for each in tensors]
        sent = [_bytes(each) for each in tensors]
        self.sent_bytes += sum(map(torch.numel, sent))
        moves = [dist.P2POp(dist.isend, each, following) for each in sent if each.numel()]
        previous = (self.rank - 1) % self.world
        moves += [dist.P2POp(dist.irecv, _bytes(each), previous) for each in received if each.numel()]
        # In one batch, because NCCL would wait for each by itself, and all ranks send first.
        return Rotation(dist.batch_isend_irecv(moves) if moves else [], received, sent)


@dataclass(frozen=True)
class Rotation:
    """Tensors on their way."""

    waits: Sequence[dist.Work]
    received: Sequence[Tensor]
    sent: Sequence[Tensor]
    """Held until they have left."""

    def done(self) -> Sequence[Tensor]:
        """Wait, and return what was received."""
        for each in self.waits:
            each.wait()
        return self.received


def forward(ring: Ring, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs `B H n D` and log-sum-exp `B H n` of this rank's queries `B H n D` over all keys.

    Keys and values `B K n D` are those of this rank.
    """
    out = q.new_zeros(q.shape, dtype=_sums(q))
    lse = out.new_full(q.shape[:3], -torch.inf)
    for step in range(ring.world):
        rotation = ring.rotate((k, v), step) if step + 1 < ring.world else None
        source = ring.source(step)
        if ring.sees(source):
            part, part_lse = _block.forward(q, *_for_heads(q, k, v), causal=ring.causal and source == ring.rank)
            both = torch.logaddexp(lse, part_lse)
            out.mul_((lse - both).exp_()[..., None]).add_(part * (part_lse - both).exp_()[..., None])
            lse = both
        if rotation:
            k, v = rotation.done()
    return out.to(q.dtype), lse


def backward(
    ring: Ring, dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of this rank's queries `B H n D`, keys and values `B K n D`.

    Gradients of keys travel with the keys, and are back at their rank after W steps.
    """
    dq = q.new_zeros(q.shape, dtype=_sums(q))
    dk, dv = (each.new_zeros(each.shape, dtype=_sums(each)) for each in (k, v))
    for step in range(ring.world):
        source = ring.source(step)
        if ring.sees(source):
            keys, values = _for_heads(q, k, v)
            diagonal = ring.causal and source == ring.rank
            found = _block.backward(dout, q, keys, values, out, lse, causal=diagonal)
            dq += found[0]
            dk += _over_heads(found[1], k)
            dv += _over_heads(found[2], v)
        if ring.world > 1:
            last = step + 1 == ring.world
            received = ring.rotate((dk, dv) if last else (k, v, dk, dv), step).done()
            dk, dv = received[-2:]
            k, v = (k, v) if last else received[:2]
    return dq.to(q.dtype), dk.to(q.dtype), dv.to(q.dtype)


def _sums(tensor: Tensor) -> torch.dtype:
    """Return the dtype in which to sum: float32 or wider."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _for_heads(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values `B H n D`, repeated for the query heads that share them."""
    many = q.shape[1] // k.shape[1]
    return (k, v) if many == 1 else (k.repeat_interleave(many, dim=1), v.repeat_interleave(many, dim=1))


def _over_heads(gradient: Tensor, like: Tensor) -> Tensor:
    """Return the gradient `B K n D` of keys that several query heads share: the sum over these."""
    batch, heads, n, width = gradient.shape
    return gradient.view(batch, like.shape[1], heads // like.shape[1], n, width).to(_sums(like)).sum(dim=2)


def _bytes(tensor: Tensor) -> Tensor:
    """Return a contiguous tensor as bytes: gloo does not send every dtype."""
    return tensor.contiguous().view(torch.uint8)
