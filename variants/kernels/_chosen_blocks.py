"""Attention in which every query chooses blocks of keys. The queries of a block are computed together.

    o_i = sum_b f_ib u_ib / sum_b f_ib t_ib,   f_ib = exp(c_ib - max_b c_ib),   c_ib = max_j s_ij
    u_ib = sum_j exp(s_ij - c_ib) v_j,   t_ib = sum_j exp(s_ij - c_ib),   s_ij = q_i . k_j / sqrt(D)

over the blocks b of query i, and the keys j of block b. c and f need no gradient, because they cancel.

Pairs of a query and a block are sorted by block, and the queries of each block are cut into tiles of equal height. The
last tile of a block may have places without a query. So the scores are one product of matrices for each tile, and
nothing is larger than the number of queries times the keys that each of them chose.

Here batch and key heads are laid end to end: queries are `K G N D`, keys and values `K N D`, and blocks of keys are
numbered over all key heads, `blocks block D`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag, pad

_HEIGHT = 64
"""Most queries of a tile."""
_MOST_SCORES = {"cpu": 2**20, "cuda": 2**26}
"""Most scores that are computed at once."""
_MOST_NUMBERS = {"cpu": 2**23, "cuda": 2**28}
"""Most numbers of u that are held at once, unless one key head has more."""


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
    """Pairs of a query and a block in tiles."""

    queries: Tensor
    """The query at each place `[tiles, height]`, numbered over all heads."""
    blocks: Tensor
    """The block of each tile `[tiles]`."""
    places: Tensor
    """The place of each pair `K G N m`, numbered over all tiles; 0 for pairs that are left out."""


def attend(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, block: int, *, causal: bool) -> Tensor:
    """Return the outputs `B H N D` of queries over the keys of the blocks in `chosen` `B H N m`.

    If `causal`, a query sees its own block up to itself. Of the chosen blocks, it sees those before its own.
    """
    batch, heads, n, width = q.shape
    units, many = batch * k.shape[1], chosen.shape[-1]
    given = [
        (q / width**0.5).reshape(units, -1, n, width),
        *(pad(each, (0, 0, 0, -n % block)).reshape(units, -1, width) for each in (k, v)),
        chosen.reshape(units, -1, n, many),
    ]
    step = max(1, _MOST_NUMBERS[q.device.type] * units // (batch * heads * n * many * width))
    parts = zip(*(torch.split(each, step) for each in given), strict=True)
    outs = [_attend(*some, block=block, causal=causal) for some in parts]
    return torch.cat(outs).view(q.shape)


def _attend(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, *, block: int, causal: bool) -> Tensor:
    """Return the outputs `K G N D` of some key heads, whose keys and values are padded to whole blocks."""
    n, width = q.shape[2:]
    keys, values = (each.reshape(-1, block, width) for each in (k, v))
    if not causal:
        return _merged(q, *_over_chosen(q, keys, values, chosen, None))
    own = _over_own(q, keys, values)
    if n <= block:
        return own.sums / own.totals
    before = chosen < torch.arange(n, device=q.device)[:, None] // block
    return _merged(q, *_over_chosen(q, keys, values, chosen, before), own, before)


def _merged(
    q: Tensor, tiled: _Partial, places: Tensor, own: _Partial | None = None, seen: Tensor | None = None
) -> Tensor:
    """Merge the outputs at some places over all tiles, where they are `seen`, and those over the query's own block."""
    many = places.shape[-1]
    largest = tiled.largest.view(-1)[places]
    if seen is not None:
        largest = largest.masked_fill(~seen, -torch.inf)
    top = largest.amax(dim=-1, keepdim=True)
    if own is not None:
        top = torch.maximum(top, own.largest)
    shares = (largest - top).exp()
    totals = (embedding(places, tiled.totals).squeeze(-1) * shares).sum(dim=-1, keepdim=True)
    flat_places, flat_shares = places.view(-1, many), shares.view(-1, many)
    sums = embedding_bag(flat_places, tiled.sums, mode="sum", per_sample_weights=flat_shares).view(q.shape)
    if own is not None:
        share = (own.largest - top).exp()
        sums, totals = sums + share * own.sums, totals + share * own.totals
    return sums / totals


def _over_chosen(
    q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, seen: Tensor | None
) -> tuple[_Partial, Tensor]:
    """Return the outputs at each place of all tiles, and the place of each pair `K G N m`.

    Pairs that are not `seen` are left out.
    """
    units, group, n, width = q.shape
    block, each = keys.shape[1], len(keys) // units
    # On average a block is in `group m block` pairs, so at most about an eighth of the places stay empty.
    tiles = _tiles(chosen, seen, each, max(1, min(_HEIGHT, group * chosen.shape[-1] * block // 4)))
    beyond = (torch.arange(each * block, device=q.device) >= n).view(each, 1, block)
    rows, flat_keys, flat_values = q.reshape(-1, width), keys.flatten(1), values.flatten(1)
    step = max(1, _MOST_SCORES[q.device.type] // (tiles.queries.shape[1] * block))
    found = []
    for queries, which in zip(torch.split(tiles.queries, step), torch.split(tiles.blocks, step), strict=True):
        scores = embedding(queries, rows) @ embedding(which, flat_keys).view(-1, block, width).mT
        if n % block:
            scores = scores.masked_fill(beyond[which % each], -torch.inf)
        part = _partial(scores, embedding(which, flat_values).view(-1, block, width))
        found.append((part.sums, part.totals, part.largest))
    return _Partial(*(torch.cat(one).flatten(0, 1) for one in zip(*found, strict=True))), tiles.places


def _over_own(q: Tensor, keys: Tensor, values: Tensor) -> _Partial:
    """Return the outputs `K G N ...` of queries over their own blocks up to themselves."""
    units, group, n, width = q.shape
    block = keys.shape[1]
    cut = torch.unflatten(pad(q, (0, 0, 0, -n % block)), 2, (-1, block))
    # Query heads of a group lie below each other, so that each block of keys is used once.
    scores = cut.transpose(1, 2).reshape(len(keys), -1, width) @ keys.mT
    later = torch.ones(block, block, dtype=torch.bool, device=q.device).triu(1)
    found = _partial(scores.masked_fill(later.repeat(group, 1), -torch.inf), values)

    def back(x: Tensor) -> Tensor:
        return x.view(units, -1, group, block, x.shape[-1]).transpose(1, 2).flatten(2, 3)[:, :, :n]

    return _Partial(back(found.sums), back(found.totals), back(found.largest))


def _partial(scores: Tensor, values: Tensor) -> _Partial:
    """Return the outputs of tiles with these scores, which are overwritten."""
    largest = scores.detach().amax(dim=-1, keepdim=True)
    weights = scores.sub_(largest).exp_()
    return _Partial(weights @ values, weights.sum(dim=-1, keepdim=True), largest)


def _tiles(chosen: Tensor, seen: Tensor | None, each: int, height: int) -> _Tiles:
    """Sort the pairs by block, of which each key head has `each`, and cut them into tiles."""
    units, device = len(chosen), chosen.device
    blocks = units * each
    of_pair = chosen + each * torch.arange(units, device=device).view(-1, 1, 1, 1)
    if seen is not None:
        # Pairs that are left out come last.
        of_pair = of_pair.where(seen, blocks)
    of_pair = of_pair.flatten()
    counts = of_pair.bincount(minlength=blocks + 1)[:blocks]
    tiles = (counts + height - 1) // height
    pairs = of_pair.argsort(stable=True)[: int(counts.sum())]
    skipped = (tiles.cumsum(0) - tiles) * height - (counts.cumsum(0) - counts)
    place = torch.arange(len(pairs), device=device) + skipped[of_pair[pairs]]
    of_tile = torch.arange(blocks, device=device).repeat_interleave(tiles)
    queries = pairs.new_zeros(len(of_tile) * height).index_copy_(0, place, pairs // chosen.shape[-1])
    places = torch.zeros_like(of_pair).index_copy_(0, pairs, place)
    return _Tiles(queries.view(-1, height), of_tile, places.view(chosen.shape))
