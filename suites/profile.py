"""Rows of `profile.jsonl`: the profile of one case."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from attnbench.suites.fields import Bytes, Change, Count, Difference, Moment, Nanoseconds, Title, Total
from attnbench.suites.problem import found
from attnbench.suites.result import Result

OUTSIDE = "(outside operators)"
"""Stands for time outside all operators: Python, and the framework between two operators."""


@dataclass(frozen=True)
class Operator:
    """One operator, with means per recorded call."""

    operator: str
    calls: Total
    self_ns: Difference
    """CPU time in the operator, without the operators that it calls."""
    self_cuda_ns: Difference | None
    """Time of the kernels that it launches itself; None on the CPU."""
    allocated_bytes: Total
    """Bytes that it allocates, even if they are freed again."""


@dataclass(frozen=True)
class Held:
    """Memory held within one call, beyond what was held before it."""

    ns: tuple[Moment, ...]
    """Times since the call began."""
    bytes: tuple[Change, ...]
    """Bytes held from each time on."""

    def __post_init__(self) -> None:
        if not self.ns or len(self.ns) != len(self.bytes):
            raise ValueError(f"expected as many moments as bytes, found {len(self.ns)} and {len(self.bytes)}")
        if any(after < before for before, after in pairwise(self.ns)):
            raise ValueError("expected moments in order, found one before another")


@dataclass(frozen=True)
class Step:
    """A large allocation in that call."""

    ns: Moment
    bytes: Bytes
    """Bytes allocated."""
    operator: str


@dataclass(frozen=True)
class Profile(Result):
    """Profile of a case. The numbers exist only if it passed. Profiling slows calls, so no time here is a result."""

    kind = "profile"

    title: Title
    """Title of the case."""
    calls: Count = 0
    """Number of recorded calls."""
    call_ns: Nanoseconds | None = None
    """Mean time of a recorded call on the CPU."""
    operators: tuple[Operator, ...] = ()
    held: Held | None = None
    steps: tuple[Step, ...] = ()
    """The largest allocations, in order of time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch("[0-9a-f]{12}", self.case):
            # The key becomes part of file names, so it must not contain a path.
            raise ValueError(f"case: expected a key of 12 hexadecimal digits, {found(self.case)}")

    @cached_property
    def on_cuda(self) -> bool:
        """Whether CUDA kernels were recorded."""
        return any(each.self_cuda_ns is not None for each in self.operators)

    def spent_ns(self, operator: Operator) -> float:
        """Return the relevant time of an operator: that of its kernels on CUDA, its own time on the CPU."""
        return (operator.self_cuda_ns or 0.0) if self.on_cuda else operator.self_ns

    @cached_property
    def total_ns(self) -> float:
        """Sum of the relevant times of all operators in one call."""
        return sum(self.spent_ns(each) for each in self.operators)
