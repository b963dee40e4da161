"""Native sparse attention: three causal branches, over compressed blocks, over selected blocks and over a window.

    o_i = g_1 o^cmp_i + g_2 o^slc_i + g_3 o^win_i,   g = sigmoid(q_i W)
    o^cmp_i = sum_c p_ic v~_c,   p_ic = softmax_c(q_i . k~_c / sqrt(D)),   c stride + compressed - 1 <= i
    I_ib = sum over the heads of a group of sum_c p_ic |c and b| / stride

k~_c and v~_c stand for the `compressed` tokens from c stride on: their mean, or if `pooling` is learned, a linear map
of all their numbers to D (in the paper a deeper network). Before the first complete block o^cmp is 0. The query heads
of a key head select the same `blocks` blocks b of `block` tokens: the first, their own, the one before, and those of
the others before their own with the largest importance I. |c and b| is the number of tokens that c and b share. (This
is the paper's equation 9, which counts from 1.) o^slc is softmax attention over the selected keys up to i, o^win over
the last `window` keys. W `[H, D, 3]` is learned. The branches share keys and values; in the paper each has its own. The
choice has no gradient. Cost: 4 N (N / (2 stride) + blocks block + window) D FLOPs forward for one head, and N^2 D /
stride to select.

Source: Yuan et al. 2025, arXiv 2502.11089, section 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program
from attnbench.variants.truncated import Truncated

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST_SCORES = {"cpu": 2**20, "cuda": 2**26}
"""Most scores of compressed keys that are computed at once to select blocks."""
_ROWS = 512
"""Queries that see compressed keys in one call."""


@dataclass(frozen=True)
class NSA(Parameters):
    """Compressed, selected and recent keys, mixed by gates.

    Raises:
        ValueError: `compressed` or `block` is no multiple of `stride`.
    """

    compressed: int = parameter("tokens of a compressed block, a multiple of stride", default=32, minimum=1)
    stride: int = parameter("tokens between the starts of compressed blocks", default=16, minimum=1)
    block: int = parameter("tokens of a selected block, a multiple of stride", default=64, minimum=1)
    blocks: int = parameter("blocks that a query selects, three of them always", default=16, minimum=3)
    window: int = parameter("keys up to the query, itself included", default=512, minimum=1)
    pooling: Literal["mean", "learned"] = parameter("how blocks are compressed", default="mean")
    causal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("compressed", "block"):
            if getattr(self, name) % self.stride:
                raise ValueError(f"{name}: expected a multiple of stride={self.stride}, found {getattr(self, name)}")

    def count(self, n: int) -> int:
        """Return the number of compressed blocks at length n."""
        return max(0, (n - self.compressed) // self.stride + 1)


def weights(parameters: NSA, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[H, D, 3]`, and if pooling is learned, maps `[compressed, D, D]` for keys and for values; all learned."""
    import torch

    width, size = setting.shape.head_dim, parameters.compressed
    drawn = [torch.randn(setting.shape.heads, width, 3, generator=generator) * width**-0.5]
    if parameters.pooling == "learned":
        drawn += [torch.randn(size, width, width, generator=generator) * (size * width) ** -0.5 for _ in range(2)]
    return tuple(map(torch.nn.Parameter, drawn))


def options(
    parameters: NSA, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return the importance `B H R C` of all C blocks, and how many are selected.

    It is infinite for a query's first and last two blocks, and -infinite for those after it.
    """
    del v
    import torch

    n, group = q.shape[2], q.shape[1] // k.shape[1]
    shares = _shares(parameters, q[:, :, rows], _compressed(parameters, k, weights[1:2]), rows)
    starts = parameters.stride * torch.arange(shares.shape[-1], device=q.device)[:, None]
    blocks = torch.arange(-(-n // parameters.block), device=q.device)
    ends = torch.minimum(starts + parameters.compressed, (blocks + 1) * parameters.block)
    common = (ends - torch.maximum(starts, blocks * parameters.block)).clamp(min=0) / parameters.stride
    importance = torch.unflatten(shares @ common.to(shares.dtype), 1, (-1, group)).sum(dim=2)
    own = rows[:, None] // parameters.block
    always = (blocks == 0) | (blocks == own) | (blocks == own - 1)
    importance = importance.masked_fill(always, torch.inf).masked_fill(blocks > own, -torch.inf)
    return importance.repeat_interleave(group, dim=1), min(parameters.blocks, len(blocks))


def reference(
    parameters: NSA, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor"
) -> "Tensor":
    """Compute the formula with the blocks in `choice` `B H N m`.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    import torch

    n, group = q.shape[2], q.shape[1] // k.shape[1]
    short_k, short_v = (_compressed(parameters, x, maps) for x, maps in ((k, weights[1:2]), (v, weights[2:])))
    k, v, short_v = (each.repeat_interleave(group, dim=1) for each in (k, v, short_v))
    some = q[:, :, rows]
    outs = [_shares(parameters, some, short_k, rows) @ short_v]
    places = torch.arange(n, device=q.device)
    before = rows[:, None] - places
    selected = (choice[:, :, rows, :, None] == places // parameters.block).any(dim=3)
    scores = some @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    branches = selected & (before >= 0), (before >= 0) & (before < parameters.window)
    outs += [scores.masked_fill(~seen, -torch.inf).softmax(dim=-1) @ v for seen in branches]
    gates = (some @ weights[0]).sigmoid()
    return (torch.stack(outs, dim=-1) * gates.unsqueeze(-2)).sum(dim=-1)


def work(parameters: NSA, setting: Setting) -> Work:
    """Count each branch's products with the keys that a query sees, the gates, learned maps, and the selection."""
    shape, block = setting.shape, parameters.block
    n, width = shape.seq_len, shape.head_dim
    count = parameters.count(n)
    short = sum(n - parameters.stride * c - parameters.compressed + 1 for c in range(count))
    heights = [min(block, n - at) for at in range(0, n, block)]
    selected = sum(
        height * min(parameters.blocks - 1, number) * block + height * (height + 1) // 2
        for number, height in enumerate(heights)
    )
    few = min(parameters.window, n)
    recent = few * n - few * (few - 1) // 2
    heads = shape.batch * shape.heads
    products = heads * (4 * (short + selected + recent) * width + 2 * n * width * 3)
    if parameters.pooling == "learned":
        products += 2 * shape.batch * shape.kv_heads * 2 * count * parameters.compressed * width**2
    return Work(
        of_products(products, setting.direction).flops + 2 * heads * short * width * (setting.direction != "backward")
    )


def build(parameters: NSA, setting: Setting, weights: Weights) -> Program:
    """Prepare the branch of the window."""
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention

    from attnbench.variants import kernels
    from attnbench.variants.kernels import _chosen_blocks

    shape, block, stride = setting.shape, parameters.block, parameters.stride
    n, count, first = shape.seq_len, parameters.count(shape.seq_len), parameters.compressed - 1
    group, blocks = shape.heads // shape.kv_heads, -(-shape.seq_len // block)
    window = kernels.load("blockwise").build(Truncated(left=parameters.window - 1, right=0), setting)
    height = max(64, _MOST_SCORES[setting.device] // (shape.batch * shape.heads * max(1, count)))
    numbers = torch.arange(blocks, device=setting.device)

    def visible(begin: int, end: int) -> "Tensor":
        """Return which compressed blocks the queries from `begin` to `end` see, without those that none of them see."""
        ends = stride * torch.arange(max(0, (end - 1 - first) // stride + 1), device=setting.device) + first
        return ends <= torch.arange(begin, end, device=setting.device)[:, None]

    def select(q: "Tensor", short_k: "Tensor") -> "Tensor":
        """Return the blocks `B K N m` that the queries of each key head select."""
        found = []
        for at in range(0, n, height):
            part = q[:, :, at : at + height] / math.sqrt(shape.head_dim)
            seen = visible(at, at + part.shape[2])
            many = seen.shape[1]
            scores = part.reshape(shape.batch, shape.kv_heads, -1, shape.head_dim) @ short_k[:, :, :many].mT
            scores = scores.view(shape.batch, shape.kv_heads, group, part.shape[2], many).masked_fill(~seen, -torch.inf)
            # Rows that see no compressed block have no shares.
            shares = scores.softmax(dim=-1).nan_to_num(nan=0.0).sum(dim=2)
            # Each compressed block covers `compressed / stride` pieces, each selected block consists of whole ones.
            covered = (first + 1) // stride
            pieces = pad(shares, (0, covered - 1))
            for late in range(1, covered):
                pieces = pieces + pad(shares, (late, covered - 1 - late))
            pieces = pad(pieces, (0, blocks * block // stride - pieces.shape[-1]))
            own = torch.arange(at, at + part.shape[2], device=q.device)[:, None] // block
            always = (numbers == 0) | (numbers == own) | (numbers == own - 1)
            importance = torch.unflatten(pieces, -1, (blocks, -1)).sum(dim=-1)
            importance = importance.masked_fill(always, torch.inf).masked_fill(numbers > own, -torch.inf)
            found.append(importance.topk(min(parameters.blocks, blocks), sorted=False).indices)
        return torch.cat(found, dim=2)

    def over_compressed(q: "Tensor", short_k: "Tensor", short_v: "Tensor") -> "Tensor":
        """Return the outputs of the first branch; queries before the end of the first block have 0."""
        outs = [q.new_zeros(*q.shape[:2], min(first, n), q.shape[3])]
        for at in range(first, n, _ROWS):
            part = q[:, :, at : at + _ROWS]
            seen = visible(at, at + part.shape[2])
            k, v = (each[:, :, : seen.shape[1]] for each in (short_k, short_v))
            outs.append(scaled_dot_product_attention(part, k, v, attn_mask=seen, enable_gqa=group > 1))
        return torch.cat(outs, dim=2)

    def selected(q: "Tensor", short_k: "Tensor") -> "Tensor":
        """Return the selected blocks `B H N m`."""
        with torch.no_grad():
            return select(q, short_k).repeat_interleave(group, dim=1)

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the blocks `B H N m` that every query selects."""
        del v
        return selected(q, _compressed(parameters, k, weights[1:2]))

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        short_k, short_v = (_compressed(parameters, x, maps) for x, maps in ((k, weights[1:2]), (v, weights[2:])))
        gates = (q @ weights[0]).sigmoid()
        chosen = selected(q, short_k)
        out = gates[..., :1] * over_compressed(q, short_k, short_v)
        out = out + gates[..., 1:2] * _chosen_blocks.attend(q, k, v, chosen, block, causal=True)
        return out + gates[..., 2:] * window.call(q, k, v)

    return Program(attend, prepared_bytes=window.prepared_bytes + numbers.nbytes, choice=choose)


def _compressed(parameters: NSA, x: "Tensor", maps: Weights) -> "Tensor":
    """Return what stands for the complete blocks of keys or values `B K N D`; `maps` is empty for their means."""
    import torch

    if parameters.count(x.shape[2]) == 0:
        return x[:, :, :0]
    if maps:
        blocks = x.unfold(2, parameters.compressed, parameters.stride)
        mapped: Tensor = torch.einsum("bkcdl,lde->bkce", blocks, maps[0])
        return mapped
    # Whole pieces of `stride` tokens are summed once.
    whole = x[:, :, : x.shape[2] // parameters.stride * parameters.stride]
    pieces = torch.unflatten(whole, 2, (-1, parameters.stride)).sum(dim=3)
    sums: Tensor = pieces.unfold(2, parameters.compressed // parameters.stride, 1).sum(dim=-1)
    return sums / parameters.compressed


def _shares(parameters: NSA, q: "Tensor", short_k: "Tensor", rows: "Tensor") -> "Tensor":
    """Return p `B H R C` of the queries at `rows` over the C compressed blocks."""
    import torch

    keys = short_k.repeat_interleave(q.shape[1] // short_k.shape[1], dim=1)
    scores = q @ keys.transpose(-2, -1) / math.sqrt(q.shape[-1])
    ends = parameters.stride * torch.arange(keys.shape[2], device=q.device) + parameters.compressed - 1
    seen = ends <= rows[:, None]
    # Queries before the end of the first block have no shares. A softmax over -inf alone would have no gradient.
    none = ~seen.any(dim=-1, keepdim=True)
    return scores.masked_fill(~(seen | none), -torch.inf).softmax(dim=-1).masked_fill(none, 0.0)


VARIANT = Variant(
    NSA,
    source="Yuan et al. 2025, arXiv 2502.11089",
    family="by content",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    examples=(
        {"compressed": 8, "stride": 4, "block": 8, "blocks": 4, "window": 16},
        {"compressed": 4, "stride": 4, "block": 12, "blocks": 3, "window": 5, "pooling": "learned"},
    ),
)
