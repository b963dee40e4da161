"""Rows of `profile.jsonl`: the profile of one case."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from attnbench.suites.fields import Bytes, Change, Count, Difference, Moment, Nanoseconds, Title, Total
from attnbench.suites.problem import found
from attnbench.suites.result import Result

OUTSIDE = "(outside operators)"
"""The operator that stands for what no operator accounts for: Python and the framework between two of them."""


@dataclass(frozen=True)
class Operator:
    """One operator over the recorded calls, per call."""

    operator: str
    calls: Total
    self_ns: Difference
    """CPU time in it, the operators that it calls left out."""
    self_cuda_ns: Difference | None
    """Time of the kernels that it launches itself; None on the CPU."""
    allocated_bytes: Total
    """What it allocates, whether freed again or not."""


@dataclass(frozen=True)
class Held:
    """What the allocator held within one call, beyond what was held before it."""

    ns: tuple[Moment, ...]
    """Since the call began."""
    bytes: tuple[Change, ...]
    """From that moment on; as many."""

    def __post_init__(self) -> None:
        if not self.ns or len(self.ns) != len(self.bytes):
            raise ValueError(f"expected as many moments as bytes, found {len(self.ns)} and {len(self.bytes)}")
        if any(after < before for before, after in pairwise(self.ns)):
            raise ValueError("expected moments in order, found one before another")


@dataclass(frozen=True)
class Step:
    """A large allocation of that call."""

    ns: Moment
    bytes: Bytes
    """Allocated by it."""
    operator: str


@dataclass(frozen=True)
class Profile(Result):
    """A case profiled; the numbers exist only when it passed. Profiling slows calls: no time here is a result."""

    kind = "profile"

    title: Title
    """The case, for people."""
    calls: Count = 0
    """Calls recorded."""
    call_ns: Nanoseconds | None = None
    """Mean time of a recorded call on the CPU."""
    operators: tuple[Operator, ...] = ()
    held: Held | None = None
    steps: tuple[Step, ...] = ()
    """The largest allocations, in order of time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch("[0-9a-f]{12}", self.case):
            # It is in names of files.
            raise ValueError(f"case: expected a key of 12 hexadecimal digits, {found(self.case)}")

    @cached_property
    def on_cuda(self) -> bool:
        """Whether kernels were recorded."""
        return any(each.self_cuda_ns is not None for each in self.operators)

    def spent_ns(self, operator: Operator) -> float:
        """The time of an operator that counts: of its kernels on CUDA, its own elsewhere."""
        return (operator.self_cuda_ns or 0.0) if self.on_cuda else operator.self_ns

    @cached_property
    def total_ns(self) -> float:
        """All operators' time that counts, in one call."""
        return sum(self.spent_ns(each) for each in self.operators)
