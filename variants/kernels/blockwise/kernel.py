"""Sparse attention that computes each block of queries over only the keys it needs.

Queries are cut into blocks (`plan`; on a grid into tiles: `grid`), each with the union of its rows' keys and a small
mask. Equal blocks go through one call of torch's `scaled_dot_product_attention` (`steps`). The keys of a band of blocks
are an overlapping strided view, which copies nothing; irregular keys (random blocks, global tokens) are gathered
(`rows`). A pattern with several steps is computed in parts (`parts`), which are merged by their log-sum-exps (`merge`);
on CUDA the scores of parts are written out, without a fused kernel. Cost: 4 D FLOPs forward for every computed pair;
the plan gives the number of pairs.

Calls are cut so that what one of them gathers, and what its gradients take, stays small. That bounds the memory, and
is faster on a CPU because it fits into the caches.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting, Shape
from attnbench.variants.kernels import Program, _entries
from attnbench.variants.kernels._memory import key_bytes, query_bytes, reordered_bytes
from attnbench.variants.kernels._support import DTYPES, itemsize, refusal, sum_itemsize
from attnbench.variants.kernels.blockwise import merge, steps
from attnbench.variants.kernels.blockwise.memory import call_bytes, merged_bytes, read_in_place
from attnbench.variants.kernels.blockwise.merge import Piece
from attnbench.variants.kernels.blockwise.parts import Part, parts
from attnbench.variants.kernels.blockwise.plan import Group
from attnbench.variants.kernels.blockwise.rows import Gathered, rows
from attnbench.variants.kernels.blockwise.steps import Step

Masks = dict[tuple[int, bytes], Tensor]

_CALL_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}
"""Most bytes of keys, and as many of values, that one call gathers; on the CPU, few enough for its caches."""


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern."""
    return refusal(pattern, setting, padded=True)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, from its plan; T is a query tensor and U a key tensor.

    Forward: the output T and the largest of the fused calls. Backward: T + 2 U for the gradients (sums of dK and dV in
    float32 or wider) and the largest of the calls' gradients. Training: what all calls keep for the backward (their
    outputs, T in all, and what they gathered), the output, and a backward. Tensors in another layout are copied
    first: T + 2 U forward, which training keeps if calls read them in place, and T for the output's gradient.
    For several parts see `merged_bytes`.
    """
    if setting.shape.lengths:
        # The part of a sequence that its tokens fill is not contiguous, and is copied like another layout.
        apart = replace(setting, shape=replace(setting.shape, layout="bnhd"))
        return _entries.predict_bytes(predict_bytes, pattern, apart, threads)
    shape, dtype, device, direction = setting.shape, setting.dtype, setting.device, setting.direction
    planned = parts(pattern.spans(shape.seq_len))
    # Tensors on torch's meta device have a shape and no memory, so that the prediction itself allocates little.
    pieces = _pieces(planned, _masks(planned, shape, dtype, "meta"), shape, dtype, _CALL_BYTES[device], "meta")
    if len(pieces) > 1:
        return merged_bytes(pieces, shape, dtype, direction, device, threads)
    steps = pieces[0].steps
    calls = [call_bytes(step, shape, dtype, threads) for step in steps]
    queries, keys = query_bytes(shape, dtype), key_bytes(shape, dtype)
    copied_queries, copied_keys = reordered_bytes(shape, dtype)
    if direction == "forward":
        return queries + copied_queries + 2 * copied_keys + max(call.kept + call.forward for call in calls)
    sums = 2 * keys * sum_itemsize(dtype) // itemsize(dtype)
    rounded = 2 * keys if sums > 2 * keys else 0
    backward = copied_queries + queries + sums + max(rounded, *(call.backward for call in calls))
    heads = shape.batch * shape.kv_heads
    kept = sum(call.kept * heads // step.heads for call, step in zip(calls, steps, strict=True))
    in_place = [read_in_place(step, shape) for step in steps]
    kept += copied_queries * any(q for q, _ in in_place) + 2 * copied_keys * any(k for _, k in in_place)
    return backward if direction == "backward" else queries + kept + backward


def build(pattern: Pattern, setting: Setting) -> Program:
    """Plan the parts and their blocks, and prepare the masks and indices."""
    if setting.shape.lengths:
        return _entries.build(build, pattern, setting)
    shape, dtype, device = setting.shape, setting.dtype, setting.device
    planned = parts(pattern.spans(shape.seq_len))
    masks = _masks(planned, shape, dtype, device)
    pieces = _pieces(planned, masks, shape, dtype, _CALL_BYTES[device], device)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return steps.attend(q, k, v, pieces[0].steps) if len(pieces) == 1 else merge.attend(q, k, v, pieces)

    def without_cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Call `attend` with every kernel allowed but cuDNN's."""
        # cuDNN, which torch may prefer, builds a new plan for every shape, and the calls have many shapes.
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            return attend(q, k, v)

    pairs = shape.batch * shape.heads * sum(group.pairs for part in planned for group in part.groups)
    prepared_bytes = sum(piece.held_bytes for piece in pieces) + sum(mask.nbytes for mask in masks.values())
    return Program(without_cudnn if device == "cuda" else attend, pairs, prepared_bytes)


def _pieces(planned: list[Part], masks: Masks, shape: Shape, dtype: str, most_bytes: int, device: str) -> list[Piece]:
    """Return the parts ready to run, with their indices on `device`.

    A call gathers at most about `most_bytes`. The exceptions are groups of one block, which are not cut, and single
    blocks that are larger for one head.
    """
    pieces = []
    for part in planned:
        steps = []
        for group in part.groups:
            mask = masks[_identity(group)][:, -group.keys.shape[1] :] if group.mask.size else None
            for cut, heads in _cuts(group, shape, dtype, most_bytes):
                steps.append(Step(rows(cut.rows, device), rows(cut.keys, device), mask, heads))
        keys = None if part.keys is None else Gathered(torch.from_numpy(part.keys[None]).to(device))
        pieces.append(Piece(steps, keys))
    return pieces


def _masks(planned: list[Part], shape: Shape, dtype: str, device: str) -> Masks:
    """Return the masks of all groups: booleans, or if several parts are merged, numbers to add to the scores."""
    groups = [group for part in planned for group in part.groups]
    masks = _whole_masks(groups, shape.heads // shape.kv_heads, device)
    if len(planned) == 1:
        return masks
    return {
        identity: torch.zeros(mask.shape, dtype=DTYPES[dtype], device=device).masked_fill_(~mask, -torch.inf)
        for identity, mask in masks.items()
    }


def _whole_masks(groups: list[Group], repeats: int, device: str) -> Masks:
    """Return the masks, each as wide as the widest group that shares it, repeated for query heads that share keys.

    Groups share a mask if theirs differ only in the number of leading keys that every row sees. With keys unlimited to
    the left, each block has more of those than the block before it, and separate masks would take N^2 / 2 bytes.
    """
    widest: dict[tuple[int, bytes], Group] = {}
    for group in (each for each in groups if each.mask.size):
        known = widest.setdefault(_identity(group), group)
        if group.keys.shape[1] > known.keys.shape[1]:
            widest[_identity(group)] = group
    masks = {}
    for identity, group in widest.items():
        mask = np.ones((group.rows.shape[1], group.keys.shape[1]), np.bool_)
        mask[:, mask.shape[1] - group.mask.shape[1] :] = group.mask
        masks[identity] = torch.from_numpy(np.tile(mask, (repeats, 1))).to(device)
    return masks


def _identity(group: Group) -> tuple[int, bytes]:
    """Return a value that is equal for groups that can share a mask."""
    return group.rows.shape[1], group.mask.tobytes()


def _cuts(group: Group, shape: Shape, dtype: str, most_bytes: int) -> Iterator[tuple[Group, int]]:
    """Cut a group into calls; yield some of its blocks, and the number of key heads of a call."""
    blocks, width = group.keys.shape
    heads = shape.batch * shape.kv_heads
    if blocks == 1:
        yield group, heads
        return
    # A call takes either some blocks of one head, or all blocks of as many heads as fit.
    limit = max(1, most_bytes // (width * shape.head_dim * itemsize(dtype)))
    for block in range(0, blocks, limit):
        part = Group(group.rows[block : block + limit], group.keys[block : block + limit], group.mask)
        yield part, min(heads, max(1, limit // blocks))
