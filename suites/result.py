"""What a run writes down: the rows of `samples.jsonl`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
        told = {name: row[name] for name in cls.__match_args__ if name in row}
        told["status"] = Status(row["status"])
        return cls(**told)


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
    compile_ns: int | None = None
    """What the first call took beyond a later one, where it compiles; None where nothing is compiled."""
    compile_cached: bool | None = None
    """Whether torch had all of that on disk from an earlier time."""
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
    """None, as `flops`, where the variant brings its own reference: that is not the work of a pattern."""
    computed_pairs: int | None = None
    """None where the library underneath does not say."""
    flops: int | None = None
    """Of the allowed pairs: 4, 8 or 12 times pairs times head width."""
    max_abs_error: float | None = None
    """Largest error of the output against the oracle in float64, over all lengths checked."""
    proved: float | None = None
    """The share of the elements of the output and the gradients, at the case's own length, that the proof looked at."""
    repeats_exactly: bool | None = None
    """Whether calls on the same inputs gave the same bits."""
    output_digest: str | None = None
    """Of what the first call gave; None where calls on the same inputs differ in their bits."""
    proof_s: float | None = None
    """Seconds that the proof took: oracles, comparisons, and calls that are made for them alone."""

    reserved_bytes: int | None = None
    """Growth of what the allocator holds of the device, used or not, over one call (CUDA)."""


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
    part: int = 0
    """The part of the run that timed it: 0, and one more each time that the run went on."""
    proof_s: float | None = None
    """Seconds of the proof in this process: other content before each value, and the check of the last result."""

    roof_flops_per_s: float | None = None
    """The fastest matrix product seen beside the case's values, at its dtype and threads; None: no room for one."""
    copy_bytes_per_s: float | None = None
    """The fastest copy seen there."""

    # CUDA only.
    hot_values_ns: tuple[float, ...] = ()
    """Like `values_ns`, but the L2 cache is as the call before left it; there it is overwritten before each call."""
    host_ns: float | None = None
    """What the host takes to queue one call."""
    launch_bound: bool | None = None
    """Whether the host takes longer to queue a call than the device takes to run it."""
    gap_calls: int | None = None
    """Calls whose time may contain waiting for the host, of all that were timed."""
    sm_clock_before_mhz: int | None = None
    sm_clock_after_mhz: int | None = None
    """The clock of the multiprocessors before the first value and after the last; None where NVML does not tell."""
    throttled: bool | None = None
    """Whether something held the clocks down after any value; None where NVML does not tell."""
    throttle_reasons: tuple[str, ...] = ()
    """What held them down."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote."""
        several = ("values_ns", "hot_values_ns", "throttle_reasons")
        return super().from_json({**row, **{name: tuple(row.get(name, ())) for name in several}})

    @property
    def process(self) -> tuple[int, int]:
        """What it shares with the samples that it is paired with: parts of a run have processes of their own."""
        return self.replicate, self.part


def from_json(row: Mapping[str, Any]) -> Probe | Sample:
    """A row of `samples.jsonl`."""
    kinds: dict[str, type[Probe] | type[Sample]] = {"probe": Probe, "sample": Sample}
    return kinds[row["kind"]].from_json(row)
