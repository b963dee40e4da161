"""What a run writes down: the rows of `samples.jsonl`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from attnbench.suites.status import Status


@dataclass(frozen=True)
class Result:
    """What every row says: which case, how it ended, and why."""

    kind: ClassVar[str]

    case: str
    """The case's key."""
    status: Status
    reason: str
    """Empty when passed."""

    def __post_init__(self) -> None:
        if (self.status is Status.PASSED) == bool(self.reason):
            raise ValueError(f"a {self.status} row has the reason {self.reason!r}")

    def to_json(self) -> dict[str, Any]:
        """The row as JSON fields, its kind first."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote."""
        told = {each.name: row[each.name] for each in fields(cls) if each.name in row}
        return cls(**{**told, "status": Status(row["status"])})


@dataclass(frozen=True)
class Probe(Result):
    """What one careful look at a case found; the numbers exist only when it passed.

    Pairs and FLOPs are totals over batch and heads.
    """

    kind = "probe"

    predicted: bool = False
    """Whether `out_of_memory` was predicted, and the case not tried."""
    call_ns: float | None = None
    """An estimate of one call's duration, to plan with: not a result."""
    first_call_ns: int | None = None
    prepare_ns: int | None = None
    """Building layouts and masks."""
    prepared_bytes: int | None = None
    """Bytes that layouts and masks hold."""
    peak_bytes: int | None = None
    """Peak of the allocator over one call, inputs apart."""
    resident_bytes: int | None = None
    """Growth of the process's resident peak over one call (CPU)."""
    predicted_bytes: int | None = None
    """The implementation's own prediction of `peak_bytes`."""
    allowed_pairs: int | None = None
    computed_pairs: int | None = None
    """None where the library underneath does not say."""
    flops: int | None = None
    """Of the allowed pairs: 4, 8 or 12 times pairs times head width."""
    max_abs_error: float | None = None
    """Largest error of the output against the oracle, over all lengths checked."""


@dataclass(frozen=True)
class Sample(Result):
    """One case in one replicate: the finished unit of the Time phase."""

    kind = "sample"

    replicate: int
    calls: int = 0
    """Calls in one value."""
    values_ns: tuple[float, ...] = ()
    """Nanoseconds per call, one number a value, in the order taken."""
    warmup_calls: int = 0
    steady: bool = True
    """Whether its calls had settled when warm-up ended; true where a call is too long to be judged."""
    order: int = 0
    """Its place among the samples of its replicate, from 0: groups of cases come in random order."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote."""
        return super().from_json({**row, "values_ns": tuple(row.get("values_ns", ()))})


def from_json(row: Mapping[str, Any]) -> Probe | Sample:
    """A row of `samples.jsonl`."""
    kinds: dict[str, type[Probe] | type[Sample]] = {"probe": Probe, "sample": Sample}
    return kinds[row["kind"]].from_json(row)
