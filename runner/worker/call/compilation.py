"""Compilation in a worker: whether a kernel needs it, memory for it, and cache misses."""

from contextlib import AbstractContextManager, nullcontext

from attnbench.runner.machine import memory
from attnbench.variants.kernels import Program


def needed(program: Program) -> bool:
    """Check whether the kernel's first call compiles."""
    # Code under test may be older than this field.
    return bool(getattr(program, "compiled", False))


def room(program: Program) -> AbstractContextManager[None]:
    """Allow more memory while the kernel compiles, if it does."""
    return memory.room_to_compile() if needed(program) else nullcontext()


def kept_graph(program: Program) -> AbstractContextManager[None]:
    """Let a compiled kernel keep its graph for many backward calls; by default, the first one overwrites buffers."""
    if not needed(program):
        return nullcontext()
    import torch._functorch.config as functorch

    kept: AbstractContextManager[None] = functorch.patch(donated_buffer=False)
    return kept


def misses() -> int:
    """Return the number of graphs that this process compiled because torch's cache on disk did not have them."""
    from torch._dynamo.utils import counters

    return sum(counters["inductor"][f"fxgraph_cache_{each}"] for each in ("miss", "bypass"))
