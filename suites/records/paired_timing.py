"""Rows of `bench ab` and `bench selftest`, with the fields of each kind of row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from attnbench.suites.case import Case
from attnbench.suites.fields import (
    Bytes,
    Count,
    FromJson,
    LogRatio,
    Moment,
    Name,
    Nanoseconds,
    Range,
    Seconds,
    kind_of,
    read,
)
from attnbench.suites.records.run_json import Environment
from attnbench.suites.result import Probe, Status
from attnbench.suites.schema.limits import Check

AB = "ab.jsonl"
SELFTEST = "selftest.jsonl"


@dataclass(frozen=True)
class Pairs:
    """Number of pairs of processes in each stage. Fewer than three decide nothing."""

    screen: Annotated[int, Range(3, 10_000)]
    confirm: Annotated[int, Range(3, 10_000)]


@dataclass(frozen=True)
class Revision:
    """One side of a comparison."""

    name: Name
    commit: Name


@dataclass(frozen=True)
class Revisions:
    """Both sides."""

    A: Revision
    B: Revision


@dataclass(frozen=True)
class Surroundings:
    """One side of a comparison of environments: what it was asked for, and what was found in it."""

    name: Name
    variables: dict[str, str]
    packages: dict[Name, str]
    """The version of each package."""
    facts: Environment


@dataclass(frozen=True)
class Environments:
    """Both sides."""

    A: Surroundings
    B: Surroundings


@dataclass(frozen=True)
class Labelled:
    """A case and its label. The label is stored because the variant may not be available here."""

    label: Name
    case: Case

    @classmethod
    def read(cls, row: Any) -> Self:
        """Return the case in a row of `cases`.

        Raises:
            ValueError: it is not a case; the message names the first wrong field.
        """
        case = Case.read(row)
        return read(cls, {**row, "case": case})


@dataclass(frozen=True)
class Asked:
    """The suite of a comparison."""

    name: Name


@dataclass(frozen=True)
class Compared:
    """The row `environment` of a comparison, of either revisions or environments."""

    facts: Environment
    pairs: Pairs
    policy: Check
    command: str
    cases: tuple[Annotated[Labelled, FromJson(Labelled.read)], ...]
    revisions: Revisions | None = None
    environments: Environments | None = None
    suite: Asked | None = None

    def __post_init__(self) -> None:
        if (self.revisions is None) == (self.environments is None):
            raise ValueError("expected either revisions or environments")


@dataclass(frozen=True)
class Probed:
    """A case probed on one side."""

    arm: Literal["A", "B"]
    probe: Probe
    imports: dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A pair of processes."""

    stage: Literal["same", "screen", "confirm"]
    ratios: dict[Name, LogRatio]
    ended: dict[Name, tuple[str, Status, str]]


@dataclass(frozen=True)
class OutOfTime:
    """The suite's time is spent."""

    suite_s: Seconds


@dataclass(frozen=True)
class Finished:
    """The comparison is complete."""


@dataclass(frozen=True)
class Selftested:
    """The row `environment` of a self-test."""

    facts: Environment
    pairs: Pairs


@dataclass(frozen=True)
class Tried:
    """A case of a self-test."""

    key: Name
    case: Annotated[Case, FromJson(Case.read)]
    probe: Probe


@dataclass(frozen=True)
class Overhead:
    """Overhead of the timed loop."""

    calls: Count
    empty_ns: Moment
    value_ns: Nanoseconds


@dataclass(frozen=True)
class Agreement:
    """Pairs of times by attnbench's clock and by torch's timer."""

    pairs_ns: dict[Name, Annotated[tuple[tuple[Nanoseconds, Nanoseconds], ...], Range(1, 10**6)]]


@dataclass(frozen=True)
class Memory:
    """Peak, FLOPs and computed pairs of some cases in one process."""

    peak_flops_pairs: dict[Name, tuple[Bytes | None, Count | None, Count | None]]


@dataclass(frozen=True)
class Decided:
    """Ratios of both stages of one run."""

    run: Count
    slowdown: Annotated[float, Range(0.0, 1.0)]
    screen: dict[Name, tuple[LogRatio, ...]]
    confirm: dict[Name, tuple[LogRatio, ...]]
    wall_s: Annotated[float, Range(1e-9, 1e9)]
    parent_cpu_s: Seconds


_KINDS: Mapping[str, Mapping[str, type]] = {
    AB: {
        "environment": Compared,
        "probe": Probed,
        "pair": Pair,
        "out_of_time": OutOfTime,
        "finished": Finished,
    },
    SELFTEST: {
        "environment": Selftested,
        "case": Tried,
        "overhead": Overhead,
        "agreement": Agreement,
        "memory": Memory,
        "decision": Decided,
    },
}


def checked(file: str, row: Any) -> dict[str, Any]:
    """Check a row of a file of this name, and return it unchanged.

    Raises:
        ValueError: the row is invalid; the message names the first wrong field.
    """
    kinds = _KINDS[file]
    read(kinds[kind_of(row, kinds)], row)
    told: dict[str, Any] = row
    return told
