"""torch's FlexAttention: a compiled kernel that computes only the tiles that a pattern needs.

The score matrix is cut into tiles of 128 queries by 128 keys. Tiles without an allowed pair are skipped. Tiles in which
every pair is allowed are computed without a mask. In the other tiles `mask_mod` checks each pair, from the pattern's
spans. The tiles come from the pattern's layout, in time linear in their number; torch's own `create_block_mask`
evaluates all N^2 pairs. Cost: 4 D FLOPs forward for every pair of a computed tile.

On a CPU torch has only the forward. Source: Dong et al. 2024, "Flex Attention: A Programming Model for Generating
Optimized Attention Kernels", arXiv 2412.05496.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from attnbench.variants._pattern import BoolArray, IntArray, Pattern, Spans
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting, Shape
from attnbench.variants.kernels import Program, _compilation
from attnbench.variants.kernels._memory import fused_bytes, key_bytes, query_bytes
from attnbench.variants.kernels._support import itemsize, refusal, sum_itemsize

Bound = tuple[Tensor, Tensor, Tensor | None]
"""Start, stop and step of one span of every query, each `[N]`; the step is None if all steps are 1."""
Sees = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

_SIDE = 128
"""Queries and keys in a tile: torch's default."""
_LEAST_WIDTH = 16
"""The narrowest heads that the kernel takes on CUDA."""


@dataclass(frozen=True)
class Tiles:
    """Tiles of `side` queries by `side` keys that hold an allowed pair, sorted by row, then column.

    `rows` and `columns` number the tiles, and `pairs` counts the allowed pairs in each; all three are int64 `[T]`.
    """

    n: int
    side: int
    rows: IntArray
    columns: IntArray
    pairs: IntArray

    def areas(self) -> IntArray:
        """Return the number of pairs in each tile, allowed or not; the last row and column may have fewer."""
        height, width = (np.minimum(self.side, self.n - each * self.side) for each in (self.rows, self.columns))
        return np.asarray(height * width)


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern; on a CPU only the forward direction, and only if torch has the kernel for it."""
    refused = refusal(pattern, setting, scored=True, padded=True)
    if refused is None and setting.dtype == "float64":
        refused = "flex computes in float32, float16 or bfloat16, found float64"
    if refused is None:
        refused = _refused_by_cpu(setting.direction) if setting.device == "cpu" else _refused_by_cuda(setting.shape)
    return refused or _compilation.refusal("flex", setting.device)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: on CUDA those of a fused kernel, on a CPU those of torch's template.

    The template takes the output and a copy of keys and values. With R queries and keys in a tile, each thread takes a
    tile of float32 sums (R R + 2 R + R D) and, in the dtype of the inputs, a tile, queries and keys (R R + 2 R D).
    In a padded batch, the output is copied to set a part of it to 0.
    """
    del pattern
    shape, dtype = setting.shape, setting.dtype
    if setting.device != "cpu":
        return fused_bytes(shape, dtype, setting.direction, threads=0)
    side, width = min(_SIDE, shape.seq_len), shape.head_dim
    sums = (side * side + 2 * side + side * width) * sum_itemsize(dtype)
    numbers = (side * side + 2 * side * width) * itemsize(dtype)
    kernel = query_bytes(shape, dtype) + 2 * key_bytes(shape, dtype) + threads * (sums + numbers)
    return max(kernel, 2 * query_bytes(shape, dtype)) if shape.lengths else kernel


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the layout of tiles and the bounds of the spans. The first call compiles."""
    shape, device = setting.shape, setting.device
    spans = pattern.spans(shape.seq_len)
    bounds = _bounds(spans, device)
    sequences = [spans.within(length) for length in shape.lengths] if shape.lengths else [spans]
    needed = [tiles(each, _SIDE) for each in sequences]
    ends = torch.tensor(shape.lengths, device=device) if shape.lengths else None
    mask = _block_mask(needed, _seen(bounds, ends), device)
    # Queries that see no key have the output 0.
    blind = None if ends is None else _blind(sequences, device)
    score_mod = _score_mod(pattern, shape.heads)
    enable_gqa = shape.kv_heads != shape.heads
    # For fewer than 128 queries torch would choose another kernel, and a check at such a length would check that one.
    options: Any = {"FORCE_USE_FLEX_ATTENTION": True} if device == "cuda" else {}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return flex_attention(
            q, k, v, score_mod=score_mod, block_mask=mask, enable_gqa=enable_gqa, kernel_options=options
        )

    many = shape.batch if ends is None else 1
    pairs = many * shape.heads * sum(int(each.areas().sum()) for each in needed)
    held = [each for each in vars(mask).values() if isinstance(each, Tensor)]
    held += [each for bound in [*bounds, (ends, blind)] for each in bound if each is not None]
    compiled = _compilation.compiled(attend)

    def zeroed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Call `attend`, and set the outputs of queries that see no key to 0."""
        # On a CPU, torch compiles no operation after this kernel.
        out = compiled(q, k, v)
        return out if blind is None else out.masked_fill(blind, 0.0)

    return Program(zeroed, pairs, sum(each.nbytes for each in held), compiled=True)


def _refused_by_cpu(direction: str) -> str | None:
    """Return why this CPU cannot compute this, or None."""
    if direction != "forward":
        return f"flex has no gradients on a cpu, found {direction}; measure forward"
    capability = torch.backends.cpu.get_cpu_capability()
    return None if capability.startswith("AVX") else f"flex needs a cpu with AVX2, found {capability}"


def _refused_by_cuda(shape: Shape) -> str | None:
    """Return why CUDA cannot compute this, or None."""
    if shape.head_dim < _LEAST_WIDTH:
        return f"flex needs a head_dim of at least {_LEAST_WIDTH} on cuda, found {shape.head_dim}"
    return None


def _blind(sequences: list[Spans], device: str) -> Tensor:
    """Return the mask `B 1 N 1` of queries that see no key."""
    return torch.from_numpy(np.stack([each.counts() == 0 for each in sequences]))[:, None, :, None].to(device)


def _block_mask(needed: list[Tiles], sees: Sees, device: str) -> BlockMask:
    """Return torch's form of the tiles of each sequence: those with a mask, those without one, and the mask."""
    full = [each.pairs == _SIDE * _SIDE for each in needed]
    return BlockMask.from_kv_blocks(
        *_joined(needed, [~each for each in full], device),
        *_joined(needed, full, device),
        BLOCK_SIZE=_SIDE,
        mask_mod=sees,
        seq_lengths=(needed[0].n, needed[0].n),
    )


def _joined(needed: list[Tiles], chosen: list[BoolArray], device: str) -> tuple[Tensor, Tensor]:
    """Return what `_listed` does, of all sequences."""
    counts, indices = zip(*(_listed(*each, device) for each in zip(needed, chosen, strict=True)), strict=True)
    return torch.cat(counts), torch.cat(indices)


def _listed(needed: Tiles, chosen: BoolArray, device: str) -> tuple[Tensor, Tensor]:
    """Return the number of chosen tiles per row `[1, 1, R]`, and their columns, padded with zeros `[1, 1, R, R]`."""
    rows, columns = needed.rows[chosen], needed.columns[chosen]
    many = -(-needed.n // needed.side)
    counts = np.bincount(rows, minlength=many)
    indices = np.zeros((many, many), np.int32)
    indices[rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = columns
    both = torch.from_numpy(counts.astype(np.int32)), torch.from_numpy(indices)
    return both[0][None, None].to(device), both[1][None, None].to(device)


def _bounds(spans: Spans, device: str) -> list[Bound]:
    """Return the bounds of every span that is not empty for some query."""

    def column(bound: np.ndarray, span: int) -> Tensor:
        return torch.from_numpy(bound[:, span].astype(np.int32)).to(device)

    held = np.flatnonzero((spans.stop > spans.start).any(axis=0)).tolist()
    return [
        (
            column(spans.start, span),
            column(spans.stop, span),
            None if (spans.step[:, span] == 1).all() else column(spans.step, span),
        )
        for span in held
    ]


def _seen(bounds: list[Bound], ends: Tensor | None = None) -> Sees:
    """Return the function of tensors that says whether query q sees key kv; torch compiles it into its kernel.

    `ends` are the lengths of the sequences of a padded batch.
    """

    def sees(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        del h
        seen = _within(bounds[0], q, kv)
        for bound in bounds[1:]:
            seen = seen | _within(bound, q, kv)
        return seen if ends is None else seen & (q < ends[b]) & (kv < ends[b])

    return sees


def _score_mod(pattern: Pattern, heads: int) -> Callable[..., Tensor] | None:
    """Return the function of tensors that modifies scores, if the pattern does; torch compiles it into its kernel."""
    if not isinstance(pattern, Scored):
        return None

    def modified(score: Tensor, b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        del b
        return pattern.modified(score, h, q, kv, heads)

    return modified


def _within(bound: Bound, q: Tensor, kv: Tensor) -> Tensor:
    """Check whether key kv lies in query q's span."""
    start, stop, step = bound
    inside = (start[q] <= kv) & (kv < stop[q])
    return inside if step is None else inside & ((kv - start[q]) % step[q] == 0)


def tiles(spans: Spans, side: int) -> Tiles:
    """Return the tiles of a pattern, in time linear in N S plus `side` S times the number of tiles."""
    rows, columns = spans.layout(side, side)
    pairs = np.empty_like(rows)
    ends = np.searchsorted(rows, np.arange(-(-spans.n // side) + 1))
    for row, (begin, end) in enumerate(itertools.pairwise(ends.tolist())):
        first = columns[begin:end] * side
        queries = slice(row * side, (row + 1) * side)
        pairs[begin:end] = _before(spans, queries, first + side) - _before(spans, queries, first)
    return Tiles(spans.n, side, rows, columns, pairs)


def _before(spans: Spans, queries: slice, keys: IntArray) -> IntArray:
    """Count the allowed pairs of some queries with the keys before each of `keys`."""
    # The double negation rounds the quotient up: a span whose stop lies within a step still has that step's key.
    start, stop, step = (each[queries, :, None] for each in (spans.start, spans.stop, spans.step))
    return np.asarray(-((start - np.clip(keys, start, stop)) // step).sum(axis=(0, 1)))
