"""The fields of `run.json`. Other fields are kept as they are."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from attnbench.suites.case import Case
from attnbench.suites.fields import Bytes, Count, FromJson, Name, Range, read
from attnbench.suites.schema.limits import Check, Estimate
from attnbench.variants import MOST_THREADS

FORMAT = 1
"""The `format` of `run.json`."""
AGAIN = 2
"""The format of a run that timed baselines again beside added cases. An older reader would mix up their samples."""


@dataclass(frozen=True)
class Environment:
    """Facts of a machine that are used beyond showing and comparing them."""

    commit: Name | None = None
    python: Name | None = None
    torch: Name | None = None
    cpu: Name | None = None
    gpu: Name | None = None
    threads: Annotated[int, Range(1, MOST_THREADS)] | Literal["auto"] | None = None
    memory_bytes: Bytes | None = None


@dataclass(frozen=True)
class Planned:
    """A case of the run, its key, the keys of its baselines, and the label and family of its mechanism when it ran.

    `baselines` is empty if the suite names one baseline at most. `part` is the part with which the case came into the
    run: above 0 if a resumed run had a suite with more cases.
    """

    key: Name
    case: Case
    baseline: Name | None
    label: Name | None = None
    baselines: tuple[Name, ...] = ()
    family: Name | None = None
    part: Count = 0

    @classmethod
    def read(cls, row: Any) -> Self:
        """Return the case in a row of `cases`.

        Raises:
            ValueError: it is not a case; the message names the first wrong field.
        """
        case = Case.read(row)
        return read(cls, {**row, "case": case})


@dataclass(frozen=True)
class Thumbnail:
    """Picture of a pattern: `n` rows of `n` bits, in hexadecimal digits."""

    label: Name
    n: Annotated[int, Range(1, 4096)]
    rows: tuple[str, ...]
    seq_len: Count | None = None

    def __post_init__(self) -> None:
        try:
            sizes = {len(bytes.fromhex(row)) for row in self.rows}
        except ValueError:
            raise ValueError("rows: expected hexadecimal digits, found others") from None
        if len(self.rows) != self.n or sizes != {-(-self.n // 8)}:
            found = f"{len(self.rows)} rows of {sorted(sizes)} bytes for n = {self.n}"
            raise ValueError(f"expected a picture of n rows of n bits, found {found}")


@dataclass(frozen=True)
class InputFile:
    """The file of a suite's `inputs`: its name as in the suite, and the hash of its content."""

    file: Name
    sha256: Name


@dataclass(frozen=True)
class Revision:
    """The commit of the project in which `bench run` was called, `+` if tracked files had changed, and its date."""

    commit: Name
    date: Name


@dataclass(frozen=True)
class Part:
    """A later part of a run, which was resumed or merged: when and where it ran, and what had changed."""

    started: str
    processes: Count
    """The number of processes that each case has after it."""
    environment: Environment
    changed: dict[str, tuple[Any, Any]]
    finished: Name | None = None
    """None if it did not finish, or an older version ran it."""
    command: str = ""
    shard: Name | None = None
    merged: bool = False
    """Whether it was a run of its own."""
    node: Name | None = None
    """The machine of a cluster that it is."""


@dataclass(frozen=True)
class Merged:
    """How a run was made of others."""

    command: str
    at: Name


@dataclass(frozen=True)
class Measured:
    """Settings of the measurement that a report needs."""

    estimate: Estimate = "median"
    """Runs of version 0.1 do not have this field. They used the median."""


@dataclass(frozen=True)
class Policy:
    """Parts of a suite that a report needs."""

    check: Check = field(default_factory=Check)
    measure: Measured = field(default_factory=Measured)


@dataclass(frozen=True)
class RunFile:
    """All fields."""

    format: Literal[1, 2]
    name: Name
    question: str
    command: str
    suite: Policy
    source: str
    environment: Environment
    cases: tuple[Annotated[Planned, FromJson(Planned.read)], ...]
    patterns: tuple[Thumbnail, ...]
    started: Name | None = None
    finished: Name | None = None
    first_finished: Name | None = None
    """When the first part of several finished."""
    shard: Name | None = None
    """The shard of the suite, such as `2/5`, that the first part measured."""
    revision: Revision | None = None
    seed: Count = 0
    budget_bytes: Bytes | None = None
    inputs: InputFile | None = None
    node: Name | None = None
    """The machine of a cluster that the first part is."""
    resumed: tuple[Part, ...] = ()
    merged: Merged | None = None

    def __post_init__(self) -> None:
        if len({each.key for each in self.cases}) < len(self.cases):
            raise ValueError("cases: expected each key once, found one twice")
