"""Compilation as seen from a worker: whether a kernel needs it, how long it may take, and whether it is done."""

from contextlib import AbstractContextManager, nullcontext

from attnbench.runner.machine import memory
from attnbench.variants.kernels import Program


def needed(program: Program) -> bool:
    """Whether the kernel's first call compiles."""
    # A kernel of a revision under test may be older than the field.
    return bool(getattr(program, "compiled", False))


def room(program: Program) -> AbstractContextManager[None]:
    """Memory for the compiler, where the kernel needs one."""
    return memory.room_to_compile() if needed(program) else nullcontext()


def kept_graph(program: Program) -> AbstractContextManager[None]:
    """What a compiled kernel does in here leaves a graph for many backward calls; else the first one overwrites it."""
    if not needed(program):
        return nullcontext()
    import torch._functorch.config as functorch

    kept: AbstractContextManager[None] = functorch.patch(donated_buffer=False)
    return kept


def misses() -> int:
    """Graphs that this process compiled because torch's cache on disk did not hold them."""
    from torch._dynamo.utils import counters

    return sum(counters["inductor"][f"fxgraph_cache_{each}"] for each in ("miss", "bypass"))
