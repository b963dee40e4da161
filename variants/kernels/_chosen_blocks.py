"""Attention in which every query chooses blocks of keys. The queries of a block are computed together.

    o_i = sum_b f_ib u_ib / sum_b f_ib t_ib,   f_ib = exp(c_ib - max_b c_ib),   c_ib = max_j s_ij
    u_ib = sum_j exp(s_ij - c_ib) v_j,   t_ib = sum_j exp(s_ij - c_ib),   s_ij = q_i . k_j / sqrt(D)

over the blocks b of query i, and the keys j of block b. c and f need no gradient, because they cancel.

Pairs of a query and a block are sorted by block, and the queries of each block are cut into tiles of equal height. The
last tile of a block may have places without a query. So the scores are one product of matrices for each tile, and
nothing is larger than the number of queries times the keys that each of them chose.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag, pad

_HEIGHT = 64
"""Most queries of a tile."""
_MOST_SCORES = {"cpu": 2**20, "cuda": 2**26}
"""Most scores that are computed at once."""


@dataclass(frozen=True)
class _Partial:
    """Outputs of queries over one block each, that are to be merged."""

    sums: Tensor
    """u, `... D`."""
    totals: Tensor
    """t, `... 1`."""
    largest: Tensor
    """c, `... 1`."""


@dataclass(frozen=True)
class _Tiles:
    """Pairs of a query and a block in tiles. Queries are numbered over batch and heads, blocks over key heads."""

    queries: Tensor
    """The query at each place `[tiles, height]`."""
    blocks: Tensor
    """The block of each tile `[tiles]`."""
    places: Tensor
    """The place of each pair `B H N m`, numbered over all tiles; 0 for pairs that are left out."""


def attend(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, block: int, *, causal: bool) -> Tensor:
    """Return the outputs `B H N D` of queries over the keys of the blocks in `chosen` `B H N m`.

    If `causal`, a query sees its own block up to itself. Of the chosen blocks, it sees those before its own.
    """
    n, width = q.shape[2:]
    q = q / width**0.5
    blocks = -(-n // block)
    keys, values = (pad(each, (0, 0, 0, blocks * block - n)).reshape(-1, block, width) for each in (k, v))
    if not causal:
        return _merged(q, *_over_chosen(q, keys, values, chosen, None))
    own = _over_own(q, keys, values)
    if blocks == 1:
        return own.sums / own.totals
    before = chosen < torch.arange(n, device=q.device)[:, None] // block
    return _merged(q, *_over_chosen(q, keys, values, chosen, before), own, before)


def _merged(
    q: Tensor, tiled: _Partial, places: Tensor, own: _Partial | None = None, seen: Tensor | None = None
) -> Tensor:
    """Merge the outputs at some places over all tiles, and those over the query's own block."""
    many = places.shape[-1]
    largest = tiled.largest.view(-1)[places]
    if own is None or seen is None:
        top = largest.amax(dim=-1, keepdim=True)
    else:
        largest = largest.masked_fill(~seen, -torch.inf)
        top = torch.maximum(largest.amax(dim=-1, keepdim=True), own.largest)
    shares = (largest - top).exp()
    totals = (embedding(places, tiled.totals).squeeze(-1) * shares).sum(dim=-1, keepdim=True)
    sums = embedding_bag(
        places.view(-1, many), tiled.sums, mode="sum", per_sample_weights=shares.view(-1, many)
    ).view(q.shape)
    if own is not None:
        share = (own.largest - top).exp()
        sums, totals = sums + share * own.sums, totals + share * own.totals
    return sums / totals


def _over_chosen(
    q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, seen: Tensor | None
) -> tuple[_Partial, Tensor]:
    """Return the outputs at each place of all tiles, and the place of each pair `B H N m`.

    Keys and values are `blocks block D`, over all key heads. Pairs that are not `seen` are left out.
    """
    batch, heads, n, width = q.shape
    block = keys.shape[1]
    each = -(-n // block)
    tiles = _tiles(chosen, seen, each, len(keys), min(_HEIGHT, block))
    # Keys beyond the end of the sequence.
    hidden = (torch.arange(each * block, device=q.device) >= n).view(each, 1, block)
    rows, flat_keys, flat_values = q.reshape(-1, width), keys.flatten(1), values.flatten(1)
    step = max(1, _MOST_SCORES[q.device.type] // (tiles.queries.shape[1] * block))
    found = []
    for queries, which in zip(tiles.queries.split(step), tiles.blocks.split(step), strict=True):
        scores = embedding(queries, rows) @ embedding(which, flat_keys).view(-1, block, width).mT
        if n % block:
            scores = scores.masked_fill(hidden[which % each], -torch.inf)
        found.append(_partial(scores, embedding(which, flat_values).view(-1, block, width)))
    parts = [(part.sums, part.totals, part.largest) for part in found]
    return _Partial(*(torch.cat(each).flatten(0, 1) for each in zip(*parts, strict=True))), tiles.places


def _over_own(q: Tensor, keys: Tensor, values: Tensor) -> _Partial:
    """Return the outputs `B H N ...` of queries over their own blocks up to themselves."""
    batch, heads, n, width = q.shape
    block = keys.shape[1]
    blocks = -(-n // block)
    kv_heads = len(keys) // (batch * blocks)
    cut = pad(q, (0, 0, 0, blocks * block - n)).reshape(batch, kv_heads, -1, blocks, block, width)
    later = torch.ones(block, block, dtype=torch.bool, device=q.device).triu(1)
    # Query heads of a group lie below each other, so that each block of keys is used once.
    scores = cut.transpose(2, 3).reshape(len(keys), -1, width) @ keys.mT
    found = _partial(scores.masked_fill(later.repeat(heads // kv_heads, 1), -torch.inf), values)

    def back(x: Tensor) -> Tensor:
        x = x.view(batch, kv_heads, blocks, -1, block, x.shape[-1]).transpose(2, 3)
        return x.reshape(batch, heads, blocks * block, -1)[:, :, :n]

    return _Partial(*map(back, (found.sums, found.totals, found.largest)))


def _partial(scores: Tensor, values: Tensor) -> _Partial:
    """Return the outputs of tiles with these scores, which are overwritten."""
    largest = scores.detach().amax(dim=-1, keepdim=True)
    weights = scores.sub_(largest).exp_()
    return _Partial(weights @ values, weights.sum(dim=-1, keepdim=True), largest)


def _tiles(chosen: Tensor, seen: Tensor | None, each: int, blocks: int, height: int) -> _Tiles:
    """Sort the pairs by block, of which there are `blocks`, `each` for a key head, and cut them into tiles."""
    batch, heads, _, many = chosen.shape
    group = batch * heads * each // blocks
    head = torch.arange(batch * heads, device=chosen.device).view(batch, heads, 1, 1)
    of_pair = chosen + head // group * each
    if seen is not None:
        of_pair = of_pair.where(seen, blocks)
    of_pair = of_pair.flatten()
    counts = of_pair.bincount(minlength=blocks + 1)[:blocks]
    tiles = (counts + height - 1) // height
    # Pairs that are left out come last.
    pairs = of_pair.argsort(stable=True)[: int(counts.sum())]
    skipped = (tiles.cumsum(0) - tiles) * height - (counts.cumsum(0) - counts)
    place = torch.arange(len(pairs), device=chosen.device) + skipped[of_pair[pairs]]
    of_tile = torch.arange(blocks, device=chosen.device).repeat_interleave(tiles)
    queries = pairs.new_zeros(len(of_tile) * height).index_copy_(0, place, pairs // many)
    places = torch.zeros_like(of_pair).index_copy_(0, pairs, place)
    return _Tiles(queries.view(-1, height), of_tile, places.view(chosen.shape))
