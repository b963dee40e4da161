"""A run as one frozen value, computed once: every table, text, figure and file is a rendering of it."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from attnbench.reports.data import lengths, paired, reading
from attnbench.reports.data.frame import table
from attnbench.reports.data.growth import scaling
from attnbench.reports.data.outcomes import Outcomes, outcomes
from attnbench.reports.data.profiles import Profiled, profiled
from attnbench.reports.data.settings import Setting, comparison_length, scaled, settings
from attnbench.reports.data.sweeps import Sweep, common_density, sweeps
from attnbench.reports.data.values import FloatArray
from attnbench.suites.profile import Profile
from attnbench.suites.schema.limits import Estimate


@dataclass(frozen=True, eq=False)
class Results:
    """What a run says of one setting."""

    setting: Setting
    baseline: str
    """The name of the series that the others are compared with, or nothing."""
    several_lengths: bool
    compared_at: int
    """The length that series are compared at; 0 where no case passed."""
    growth: list[tuple[str, pd.Series]]
    """Each series with its row of the run's `scaling`."""
    fastest: lengths.Fastest | None
    standing: lengths.Standing
    peaks: lengths.Peaks | None
    realised: pd.DataFrame
    sweeps: tuple[Sweep, ...]
    """The sweeps over keys per query."""
    density: float | None
    """The lowest that all sweeps reach; None where there is none."""

    @property
    def passed(self) -> bool:
        """Whether any case did."""
        return self.fastest is not None


@dataclass(frozen=True, eq=False)
class Run:
    """A run, read and computed.

    The table is computed when the run is read. What is said beyond it is computed when it is first asked for, and
    kept: of 10,000 cases that may take as long as reading them, and a comparison or an export needs none of it.
    """

    folder: Path
    meta: Mapping[str, Any]
    """The contents of `run.json`."""
    estimate: Estimate
    """What represents a process."""
    frame: pd.DataFrame
    """One row per case, in the suite's order; see `attnbench.reports.data.frame.COLUMNS`."""
    log_ns: FloatArray
    """Each process's log time, `[cases, P]`, NaN where a process has none."""
    scaling: pd.DataFrame
    """One row per series and setting; see `attnbench.reports.data.growth`."""

    @property
    def several_lengths(self) -> bool:
        """Whether lengths vary."""
        return bool(self.frame["seq_len"].nunique() > 1)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The settings in the order of the frame."""
        return tuple(settings(self.frame))

    @cached_property
    def results(self) -> tuple[Results, ...]:
        """What is said of each setting."""
        return tuple(self._results(each) for each in self.settings)

    @cached_property
    def gradients(self) -> tuple[paired.Gradient, ...]:
        """What `backward` and `training` take against `forward`."""
        return tuple(paired.gradients(self.frame, self.log_ns))

    @cached_property
    def threads(self) -> tuple[paired.Threads, ...]:
        """What threads buy, for settings that differ by them alone."""
        return tuple(paired.by_threads(self.frame, self.log_ns, self.meta["environment"]))

    @cached_property
    def outcomes(self) -> Outcomes:
        """How the cases ended."""
        return outcomes(self.frame, self.meta)

    @cached_property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of its cases, by key.

        Raises:
            RunError: they cannot be read.
        """
        return reading.profiles(self.folder)

    @cached_property
    def profiled(self) -> tuple[Profiled, ...]:
        """The series of each setting that were profiled."""
        return tuple(profiled(each.setting, each.compared_at, self.profiles) for each in self.results)

    def _results(self, setting: Setting) -> Results:
        frame = setting.frame
        n = comparison_length(frame) if (frame["status"] == "passed").any() else 0
        found = sweeps(frame, self.log_ns)
        return Results(
            setting,
            baseline=next(filter(None, frame["baseline"]), ""),
            several_lengths=bool(frame["seq_len"].nunique() > 1),
            compared_at=n,
            growth=scaled(self.scaling, setting),
            fastest=lengths.fastest(frame, self.log_ns),
            standing=lengths.standing(frame, n),
            peaks=lengths.peaks(frame, n),
            realised=lengths.realised(frame, n),
            sweeps=found,
            density=common_density(found) if found else None,
        )


def load(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    with _no_collection():
        return judged(folder, reading.read(folder))


def judged(folder: Path, journal: reading.Journal, estimate: Estimate | None = None) -> Run:
    """The run in `folder`, which left this journal; a process is represented by its own estimate, or by another."""
    estimate = estimate or journal.estimate
    frame, log_ns, baseline_rows = table(journal, estimate)
    return Run(folder, journal.meta, estimate, frame, log_ns, scaling(frame, log_ns, baseline_rows))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold Python's garbage collector back: rows make no cycles, and looking for them takes as long as reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
