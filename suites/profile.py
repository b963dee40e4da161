"""What a profile of a case found: the rows of `profile.jsonl`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from attnbench.suites.result import Result

OUTSIDE = "(outside operators)"
"""The operator that stands for what no operator accounts for: Python and the framework between two of them."""


@dataclass(frozen=True)
class Operator:
    """One operator over the recorded calls, per call."""

    operator: str
    calls: float
    self_ns: float
    """CPU time in it, the operators that it calls left out."""
    self_cuda_ns: float | None
    """Time of the kernels that it launches itself; None on the CPU."""
    allocated_bytes: float
    """What it allocates, whether freed again or not."""


@dataclass(frozen=True)
class Held:
    """What the allocator held within one call, beyond what was held before it."""

    ns: tuple[float, ...]
    """Since the call began."""
    bytes: tuple[int, ...]
    """From that moment on; as many."""


@dataclass(frozen=True)
class Step:
    """A large allocation of that call."""

    ns: float
    bytes: int
    """Allocated by it."""
    operator: str


@dataclass(frozen=True)
class Profile(Result):
    """A case profiled; the numbers exist only when it passed. Profiling slows calls: no time here is a result."""

    kind = "profile"

    title: str
    """The case, for people."""
    calls: int = 0
    """Calls recorded."""
    call_ns: float | None = None
    """Mean time of a recorded call on the CPU."""
    operators: tuple[Operator, ...] = ()
    held: Held | None = None
    steps: tuple[Step, ...] = ()
    """The largest allocations, in order of time."""

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

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote."""
        held = row.get("held")
        told = {
            "operators": tuple(Operator(**each) for each in row.get("operators", ())),
            "held": Held(tuple(held["ns"]), tuple(held["bytes"])) if held else None,
            "steps": tuple(Step(**each) for each in row.get("steps", ())),
        }
        return super().from_json({**row, **told})
