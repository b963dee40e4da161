"""Rows of `samples.jsonl`: results of probes and samples, and the final status of a case."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from attnbench.suites.fields import (
    Bytes,
    Count,
    Error,
    Joules,
    Name,
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
"""End of the reason of a case that was skipped because the suite's time was spent."""
NOT_STARTED = "no worker could be started"
"""Begin of the reason of a case that failed because no worker could be started."""


class Status(StrEnum):
    """Final status of a case. All but `passed` have a reason. Numbers exist only if a case `passed`."""

    PASSED = "passed"
    WRONG = "wrong"
    """Its output or a gradient differs from the oracle by more than the tolerance."""
    OUT_OF_MEMORY = "out_of_memory"
    """It exceeded the memory budget, or was predicted to and did not run."""
    TIMED_OUT = "timed_out"
    """It did not end within its time."""
    CRASHED = "crashed"
    """Its process died."""
    FAILED = "failed"
    """It raised an error."""
    UNSUPPORTED = "unsupported"
    """It does not exist here: no such device, or the implementation does not support it."""
    SKIPPED = "skipped"
    """It did not run: a shorter one ran out of memory or time, or the suite's time was spent."""


_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT, Status.OUT_OF_MEMORY)


def is_fault(status: Status, *, predicted: bool) -> bool:
    """Check whether a status is a fault. `unsupported`, `skipped` and predicted results are not."""
    return status in _FAULTS and not predicted


@dataclass(frozen=True)
class Result:
    """Fields that every row has: the case, its status, and the reason."""

    kind: ClassVar[str]

    case: str
    """The case's key."""
    status: Status
    reason: str
    """Empty if it passed."""

    def __post_init__(self) -> None:
        if (self.status is Status.PASSED) == bool(self.reason):
            expected = "nothing where the case passed" if self.reason else f"why the case is {self.status}"
            raise ValueError(f"reason: expected {expected}, {found(self.reason)}")

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON fields, its kind first."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the row that `to_json` wrote.

        Raises:
            ValueError: it is not such a row; the message names the first wrong field.
        """
        return read(cls, row)


@dataclass(frozen=True)
class Probe(Result):
    """Result of a probe. The numbers exist only if it passed.

    Pairs and FLOPs are totals over batch and heads.
    """

    kind = "probe"

    predicted: bool = False
    """Whether `out_of_memory` was predicted, so that the case did not run."""
    call_ns: Nanoseconds | None = None
    """Estimated duration of one call, for planning only."""
    first_call_ns: WholeNanoseconds | None = None
    compile_ns: WholeNanoseconds | None = None
    """Time of a compiling first call beyond that of a later one; None if nothing is compiled."""
    compile_cached: bool | None = None
    """Whether torch's cache on disk had everything."""
    prepare_ns: WholeNanoseconds | None = None
    """Time to build layouts and masks."""
    prepared_bytes: Bytes | None = None
    """Bytes of layouts and masks."""
    state_bytes: Bytes | None = None
    """Bytes of the cache or state that a call in the direction `decode` reads."""
    peak_bytes: Bytes | None = None
    """Peak of the allocator during one call, without the inputs."""
    resident_bytes: Bytes | None = None
    """Growth of the process's resident peak during one call (CPU)."""
    rank_bytes: Bytes | None = None
    """Peak of the allocator during one call in one of the processes that share it: the largest."""
    sent_bytes: Bytes | None = None
    """Bytes that one of these processes sends to others during one call: the most."""
    predicted_bytes: Bytes | None = None
    """The implementation's prediction of `peak_bytes`."""
    budget_bytes: Bytes | None = None
    """Bytes that the case may allocate."""
    needed_bytes: tuple[tuple[Count, Bytes, Bytes | None], ...] = ()
    """Lengths, each with the bytes of a call there with its inputs, and those of weights, masks and layouts, if known.
    The call's are predicted, or measured at the case's own length; empty if unknown."""
    allowed_pairs: Count | None = None
    """None, like `flops`, if the variant has its own reference, because its work is not that of a pattern."""
    computed_pairs: Count | None = None
    """None if the library underneath does not say."""
    flops: Count | None = None
    """FLOPs of the allowed pairs: 4, 8 or 12 times pairs times head width."""
    parameter_count: Count | None = None
    """Number of learned numbers: of the mechanism, and of what stands around it. Runs of older versions do not say."""
    max_abs_error: Error | None = None
    """Largest error of the output against the oracle in float64, over all lengths checked."""
    error_vs_full: Error | None = None
    """Relative error of the mechanism against full attention, on inputs with structure."""
    error_of_mean: Error | None = None
    """The same for the mean of all values, which is a result without any attention."""
    proved: Share | None = None
    """Share of the elements of output and gradients, at the case's own length, that were checked."""
    repeats_exactly: bool | None = None
    """Whether calls on the same inputs gave the same bits."""
    ties: Count | None = None
    """Rows whose choice by content is not unique in the case's dtype, of those checked; None if nothing is chosen."""
    output_digest: str | None = None
    """Digest of the first result; None if calls on the same inputs differ in their bits."""
    proof_s: Seconds | None = None
    """Seconds of the proof: oracles, comparisons, and extra calls."""

    part: Count = 0
    """Part of the run that probed it: see `Sample.part`. Runs of older versions do not say."""
    reserved_bytes: Bytes | None = None
    """Growth of the device memory that the allocator reserves, used or not, during one call (CUDA)."""
    torch_kernel: str | None = None
    """The kernel of torch's attention that ran: `flash`, `efficient`, `cudnn` or `math`, or several, joined by `+`.

    None if none ran. Runs of older versions do not say."""


@dataclass(frozen=True)
class Sample(Result):
    """Values of one case in one replicate."""

    kind = "sample"

    replicate: Count
    calls: Count = 0
    """Calls in one value."""
    values_ns: tuple[Nanoseconds, ...] = ()
    """Nanoseconds per call, one number for each value, in the order taken."""
    warmup_calls: Count = 0
    steady: bool = True
    """Whether times were steady at the end of warm-up; true if a call is too long to judge."""
    order: Count = 0
    """Position among the samples of its replicate, from 0. Groups of cases have a random order."""
    part: Count = 0
    """Part of the run that timed it: 0, and one more each time that the run was resumed. A merged run has more."""
    again: bool = False
    """Whether the case is a baseline that was timed before, and again beside cases that were added to the run later.
    The speed-ups of those use this sample, and the case's own time does not."""
    proof_s: Seconds | None = None
    """Seconds of the proof in this process: new content before each value, and the check of the last result."""

    roof_flops_per_s: Rate | None = None
    """FLOP/s of the fastest matrix product beside the values, in their dtype and threads; None if memory is short."""
    copy_bytes_per_s: Rate | None = None
    """Bytes per second of the fastest copy there."""
    energy_j: Joules | None = None
    """Joules of one call beyond those of the idle device, of calls in a row after all values; None without a counter
    that can be read, and if it is too coarse."""

    # CUDA only.
    hot_values_ns: tuple[Nanoseconds, ...] = ()
    """Like `values_ns`, but with the L2 cache as the previous call left it. For `values_ns` it is overwritten."""
    host_ns: Nanoseconds | None = None
    """Time that the host takes to queue one call."""
    launch_bound: bool | None = None
    """Whether the host takes longer to queue a call than the device takes to run it."""
    gap_calls: Count | None = None
    """Number of timed calls whose time may include waiting for the host."""
    sm_clock_before_mhz: Count | None = None
    sm_clock_after_mhz: Count | None = None
    """Clock rate of the multiprocessors before the first value and after the last; None if NVML does not tell."""
    throttled: bool | None = None
    """Whether something lowered the clock rate after any value; None if NVML does not tell."""
    throttle_reasons: tuple[str, ...] = ()
    """What lowered the clock rate."""

    @property
    def process(self) -> tuple[int, int]:
        """Identifies the process: samples with equal values are paired. Each part of a run has its own processes."""
        return self.replicate, self.part


@dataclass(frozen=True)
class Reach:
    """How far a layer of a trained model looks, in tokens."""

    field: Error
    """Mean distance of the tokens that a token depends on after the layer's block, weighted by gradients."""
    span: Error | None = None
    """Mean distance of attention; None if the mechanism is no pattern."""
    error: Error | None = None
    """Relative error against full attention; None if the mechanism takes no queries, keys and values."""


@dataclass(frozen=True)
class Score(Sample):
    """A model that a case at level `task` trained with one seed, which is its replicate.

    `values_ns` are times of a step, each the mean of several steps.
    """

    kind = "score"

    score: Share | None = None
    """Share of the targets of the test that it gets right; None if it did not pass."""
    validation: Share | None = None
    """The same share of the validation's targets."""
    lr: Share | None = None
    """The highest learning rate."""
    searched: tuple[tuple[Share, Share], ...] = ()
    """Learning rates that were tried, each with its score on validation; empty in the later models of the case."""
    losses: tuple[Error, ...] = ()
    """Mean losses of the training, each of as many steps, in order."""
    reach: tuple[Reach, ...] = ()
    """How far each layer looks, if the suite asks for it."""
    data_sha256: Name | None = None
    """SHA-256 of the examples that it was trained with and scored by."""


def from_json(row: Mapping[str, Any]) -> Probe | Sample:
    """Return a row of `samples.jsonl` as a probe, a sample or a score, which is a sample too.

    Raises:
        ValueError: it is none of them; the message names the first wrong field.
    """
    kinds: dict[Any, type[Probe] | type[Sample]] = {"probe": Probe, "sample": Sample, "score": Score}
    return kinds[kind_of(row, kinds)].from_json(row)
