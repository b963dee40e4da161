"""Attention in which every query chooses blocks of keys. The queries of a block are computed together.

    o_i = sum_b softmax_b(L_ib) o_ib,   o_ib = sum_j exp(s_ij - L_ib) v_j,   L_ib = log sum_j exp(s_ij)

over the blocks b of query i, and the keys j of block b, with s_ij = q_i . k_j / sqrt(D).

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
"""Most numbers of o_ib that are held at once, unless one key head has more."""


@dataclass(frozen=True)
class _Partial:
    """Outputs of queries over one block each, that are to be merged."""

    outs: Tensor
    """`... D`."""
    totals: Tensor
    """Log-sum-exps `... 1`, in float32 or wider."""


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
        return own.outs
    before = chosen < torch.arange(n, device=q.device)[:, None] // block
    return _merged(q, *_over_chosen(q, keys, values, chosen, before), own, before)


def _merged(
    q: Tensor, tiled: _Partial, places: Tensor, own: _Partial | None = None, seen: Tensor | None = None
) -> Tensor:
    """Merge the outputs at some places over all tiles, where they are `seen`, and those over the query's own block."""
    many = places.shape[-1]
    totals = embedding(places, tiled.totals).squeeze(-1)
    if seen is not None:
        totals = totals.masked_fill(~seen, -torch.inf)
    if own is not None:
        totals = torch.cat([totals, own.totals], dim=-1)
    shares = totals.softmax(dim=-1).to(q.dtype)
    flat_places, flat_shares = places.view(-1, many), shares[..., :many].reshape(-1, many)
    out = embedding_bag(flat_places, tiled.outs, mode="sum", per_sample_weights=flat_shares).view(q.shape)
    return out if own is None else out + shares[..., many:] * own.outs


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
            scores = _without(scores, beyond[which % each])
        part = _partial(scores, embedding(which, flat_values).view(-1, block, width))
        found.append((part.outs, part.totals))
    return _Partial(*(torch.cat(one).flatten(0, 1) for one in zip(*found, strict=True))), tiles.places


def _over_own(q: Tensor, keys: Tensor, values: Tensor) -> _Partial:
    """Return the outputs `K G N ...` of queries over their own blocks up to themselves."""
    units, group, n, width = q.shape
    block = keys.shape[1]
    cut = torch.unflatten(pad(q, (0, 0, 0, -n % block)), 2, (-1, block))
    # Query heads of a group lie below each other, so that each block of keys is used once.
    scores = cut.transpose(1, 2).reshape(len(keys), -1, width) @ keys.mT
    later = torch.ones(block, block, dtype=torch.bool, device=q.device).triu(1)
    found = _partial(_without(scores, later.repeat(group, 1)), values)

    def back(x: Tensor) -> Tensor:
        return x.view(units, -1, group, block, x.shape[-1]).transpose(1, 2).flatten(2, 3)[:, :, :n]

    return _Partial(back(found.outs), back(found.totals))


def _without(scores: Tensor, hidden: Tensor) -> Tensor:
    """Hide scores. They stay finite, because their products with shares of 0 are added."""
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min)


def _partial(scores: Tensor, values: Tensor) -> _Partial:
    """Return the outputs of tiles with these scores."""
    shares = scores.softmax(dim=-1)
    fixed, wide = shares.detach(), torch.promote_types(scores.dtype, torch.float32)
    # L is the largest score minus the logarithm of its share.
    largest = scores.detach().amax(dim=-1, keepdim=True)
    totals = largest.to(wide) - fixed.amax(dim=-1, keepdim=True).to(wide).log()
    if scores.requires_grad:
        # Its gradient is the softmax, which is held anyway. So the scores need not be held.
        along = (scores * fixed).sum(dim=-1, keepdim=True)
        totals = totals + (along - along.detach())
    return _Partial(shares @ values, totals)


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
