"""Reformer: queries are their own keys, are sorted into buckets by hashing, and attend within chunks of that order.

    h_r(x) = argmax [x R_r, -x R_r]        s_ij = q_i . q_j / (|q_j| sqrt(D))
    o_ir = sum_j softmax_j(s_ij) v_j       l_ir = log sum_j exp(s_ij)       o_i = sum_r softmax_r(l_ir) o_ir

In round r, positions are sorted by bucket h_r(q), then by position, and cut into chunks. A query sees its own chunk and
the one before (for the first chunk, the last), and itself only if there is no other key. Keys of several rounds count
several times. R_r `[D, rotations]` is random and not learned. The input K is ignored.

In reformer-pytorch and Hugging Face's code, the first chunk of a round sees the last one of the round before. With one
round that is the same, and `lucidrains_reformer` computes it. Hugging Face does not divide scores by sqrt(D).

Cost: 8 N c D FLOPs forward for one head and round, c the `chunk`, and 2 N D r for its hashes, r the `rotations`.

Source: Kitaev et al. 2020, arXiv 2001.04451, section 2.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Reformer(Parameters):
    """Queries attend to those of similar direction, found by hashing."""

    rounds: int = parameter("rounds of hashing", default=2, minimum=1)
    rotations: int = parameter("random directions of a hash, with a bucket for either sign", default=32, minimum=1)
    chunk: int = parameter("positions of a chunk", default=64, minimum=1)


def weights(parameters: Reformer, setting: Setting, generator: "Generator") -> Weights:
    """Draw R `[rounds, D, rotations]`, standard normal; not learned."""
    import torch

    return (torch.randn(parameters.rounds, setting.shape.head_dim, parameters.rotations, generator=generator),)


def options(
    parameters: Reformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return how near queries are to each bucket, `B H R rounds buckets`; each round chooses one bucket."""
    del parameters, k, v
    import torch

    turned = torch.einsum("bhnd,rdc->bhnrc", q[:, :, rows], weights[0])
    return torch.cat([turned, -turned], dim=-1), 1


def reference(
    parameters: Reformer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula with the buckets in `choice` `B H N rounds 1`.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    del k, weights
    import torch

    n = q.shape[2]
    v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    scores = q[:, :, rows] @ (q / q.norm(dim=-1, keepdim=True)).transpose(-2, -1) / math.sqrt(q.shape[-1])
    own = rows[:, None] == torch.arange(n, device=q.device)
    outs, totals = [], []
    for buckets in choice[..., 0].unbind(dim=-1):
        chunks = buckets.argsort(dim=-1, stable=True).argsort(dim=-1) // parameters.chunk
        seen = (chunks[:, :, rows, None] - chunks[:, :, None]) % -(-n // parameters.chunk) <= 1
        seen &= ~own | (seen.sum(dim=-1, keepdim=True) == 1)
        masked = scores.masked_fill(~seen, -torch.inf)
        outs.append(masked.softmax(dim=-1) @ v)
        totals.append(masked.logsumexp(dim=-1, keepdim=True))
    return (torch.stack(totals).softmax(dim=0) * torch.stack(outs)).sum(dim=0)


def work(parameters: Reformer, setting: Setting) -> Work:
    """Count every query's products with two chunks of keys and values, and in the forward those of its hashes."""
    shape = setting.shape
    each = 2 * shape.batch * shape.heads * shape.seq_len * shape.head_dim * parameters.rounds
    attended = of_products(2 * each * min(2 * parameters.chunk, shape.seq_len), setting.direction)
    return Work(attended.flops + each * parameters.rotations * (setting.direction != "backward"))


def build(parameters: Reformer, setting: Setting, weights: Weights) -> Program:
    """Prepare a mask of the keys that a chunk sees."""
    import torch
    from torch.nn.functional import normalize, pad

    shape, chunk = setting.shape, min(parameters.chunk, setting.shape.seq_len)
    n, group = shape.seq_len, shape.heads // shape.kv_heads
    many = -(-n // chunk)
    missing = many * chunk - n
    places = torch.arange(many * chunk, device=setting.device).view(many, chunk)
    seen = with_previous(places, 0)[:, None]
    mask = (seen < n) & ((seen != places[..., None]) | (n == 1))

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the buckets `B H N rounds 1` of queries."""
        del k, v
        with torch.no_grad():
            turned = torch.einsum("bhnd,rdc->bhnrc", q, weights[0])
            buckets: Tensor = torch.cat([turned, -turned], dim=-1).argmax(dim=-1, keepdim=True)
            return buckets

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D` and values `B K N D` to outputs `B H N D`; keys are ignored."""
        order = choose(q, k, v)[..., 0].transpose(2, 3).argsort(dim=-1, stable=True)[..., None]

        def chunks(x: "Tensor") -> "Tensor":
            """Sort `B H N D` by bucket and cut it into `B H rounds chunks chunk D`."""
            every = x.unsqueeze(2).expand(-1, -1, parameters.rounds, -1, -1)
            ordered = every.gather(3, order.expand(-1, -1, -1, -1, x.shape[-1]))
            return pad(ordered, (0, 0, 0, missing)).view(*ordered.shape[:3], many, chunk, x.shape[-1])

        queries, values = chunks(q / math.sqrt(q.shape[-1])), chunks(v.repeat_interleave(group, dim=1))
        keys = with_previous(chunks(normalize(q, dim=-1)), 3)
        scores = (queries @ keys.transpose(-2, -1)).masked_fill(~mask, -torch.inf)
        total = scores.logsumexp(dim=-1, keepdim=True)
        outs = (scores - total).exp() @ with_previous(values, 3)
        place = order.argsort(dim=3)
        # Put the outputs back in the order of positions, then weight the rounds by their totals.
        outs, total = (each.flatten(3, 4)[:, :, :, :n] for each in (outs, total))
        share = total.gather(3, place).softmax(dim=2)
        return (share * outs.gather(3, place.expand(-1, -1, -1, -1, v.shape[-1]))).sum(dim=2)

    return Program(attend, prepared_bytes=mask.nbytes, choice=choose)


def with_previous(chunks: "Tensor", at: int) -> "Tensor":
    """Append to each chunk along dimension `at` the chunk before it; a single chunk stays as it is."""
    import torch

    return chunks if chunks.shape[at] == 1 else torch.cat([chunks, chunks.roll(1, at)], dim=at + 1)


VARIANT = Variant(
    Reformer,
    source="Kitaev et al. 2020, arXiv 2001.04451",
    family="by content",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    examples=({"rotations": 4, "chunk": 16}, {"rounds": 1, "rotations": 3, "chunk": 5}),
)
