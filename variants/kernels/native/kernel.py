"""`native`: attention over the keys of a pattern in C++, on a CPU.

A tile of up to 64 queries takes the keys that it needs in chunks of up to 512 (`plan`). Scores are held transposed, one
key a row and one query a lane, so that softmax works on vectors of queries without sums across a vector:

    S^T = K Q^T,   P^T = 2^(c S^T - m),   O^T += V^T P^T

Products are torch's own small ones (oneDNN's `brgemm`), in float32, or in bfloat16 where the CPU has instructions for
it. float16, and bfloat16 elsewhere, are converted to float32 tile by tile. The backward pass computes the scores again
from log-sum-exps. Cost: 4 D FLOPs forward for every computed pair, 12 D in training.

The source is in `source/`. It is compiled at first use, for this CPU (`_building`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting, Shape
from attnbench.variants.kernels import Program, _building, _entries
from attnbench.variants.kernels._memory import key_bytes, query_bytes
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.kernels.native import library
from attnbench.variants.kernels.native.library import Prepared
from attnbench.variants.kernels.native.plan import BLOCK, CHUNK, Pass, plan


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern on an x86-64 CPU with a C++ compiler, in every dtype but float64."""
    refused = refusal(pattern, setting, padded=True)
    if refused is None and setting.device != "cpu":
        refused = f"native computes on a cpu, found {setting.device}"
    if refused is None and setting.dtype == "float64":
        refused = "native computes in float32, float16 or bfloat16, found float64"
    return refused or _building.known_problem()


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call; T is a query tensor, U a key tensor and L the log-sum-exps.

    Forward: T + L and the largest workspace of a pass. Backward: T + 2 U and the largest workspace. Training: T + L
    and a backward.
    """
    if setting.shape.lengths:
        return _entries.predict_bytes(predict_bytes, pattern, setting, threads)
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    passes = plan(pattern.spans(shape.seq_len))
    pairs = _in_pairs(dtype, shape)
    out = query_bytes(shape, dtype) + 4 * shape.batch * shape.heads * shape.seq_len
    if direction == "forward":
        return out + max(threads * _forward_bytes(each, dtype, pairs, shape.head_dim) for each in passes)
    gradients = query_bytes(shape, dtype) + 2 * key_bytes(shape, dtype)
    gradients += max(_backward_room(each, dtype, pairs, shape, threads) for each in passes)
    return gradients if direction == "backward" else out + gradients


def build(pattern: Pattern, setting: Setting) -> Program:
    """Plan the passes."""
    if setting.shape.lengths:
        return _entries.build(build, pattern, setting)
    shape = setting.shape
    planned = plan(pattern.spans(shape.seq_len))
    native = Native(planned, setting)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        q, k, v = (_rows_contiguous(each) for each in (q, k, v))
        if torch.is_grad_enabled() and any(each.requires_grad for each in (q, k, v)):
            out: Tensor = _Differentiable.apply(q, k, v, native)  # type: ignore[no-untyped-call]  # so in torch
            return out
        return native.forward(q, k, v)[0]

    computed = shape.batch * shape.heads * sum(each.pairs for each in planned)
    return Program(attend, computed, sum(each.held_bytes for each in native.passes))


class Native:
    """The compiled functions with a plan, for a setting."""

    def __init__(self, planned: Sequence[Pass], setting: Setting) -> None:
        self.passes = [Prepared(each) for each in planned]
        self._planned = planned
        self._setting = setting
        # A later pass merges its results into those that are there, and a query may have no keys at all.
        self._whole = len(planned) == 1 and len(planned[0].rows) == setting.shape.seq_len
        self._ready: dict[int, _Ready] = {}

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs `B H N D` and the log-sum-exps `B H N`, to base 2."""
        ready = self._for_threads()
        out = torch.empty_like(q) if self._whole else torch.zeros_like(q)
        sums = torch.empty(q.shape[:3]) if self._whole else torch.full(q.shape[:3], -torch.inf)
        room = torch.empty(ready.forward_bytes, dtype=torch.uint8)
        for each in self.passes:
            library.forward(each, ready.asked, (q, k, v), out, sums, room)
        return out, sums

    def backward(self, given: Sequence[Tensor], sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return dQ, dK and dV, from q, k, v, the outputs and their gradient."""
        ready = self._for_threads()
        found = torch.zeros_like(given[0]), torch.zeros_like(given[1]), torch.zeros_like(given[2])
        room = torch.empty(ready.backward_bytes, dtype=torch.uint8)
        for each in self.passes:
            library.backward(each, ready.asked, given, sums, found, room)
        return found

    def _for_threads(self) -> "_Ready":
        """Return what depends on the number of threads, which is computed once for each number."""
        threads = torch.get_num_threads()
        if threads not in self._ready:
            shape, dtype = self._setting.shape, self._setting.dtype
            pairs = _in_pairs(dtype, shape)
            forward = max(threads * _forward_bytes(each, dtype, pairs, shape.head_dim) for each in self._planned)
            backward = max(_backward_room(each, dtype, pairs, shape, threads) for each in self._planned)
            self._ready[threads] = _Ready(library.Asked(dtype, pairs, shape, threads), forward, backward)
        return self._ready[threads]


class _Ready(NamedTuple):
    """Types, sizes and threads, and the bytes of all threads' memory, which torch's allocator counts."""

    asked: library.Asked
    forward_bytes: int
    backward_bytes: int


class _Differentiable(torch.autograd.Function):
    """`Native.forward` with gradients."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, native: Native) -> Tensor:
        """Return the outputs."""
        out, sums = native.forward(q, k, v)
        ctx.native = native
        ctx.save_for_backward(q, k, v, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV."""
        *given, sums = ctx.saved_tensors
        return *ctx.native.backward((*given, _rows_contiguous(dout)), sums), None


def _rows_contiguous(tensor: Tensor) -> Tensor:
    """Return the tensor, copied if the numbers of a row are not neighbours in memory."""
    return tensor if tensor.stride(3) == 1 or tensor.shape[3] == 1 else tensor.contiguous()


def _in_pairs(dtype: str, shape: Shape) -> bool:
    """Check whether products are in bfloat16, which takes pairs of numbers. Before the build this is an estimate."""
    if dtype != "bfloat16" or shape.head_dim % 2:
        return False
    if _building.is_built():
        return library.multiplies_bfloat16()
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def _forward_bytes(planned: Pass, dtype: str, pairs: bool, width: int) -> int:
    """Return the bytes of one thread's memory in a forward pass: `ForwardSpace` in `source/forward.h`."""
    product, converts = (2 if pairs else 4), itemsize(dtype) != (2 if pairs else 4)
    tile, scores = BLOCK * width, BLOCK * (CHUNK + BLOCK)
    return _taken(
        product * tile,
        product * planned.slots * tile,
        product * planned.slots * tile * converts,
        product * scores * pairs,
        4 * scores,
        4 * tile,
        *4 * [4 * BLOCK],
        8 * planned.slots,
        32 * (CHUNK + BLOCK),
    )


def _backward_bytes(planned: Pass, dtype: str, pairs: bool, width: int) -> int:
    """Return the bytes of one thread's memory in a backward pass: `BackwardSpace` in `source/backward.h`."""
    product, converts = (2 if pairs else 4), itemsize(dtype) != (2 if pairs else 4)
    tile, slots, scores = BLOCK * width, BLOCK * width * planned.slots, BLOCK * BLOCK
    return _taken(
        *4 * [product * tile],
        product * slots,
        *2 * [product * slots * converts],
        *3 * [product * scores * pairs],
        *2 * [4 * scores],
        *2 * [4 * slots],
        4 * tile,
        *2 * [4 * BLOCK],
        8 * planned.slots,
    )


def _backward_room(planned: Pass, dtype: str, pairs: bool, shape: Shape, threads: int) -> int:
    """Return the bytes of all threads' memory in a backward pass.

    A thread that begins within a head sums its share of dK and dV apart.
    """
    spills = sum(shape.batch * shape.kv_heads * thread % threads > 0 for thread in range(1, threads))
    spill = 2 * 4 * shape.seq_len * shape.head_dim
    return threads * _backward_bytes(planned, dtype, pairs, shape.head_dim) + spills * spill


def _taken(*sizes: int) -> int:
    """Return the bytes of arrays that each begin at a multiple of 64."""
    return sum(-(-size // 64) * 64 for size in sizes)
