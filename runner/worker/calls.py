"""The call that is measured: inputs, and what one direction does with them."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker import compilation
from attnbench.suites import Case, Direction
from attnbench.variants import OWN, Shape, kernels
from attnbench.variants.kernels import Kernel
from attnbench.variants.kernels._oracle import Oracle


class Inputs(NamedTuple):
    """Queries `B H N D`, keys and values `B K N D`, and the gradient of the output `B H N D`, in the shape's layout."""

    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor


def inputs(shape: Shape, dtype: str, device: str, seed: int = 0) -> Inputs:
    """Standard normal tensors, the same on every run and device: drawn in float32 on the CPU, then converted.

    The layout changes where numbers lie, not which they are.
    """
    # On the CPU a copy that is kept would count against the case's memory, and might be the tensors themselves.
    drawn = _kept(shape, seed) if device == "cuda" else _drawn(shape, seed)

    def made(tensor: Tensor) -> Tensor:
        tensor = tensor.to(device=device, dtype=getattr(torch, dtype))
        return tensor.transpose(1, 2).contiguous().transpose(1, 2) if shape.layout == "bnhd" else tensor

    return Inputs(*map(made, drawn))


def _drawn(shape: Shape, seed: int) -> tuple[Tensor, ...]:
    """Standard normal float32 on the CPU: `B H N D`, twice `B K N D`, and `B H N D` again."""
    generator = torch.Generator().manual_seed(seed)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads, shape.heads)
    return tuple(torch.randn(shape.batch, each, shape.seq_len, shape.head_dim, generator=generator) for each in heads)


_kept = lru_cache(maxsize=1)(_drawn)
"""The same, of the last shape kept: drawing takes longer than most that a GPU does with it."""


def wait(device: str) -> None:
    """Until everything queued is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def input_bytes(shape: Shape, dtype: str) -> int:
    """Bytes that `inputs` holds."""
    rows = 2 * (shape.heads + shape.kv_heads) * shape.batch * shape.seq_len
    return rows * shape.head_dim * int(getattr(torch, dtype).itemsize)


def build(case: Case, shape: Shape) -> Kernel:
    """The case's kernel, made ready for `shape`."""
    if case.implementation == OWN:
        own = variants.load(case.variant).build
        if own is None:
            raise TypeError(f"{case.variant} brings no build of its own")
        return own(case.pattern, shape, case.dtype, case.device)
    return kernels.load(case.implementation).build(case.pattern, shape, case.dtype, case.device)


def reference(case: Case) -> Oracle | None:
    """What the case's variant brings as its oracle, if it does; it refuses outputs of another shape or dtype."""
    own = variants.load(case.variant).reference
    if own is None:
        return None

    def outputs(q: Tensor, k: Tensor, v: Tensor, rows: Tensor) -> Tensor:
        """Outputs `B H R D` of the queries at `rows`."""
        out = own(case.pattern, q, k, v, rows)
        expected = torch.Size((*q.shape[:2], len(rows), q.shape[3]))
        if out.shape != expected or out.dtype != q.dtype:
            found = f"{out.dtype} {list(out.shape)}"
            raise TypeError(f"reference: expected {q.dtype} {list(expected)} for {len(rows)} rows, found {found}")
        return out

    return outputs


def call(kernel: Kernel, given: Inputs, direction: Direction) -> Callable[[], object]:
    """What is timed: one call in the given direction.

    Gradients are `torch.autograd.grad(out, (q, k, v), dout)`. The graph of `backward` is made here, once, and kept.
    """
    attend = kernel.attend
    if direction == "forward":

        def forward() -> object:
            with torch.no_grad():
                return attend(given.q, given.k, given.v)

        return forward
    leaves = tuple(tensor.detach().requires_grad_() for tensor in (given.q, given.k, given.v))
    if direction == "backward":
        with compilation.kept_graph(kernel):
            out = attend(*leaves)
        return lambda: torch.autograd.grad(out, leaves, given.dout, retain_graph=True)
    return lambda: torch.autograd.grad(attend(*leaves), leaves, given.dout)


def ready(kernel: Kernel, given: Inputs, direction: Direction) -> Callable[[], object]:
    """The same call; where the kernel is compiled, that is done here, and no call that is timed does it."""
    with compilation.room(kernel):
        made = call(kernel, given, direction)
        if compilation.needed(kernel):
            made()
    return made
