"""What a session measures, and where it writes the results."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from attnbench.runner.execution.resuming import Kept
from attnbench.suites import Case, Result
from attnbench.suites.profile import Profile
from attnbench.suites.schema.suite import Suite


@dataclass(frozen=True)
class Task:
    """What to measure, and which results already exist."""

    suite: Suite
    cases: list[Case]
    replicates: Sequence[int]
    """Plans are made for the suite's own number, which may differ."""
    budget_bytes: int
    profile: bool = False
    kept: Kept = field(default_factory=Kept)
    part: int = 0
    """Number of times that the run was resumed."""
    again: Mapping[str, Set[str]] = field(default_factory=dict)
    """By case that was added to the run, the keys of its baselines that were there before. They are timed again in the
    same processes."""
    left_s: float | None = None
    """Seconds of the suite's time that are left; None: all of them."""


@dataclass(frozen=True)
class Finished:
    """Results of a task, and whether the suite's time ran out."""

    rows: tuple[Result, ...]
    """Rows of `samples.jsonl`."""
    profiles: tuple[Profile, ...]
    """Rows of `profile.jsonl`."""
    out_of_time: bool


class Book(Protocol):
    """Where a session writes. A run folder is one."""

    folder: Path

    def append(self, *rows: Result) -> None:
        """Add rows of `samples.jsonl`."""

    def log_training(self, line: str) -> None:
        """Add a line on the progress of a training."""
