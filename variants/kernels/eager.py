"""Textbook attention: a stored score matrix, its softmax, and the weighted sum of the values.

    O = softmax(Q K^T / sqrt(D)) V, the scores of keys that a query may not see set to -inf

It computes and holds all N^2 scores whatever the pattern.
"""

import torch
from torch import Tensor

from attnbench.variants import levels
from attnbench.variants._pattern import Pattern
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import key_bytes, query_bytes
from attnbench.variants.kernels._support import bias, by_distance, itemsize, masks, places, refusal, sum_itemsize


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern."""
    return refusal(pattern, setting, scored=True, biased=True, crossed=True, padded=True)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call; S are the scores `B H N N`, T is a query tensor and U a key tensor.

    Forward: 2 S for scores and weights, or S + T if T is larger than S. Backward: 2 S + U for the gradients of both,
    and dV. Training: 3 S + 2 T + U, because the weights, the scaled queries and the output are kept. If the scores are
    small: backward S + T + 2 U while dK and dQ are computed, or 2 T + 2 U at its end; training S + 3 T + 2 U. Scores
    that are modified, but not by a bias of the pattern, take S more forward and in training. A level's bias takes its
    size `H N N`, A, or S if a mask follows it. Its gradient takes S + A + W, where W is A in float32 or wider.
    """
    del threads
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    key_count = levels.keys(setting)
    queries, keys = query_bytes(shape, dtype), key_bytes(shape.at(key_count), dtype)
    scores = shape.batch * shape.heads * shape.seq_len * key_count * itemsize(dtype)
    more = scores if isinstance(pattern, Scored) and not pattern.adds else 0
    added = scores // shape.batch if levels.has_bias(setting) else 0
    if direction == "forward":
        masked = scores if added and pattern.spans(shape.seq_len).pairs() < shape.seq_len**2 else 0
        return scores + max(scores + more + max(added, masked), queries)
    made = max(scores + queries + 2 * keys, scores + added + added * sum_itemsize(dtype) // itemsize(dtype))
    if direction == "backward":
        return max(2 * scores + keys, made, 2 * queries + 2 * keys)
    return 2 * queries + max(3 * scores + keys, made) + more


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the mask of forbidden pairs, if there are any, or a bias with -inf at these: see `_support`."""
    shape = setting.shape
    added: Tensor | None = None
    hidden: Tensor | None = None
    blind: Tensor | None = None
    if isinstance(pattern, Scored) and pattern.adds:
        added, blind = bias(pattern, setting)
    elif shape.lengths or pattern.spans(shape.seq_len).pairs() < shape.seq_len**2:
        seen, blind = masks(pattern, setting)
        hidden = ~seen
    # The queries of all heads of a key head, one after another.
    blind = None if blind is None else blind.repeat(1, 1, shape.heads // shape.kv_heads, 1)
    where = places(setting)

    def finished(scores: Tensor, table: Tensor | None) -> Tensor:
        """Modify scores `B H N N`, add a level's bias, and hide those of forbidden pairs."""
        if added is not None:
            scores = scores + added
        elif isinstance(pattern, Scored):
            scores = pattern.modified(scores, *where, shape.heads)
        if table is not None:
            scores = scores + by_distance(table, shape.seq_len)
        return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)

    def attend(q: Tensor, k: Tensor, v: Tensor, table: Tensor | None = None) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`; a level's bias comes as a table."""
        b, h, n, d = q.shape
        # The query heads of a key head are folded into its rows, so that no key is copied.
        scores = (q.reshape(b, k.shape[1], -1, d) * d**-0.5) @ k.transpose(-2, -1)
        scores = finished(scores.view(b, h, n, -1), table)
        weights = torch.softmax(scores, dim=-1).view(b, k.shape[1], -1, k.shape[2])
        del scores  # without gradients this frees the scores before the output is allocated
        out = weights @ v
        return (out if blind is None else out.masked_fill_(blind, 0.0)).view(b, h, n, d)

    pairs = shape.batch * shape.heads * shape.seq_len * levels.keys(setting)
    prepared = sum(each.nbytes for each in (added, hidden, blind) if each is not None)
    return Program(attend, pairs, prepared)
