"""Block top-k attention: every query sees the keys of the blocks whose mean key it scores highest. Causal, it is MoBA.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   block(j) among the `blocks` blocks b with the largest q_i . m_b

m_b is the mean of the keys of block b. If `causal`, a query chooses among the blocks before its own (all of them where
there are fewer), and also sees its own block up to itself: Mixture of Block Attention. The authors' code counts the
own block among the chosen ones, so its top k is `blocks` + 1. The choice has no gradient. Cost: 4 N c D FLOPs forward
for one head, c = blocks block the keys of a query (and block / 2 more if causal), and 2 N^2 D / block for the choice.

Source: Lu et al. 2025, arXiv 2502.13189, section 2.2.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

_MOST_SCORES = {"cpu": 2**20, "cuda": 2**26}
"""Most scores of blocks that are computed at once."""


@dataclass(frozen=True)
class BlockTopK(Parameters):
    """Every query sees the `blocks` blocks of keys that score highest."""

    block: int = parameter("keys of a block", default=64, minimum=1)
    blocks: int = parameter("blocks that a query chooses; all of them where there are fewer", default=4, minimum=1)
    causal: bool = parameter("choose among the blocks before the own one, and see that one too", default=False)


def options(
    parameters: BlockTopK, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return the scores `B H R C` of all C blocks, and how many are chosen."""
    del v, weights
    import torch

    means = torch.stack([block.mean(dim=2) for block in torch.split(k, parameters.block, dim=2)], dim=2)
    scores = q[:, :, rows] @ means.repeat_interleave(q.shape[1] // k.shape[1], dim=1).transpose(-2, -1)
    if parameters.causal:
        numbers = torch.arange(scores.shape[-1], device=q.device)
        scores = scores.masked_fill(numbers >= rows[:, None] // parameters.block, -torch.inf)
    return scores, min(parameters.blocks, scores.shape[-1])


def reference(
    parameters: BlockTopK, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula over the blocks in `choice` `B H N m`.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    del weights
    import torch

    n = k.shape[2]
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    places = torch.arange(n, device=q.device)
    seen = (choice[:, :, rows, :, None] == places // parameters.block).any(dim=3)
    if parameters.causal:
        apart = rows[:, None] // parameters.block - places // parameters.block
        seen = (seen & (apart > 0)) | ((apart == 0) & (places <= rows[:, None]))
    scores = q[:, :, rows] @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~seen, -torch.inf).softmax(dim=-1) @ v


def work(parameters: BlockTopK, setting: Setting) -> Work:
    """Count every query's products with the keys and values that it sees, and in the forward with the means."""
    shape, block = setting.shape, parameters.block
    n = shape.seq_len
    count = -(-n // block)
    pairs = n * min(parameters.blocks * block, n)
    if parameters.causal:
        heights = [min(block, n - at) for at in range(0, n, block)]
        pairs = sum(
            height * min(parameters.blocks, number) * block + height * (height + 1) // 2
            for number, height in enumerate(heights)
        )
    heads = shape.batch * shape.heads
    attended = of_products(4 * heads * pairs * shape.head_dim, setting.direction)
    return Work(attended.flops + 2 * heads * n * count * shape.head_dim * (setting.direction != "backward"))


def build(parameters: BlockTopK, setting: Setting, weights: Weights) -> Program:
    """Prepare the number of keys of each block."""
    del weights
    import torch
    from torch.nn.functional import pad

    from attnbench.variants.kernels import _chosen_blocks

    shape, block, causal = setting.shape, parameters.block, parameters.causal
    n = shape.seq_len
    blocks = -(-n // block)
    height = max(64, _MOST_SCORES[setting.device] // (shape.batch * shape.heads * blocks))
    numbers = torch.arange(blocks, device=setting.device)
    sizes = (n - numbers * block).clamp(max=block)[:, None]

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the blocks `B H N m` that every query chooses."""
        del v
        with torch.no_grad():
            sums = torch.unflatten(pad(k, (0, 0, 0, blocks * block - n)), 2, (blocks, block)).sum(dim=3)
            means = (sums / sizes).transpose(-2, -1)
            found = []
            for at in range(0, n, height):
                part = q[:, :, at : at + height]
                scores = part.reshape(shape.batch, shape.kv_heads, -1, shape.head_dim) @ means
                scores = scores.view(*part.shape[:3], blocks)
                if causal:
                    own = torch.arange(at, at + part.shape[2], device=q.device)[:, None] // block
                    scores = scores.masked_fill(numbers >= own, -torch.inf)
                found.append(scores.topk(min(parameters.blocks, blocks), sorted=False).indices)
            return torch.cat(found, dim=2)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return _chosen_blocks.attend(q, k, v, choose(q, k, v), block, causal=causal)

    return Program(attend, prepared_bytes=numbers.nbytes + sizes.nbytes, choice=choose)


VARIANT = Variant(
    BlockTopK,
    source="Lu et al. 2025, arXiv 2502.13189",
    family="by content",
    build=build,
    reference=reference,
    work=work,
    options=options,
    examples=({"block": 8, "blocks": 2}, {"block": 7, "blocks": 2, "causal": True}, {"block": 1, "blocks": 5}),
)
