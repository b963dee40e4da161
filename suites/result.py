"""Rows of `samples.jsonl`: the results of probes and samples, and the status with which a case ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from attnbench.suites.fields import (
    Bytes,
    Count,
    Error,
    Nanoseconds,
    Rate,
    Seconds,
    Share,
    WholeNanoseconds,
    kind_of,
    read,
)
from attnbench.suites.problem import found

SPENT = "(budget.suite_s) were spent"
"""How the reason of a case ends that was skipped because the suite's time was."""
NOT_STARTED = "no worker could be started"
"""How the reason of a case begins that failed because the system refused a worker: nothing was tried."""


class Status(StrEnum):
    """The end of a case. Each but `passed` comes with a reason; numbers exist only when `passed`."""

    PASSED = "passed"
    WRONG = "wrong"
    """Its output or a gradient is further from the oracle than the tolerance."""
    OUT_OF_MEMORY = "out_of_memory"
    """It met the memory budget, or was predicted to and not tried."""
    TIMED_OUT = "timed_out"
    """It did not answer within its time."""
    CRASHED = "crashed"
    """Its process died."""
    FAILED = "failed"
    """It raised an error."""
    UNSUPPORTED = "unsupported"
    """It does not exist here: no such device, or the implementation refuses."""
    SKIPPED = "skipped"
    """It was not tried: a shorter one ran out of memory or time, or the suite's time was spent."""


_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT, Status.OUT_OF_MEMORY)


def is_fault(status: Status, *, predicted: bool) -> bool:
    """Whether a case ended as none should; `unsupported`, `skipped` and what was predicted are findings."""
    return status in _FAULTS and not predicted


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
            expected = "nothing where the case passed" if self.reason else f"why the case is {self.status}"
            raise ValueError(f"reason: expected {expected}, {found(self.reason)}")

    def to_json(self) -> dict[str, Any]:
        """The row as JSON fields, its kind first."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote.

        Raises:
            ValueError: it is none; the first field that is wrong is named.
        """
        return read(cls, row)


@dataclass(frozen=True)
class Probe(Result):
    """What one careful look at a case found; the numbers exist only when it passed.

    Pairs and FLOPs are totals over batch and heads.
    """

    kind = "probe"

    predicted: bool = False
    """Whether `out_of_memory` was predicted, and the case not tried."""
    call_ns: Nanoseconds | None = None
    """An estimate of one call's duration, to plan with: not a result."""
    first_call_ns: WholeNanoseconds | None = None
    compile_ns: WholeNanoseconds | None = None
    """What the first call took beyond a later one, where it compiles; None where nothing is compiled."""
    compile_cached: bool | None = None
    """Whether torch had all of that on disk from an earlier time."""
    prepare_ns: WholeNanoseconds | None = None
    """Building layouts and masks."""
    prepared_bytes: Bytes | None = None
    """Bytes that layouts and masks hold."""
    peak_bytes: Bytes | None = None
    """Peak of the allocator over one call, inputs apart."""
    resident_bytes: Bytes | None = None
    """Growth of the process's resident peak over one call (CPU)."""
    predicted_bytes: Bytes | None = None
    """The implementation's own prediction of `peak_bytes`."""
    allowed_pairs: Count | None = None
    """None, as `flops`, where the variant brings its own reference: that is not the work of a pattern."""
    computed_pairs: Count | None = None
    """None where the library underneath does not say."""
    flops: Count | None = None
    """Of the allowed pairs: 4, 8 or 12 times pairs times head width."""
    max_abs_error: Error | None = None
    """Largest error of the output against the oracle in float64, over all lengths checked."""
    error_vs_full: Error | None = None
    """The mechanism's relative error against full attention, on inputs with structure."""
    error_of_mean: Error | None = None
    """The same of the mean of all values, which no attention at all gives."""
    proved: Share | None = None
    """The share of the elements of the output and the gradients, at the case's own length, that the proof looked at."""
    repeats_exactly: bool | None = None
    """Whether calls on the same inputs gave the same bits."""
    output_digest: str | None = None
    """Of what the first call gave; None where calls on the same inputs differ in their bits."""
    proof_s: Seconds | None = None
    """Seconds that the proof took: oracles, comparisons, and calls that are made for them alone."""

    reserved_bytes: Bytes | None = None
    """Growth of what the allocator holds of the device, used or not, over one call (CUDA)."""


@dataclass(frozen=True)
class Sample(Result):
    """One case in one replicate: the finished unit of the Time phase."""

    kind = "sample"

    replicate: Count
    calls: Count = 0
    """Calls in one value."""
    values_ns: tuple[Nanoseconds, ...] = ()
    """Nanoseconds per call, one number a value, in the order taken."""
    warmup_calls: Count = 0
    steady: bool = True
    """Whether its calls had settled when warm-up ended; true where a call is too long to be judged."""
    order: Count = 0
    """Its place among the samples of its replicate, from 0: groups of cases come in random order."""
    part: Count = 0
    """The part of the run that timed it: 0, and one more each time that the run went on."""
    proof_s: Seconds | None = None
    """Seconds of the proof in this process: other content before each value, and the check of the last result."""

    roof_flops_per_s: Rate | None = None
    """The fastest matrix product seen beside the case's values, at its dtype and threads; None: no room for one."""
    copy_bytes_per_s: Rate | None = None
    """The fastest copy seen there."""

    # CUDA only.
    hot_values_ns: tuple[Nanoseconds, ...] = ()
    """Like `values_ns`, but the L2 cache is as the call before left it; there it is overwritten before each call."""
    host_ns: Nanoseconds | None = None
    """What the host takes to queue one call."""
    launch_bound: bool | None = None
    """Whether the host takes longer to queue a call than the device takes to run it."""
    gap_calls: Count | None = None
    """Calls whose time may contain waiting for the host, of all that were timed."""
    sm_clock_before_mhz: Count | None = None
    sm_clock_after_mhz: Count | None = None
    """The clock of the multiprocessors before the first value and after the last; None where NVML does not tell."""
    throttled: bool | None = None
    """Whether something held the clocks down after any value; None where NVML does not tell."""
    throttle_reasons: tuple[str, ...] = ()
    """What held them down."""

    @property
    def process(self) -> tuple[int, int]:
        """What it shares with the samples that it is paired with: parts of a run have processes of their own."""
        return self.replicate, self.part


def from_json(row: Mapping[str, Any]) -> Probe | Sample:
    """A row of `samples.jsonl`.

    Raises:
        ValueError: it is none; the first field that is wrong is named.
    """
    kinds: dict[Any, type[Probe] | type[Sample]] = {"probe": Probe, "sample": Sample}
    return kinds[kind_of(row, kinds)].from_json(row)
