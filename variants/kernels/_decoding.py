"""How implementations decode a pattern: the query of the last token against a cache of keys and values.

A call writes the token's key and value into the last slot of the cache. The cache holds all N tokens. With `blockwise`
it holds only those that the last query sees, as a ring, if no query sees a token again that the query before it did not
see: windows, sinks, blocks.

- `eager`: textbook attention over all N tokens, with a mask
- `sdpa`: torch's `scaled_dot_product_attention` over all N tokens, for patterns whose last query sees all. The query
  heads of a key head are the rows of one call.
- `blockwise`: the same over the tokens that the query sees: a view of the cache, or a copy if they form several spans

Cost: 4 D FLOPs for each query head and key.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants._pattern import IntArray, Pattern, Spans
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting, Shape
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import (
    forward_workspace,
    key_bytes,
    query_bytes,
    reordered_bytes,
    row_products_bytes,
    sums_bytes,
)
from attnbench.variants.kernels._support import refusal

NAMES = ("sdpa", "blockwise", "eager")
"""The implementations that decode."""
_MOST_SPANS = 8
"""With more spans than this, nothing looks for a ring."""


@dataclass(frozen=True)
class Decoder:
    """An implementation in the direction `decode`. It has the functions that implementations have as modules."""

    name: str

    def supports(self, pattern: Pattern, setting: Setting) -> str | None:
        """Support every pattern, or for `sdpa` those whose last query sees all tokens."""
        if isinstance(pattern, Scored):
            return "variants that modify scores do not decode: no implementation modifies those of one query"
        if self.name not in NAMES:
            return f"{self.name} does not decode; use {', '.join(NAMES)}"
        refused, n = refusal(pattern, setting), setting.shape.seq_len
        if refused is None and self.name == "sdpa" and len(_seen(pattern.spans(n))) < n:
            return "sdpa takes no mask, and the last query of this pattern needs one; use blockwise"
        return refused

    def predict_bytes(self, pattern: Pattern, setting: Setting, threads: int) -> int:
        """Return the peak bytes of one call; T is the output, S are the scores.

        `eager`: S, and the weights, or the scaled queries or T with what products take, and with a copy of the keys if
        they are not in order. Others: T and what the fused kernel takes; with several spans also copies of keys and
        values.
        """
        shape, dtype = setting.shape, setting.dtype
        out = query_bytes(shape.at(1), dtype)
        heads, rows = shape.batch * shape.kv_heads, shape.heads // shape.kv_heads
        if self.name == "eager":
            scores = out * shape.seq_len // shape.head_dim
            copied = reordered_bytes(shape, dtype)[1] if shape.batch > 1 else 0
            taken = row_products_bytes(heads, rows, shape.seq_len, shape.head_dim, dtype, threads)
            return scores + max(scores, out + copied + max(taken))
        held, read = self._slots(pattern, shape.seq_len)
        tokens = len(held[read])
        copied = 0 if isinstance(read, slice) else 2 * key_bytes(shape.at(tokens), dtype)
        workspace = forward_workspace(heads, heads, rows, tokens, shape.head_dim, dtype, threads)
        return out + sums_bytes(shape.at(1), dtype) + workspace + copied

    def build(self, pattern: Pattern, setting: Setting, earlier: tuple[Tensor, ...]) -> Program:
        """Fill the cache from the queries, keys and values of the N - 1 earlier tokens."""
        shape, device = setting.shape, setting.device
        seen = _seen(pattern.spans(shape.seq_len))
        held, read = self._slots(pattern, shape.seq_len)
        keys, values = (_cache(each, held, shape) for each in earlier[1:])
        slots = keys[:, :, -1:], values[:, :, -1:]
        prepared: list[Tensor] = []
        if self.name == "eager" and len(seen) == shape.seq_len:
            attend = _textbook(keys, values, None)
        elif self.name == "eager":
            hidden = torch.ones(shape.seq_len, dtype=torch.bool, device=device)
            hidden[torch.from_numpy(seen).to(device)] = False
            prepared.append(hidden)
            attend = _textbook(keys, values, hidden)
        elif isinstance(read, slice):
            attend = _fused(lambda: (keys[:, :, read], values[:, :, read]))
        else:
            index = torch.from_numpy(read).to(device)
            prepared.append(index)
            attend = _fused(lambda: (keys.index_select(2, index), values.index_select(2, index)))

        def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """Write a key and a value `B K 1 D`, and map a query `B H 1 D` to its output."""
            for slot, token in zip(slots, (k, v), strict=True):
                slot.copy_(token)
            return attend(q)

        pairs = shape.batch * shape.heads * (shape.seq_len if self.name == "eager" else len(seen))
        held_bytes = keys.nbytes + values.nbytes
        return Program(call, pairs, sum(each.nbytes for each in prepared), state=slots, state_bytes=held_bytes)

    def _slots(self, pattern: Pattern, n: int) -> tuple[IntArray, slice | IntArray]:
        """Return the tokens that the cache holds, the new one last, and the slots that are read."""
        if self.name != "blockwise":
            return np.arange(n), slice(None)
        spans = pattern.spans(n)
        seen = _seen(spans)
        if seen[-1] == n - 1 and _is_ring(spans):
            return seen, slice(None)
        steps = np.diff(seen)
        if len(np.unique(steps)) > 1:
            return np.arange(n), seen
        return np.arange(n), slice(int(seen[0]), int(seen[-1]) + 1, int(steps[0]) if len(steps) else 1)


def _textbook(keys: Tensor, values: Tensor, hidden: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return attention of queries over all slots but those that are `hidden`, if there are any."""

    def attend(q: Tensor) -> Tensor:
        """Map queries `B H 1 D` to outputs `B H 1 D`."""
        scores = (_by_key_head(q, keys) * q.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
        scores = scores if hidden is None else scores.masked_fill(hidden, -torch.inf)
        weights = torch.softmax(scores, dim=-1)
        del scores  # this frees the scores before the output is allocated
        return (weights @ values).view(q.shape)

    return attend


def _fused(read: Callable[[], tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    """Return torch's attention over what `read` returns, for all query heads of a key head at once."""

    def attend(q: Tensor) -> Tensor:
        """Map queries `B H 1 D` to outputs `B H 1 D`."""
        keys, values = read()
        return scaled_dot_product_attention(_by_key_head(q, keys), keys, values).reshape(q.shape)

    return attend


def _by_key_head(q: Tensor, keys: Tensor) -> Tensor:
    """Return queries `B H 1 D` by the key heads that they read: `B K G D`."""
    return q.reshape(q.shape[0], keys.shape[1], -1, q.shape[-1])


def _cache(earlier: Tensor, held: IntArray, shape: Shape) -> Tensor:
    """Return a cache of the tokens `held` among `B K N-1 D`, in the shape's layout; the last slot is empty."""
    if len(held) < shape.seq_len:
        earlier = earlier.index_select(2, torch.from_numpy(held[:-1]).to(earlier.device))
    cache = torch.nn.functional.pad(earlier, (0, 0, 0, 1))
    return cache.transpose(1, 2).contiguous().transpose(1, 2) if shape.layout == "bnhd" else cache.contiguous()


def _seen(spans: Spans) -> IntArray:
    """Return the tokens that the last query sees."""
    return np.flatnonzero(spans.last().allowed(0, np.arange(spans.n)))


def _is_ring(spans: Spans) -> bool:
    """Check whether no query sees an earlier token that the query before it did not see."""
    spans = spans.causal()
    if spans.start.shape[1] > _MOST_SPANS or ((spans.step > 1) & (spans.lengths() > 1)).any():
        return False
    start, stop = spans.start[1:], np.minimum(spans.stop[1:], np.arange(1, spans.n)[:, None])
    shared = np.minimum(spans.stop[:-1, :, None], stop[:, None]) - np.maximum(spans.start[:-1, :, None], start[:, None])
    return bool((shared.clip(0).sum(axis=(1, 2)) == (stop - start).clip(0).sum(axis=1)).all())
