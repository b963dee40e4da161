"""A run as one frozen value, computed once. Every table, text, figure and file renders it."""

import gc
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from attnbench.reports.data import reading
from attnbench.reports.data.frame import table
from attnbench.reports.data.parts import Part, parts
from attnbench.reports.data.profiles import Profiled, profiled
from attnbench.reports.data.settings import Setting, settings
from attnbench.reports.data.values import FloatArray, plain
from attnbench.reports.findings import hardware, learned, lra, paired
from attnbench.reports.findings.growth import scaling
from attnbench.reports.findings.outcomes import Outcomes, outcomes
from attnbench.reports.findings.results import Results as Results
from attnbench.reports.findings.results import results
from attnbench.reports.findings.shared import Shared, shared
from attnbench.reports.findings.summary import Summary, summary
from attnbench.reports.stats.statistics import IntArray
from attnbench.suites.profile import Profile
from attnbench.suites.schema.limits import Estimate


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """Run that was read from its folder.

    The table is computed when the run is read. Everything else is computed on first use and then kept: with 10,000
    cases it may take as long as reading, and a comparison or an export does not need it.
    """

    folder: Path
    meta: Mapping[str, Any]
    """The contents of `run.json`."""
    estimate: Estimate
    """The statistic that represents a process."""
    frame: pd.DataFrame
    """One row per case, in the suite's order; see `attnbench.reports.data.frame.COLUMNS`."""
    log_ns: FloatArray
    """Each process's log time `[cases, P]`; NaN if a process has none."""
    baseline_rows: IntArray
    """The row of each case's baseline `[cases]`; -1 if it has none."""
    paired_log_ns: FloatArray
    """`log_ns` with the times of baselines that were timed again beside cases that were added later."""
    processes: tuple[tuple[int, int], ...]
    """The replicate and the part of the run of each process `[P]`."""
    scaling: pd.DataFrame
    """One row per series and setting; see `attnbench.reports.findings.growth`."""

    def __repr__(self) -> str:
        passed = int((self.frame["status"] == "passed").sum())
        return f"<Run {plain(self.meta['name'])}: {passed} of {len(self.frame)} cases passed, in {self.folder}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: question, answer, first table and first figure."""
        # By name, because what is read here does not depend on what renders it.
        shown: str = importlib.import_module("attnbench.reports.pages.notebook").html(self)
        return shown

    @property
    def several_lengths(self) -> bool:
        """Check whether lengths vary."""
        return bool(self.frame["seq_len"].nunique() > 1)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The settings in the order of the frame."""
        return tuple(settings(self.frame))

    @cached_property
    def results(self) -> tuple[Results, ...]:
        """The results of each setting."""
        return tuple(
            results(each, self.scaling, self.log_ns, self.paired_log_ns, self.baseline_rows, self._baselines)
            for each in self.settings
        )

    @cached_property
    def summary(self) -> Summary | None:
        """The first screen: the most important setting. None if no case passed."""
        return summary(self.results)

    @cached_property
    def gradients(self) -> tuple[paired.Ratio, ...]:
        """The ratios of `backward` and `training` to `forward`."""
        return tuple(paired.gradients(self.frame, self.log_ns))

    @cached_property
    def levels(self) -> tuple[paired.Ratio, ...]:
        """The ratios of levels to attention, and of what their parameters add."""
        return tuple(paired.by_level(self.frame, self.log_ns))

    @cached_property
    def threads(self) -> tuple[paired.Threads, ...]:
        """The gains from threads, for settings that differ only in them."""
        return tuple(paired.by_threads(self.frame, self.log_ns, self.scaling, self.parts))

    @cached_property
    def shared(self) -> tuple[Shared, ...]:
        """The cases whose sequence several processes share."""
        return tuple(shared(self.frame, self.log_ns))

    @cached_property
    def by_hardware(self) -> tuple[hardware.ByHardware, ...]:
        """The settings that differ in the class of hardware alone."""
        return tuple(hardware.by_hardware(self.results))

    @cached_property
    def between_machines(self) -> tuple[hardware.Spread, ...]:
        """How far the machines of a cluster differ in the times of each case."""
        return tuple(hardware.between_machines(self.settings, self.log_ns, self.processes, self.parts))

    @cached_property
    def outcomes(self) -> Outcomes:
        """The summary of how the cases ended."""
        return outcomes(self.frame, self.meta)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the run."""
        return parts(self.meta)

    @property
    def commands(self) -> tuple[str, ...]:
        """Every command that measured or merged the run, the first one first."""
        merge = (self.meta.get("merged") or {}).get("command")
        return tuple(each for each in (*(part.command for part in self.parts), merge) if each)

    @cached_property
    def arenas(self) -> tuple[lra.Arena, ...]:
        """The settings in the layout of Long Range Arena; none unless the run trains encoders at its lengths."""
        return tuple(lra.arenas(self.settings))

    @cached_property
    def learned_by_size(self) -> tuple[learned.BySize, ...]:
        """The tasks that differ in the number of examples to train with alone."""
        return tuple(learned.by_size(self.learned))

    @cached_property
    def learned(self) -> tuple[learned.Learned, ...]:
        """The tasks that models were trained on, with their scores."""
        return tuple(learned.learned(self.settings))

    @cached_property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of the cases, by key.

        Raises:
            RunError: the profiles cannot be read.
        """
        return reading.profiles(self.folder)

    @cached_property
    def profiled(self) -> tuple[Profiled, ...]:
        """The profiled series of each setting."""
        return tuple(profiled(each.setting, each.compared_at, self.profiles) for each in self.results)

    @property
    def _baselines(self) -> list[str]:
        """The suite's baselines."""
        named = self.meta["suite"].get("baseline")
        return named if isinstance(named, list) else []


def load(folder: Path) -> Run:
    """Read the run in `folder`.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    with _no_collection():
        return judged(folder, reading.read(folder))


def judged(folder: Path, journal: reading.Journal, estimate: Estimate | None = None) -> Run:
    """Build the run in `folder` from its journal, with the estimate of the journal unless another is given."""
    estimate = estimate or journal.estimate
    found = table(journal, estimate)
    grown = scaling(found.frame, found.log_ns, found.paired_log_ns, found.baseline_rows)
    return Run(folder, journal.meta, estimate, *found, grown)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Switch off the garbage collector: rows make no cycles, and searching for them takes as long as reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
