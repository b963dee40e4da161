"""Units: what a run gives to one machine at a time, and which of them wait."""

import random
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from attnbench.runner.execution.resuming import Kept
from attnbench.runner.execution.task import Task
from attnbench.runner.plan.remaining_time import trains
from attnbench.suites import Case, Probe, Result, Sample, Status
from attnbench.suites.result import Score
from attnbench.variants import ONE_CLASS, levels
from attnbench.variants.levels._learning import Learning

MOST_LOSSES = 5
"""A unit whose machine was lost this often is given up."""


@dataclass(frozen=True)
class Unit:
    """One replicate of a sweep over lengths, or of one training; or the probes of a sweep.

    A sweep is all cases whose settings differ in their length alone. One process walks it, as on one machine.
    """

    cases: tuple[Case, ...]
    replicate: int | None
    """None: the cases are probed and not timed."""
    losses: int = 0
    """How often its machine was lost."""

    @property
    def device(self) -> str:
        """The device of its cases."""
        return self.cases[0].setting.device

    @property
    def hardware(self) -> str:
        """The class of hardware on which it must be measured; `ONE_CLASS`: any that the run has."""
        return self.cases[0].setting.hardware

    @property
    def name(self) -> str:
        """Its first case, and what is done with it."""
        more = f" and {len(self.cases) - 1} more" if len(self.cases) > 1 else ""
        work = "probe" if self.replicate is None else f"process {self.replicate + 1}"
        return f"{work}: {self.cases[0].title}{more}"


class Units:
    """The units of a task: those that wait, and the results of those that are done.

    Probes come first, because what is timed must be proved. A machine gets the next unit of its own class.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.probes = dict(task.kept.probes)
        self.samples = {key: dict(each) for key, each in task.kept.samples.items()}
        self.done = 0
        self._waiting: list[Unit] = []
        self._at_work = 0
        self._many = Counter[tuple[str, bool]]()
        """How many units of each kind wait."""
        self._took_s: dict[tuple[str, bool], list[float]] = {}
        for cases in _sweeps(task.cases):
            probed = all(case.key in self.probes for case in cases)
            self._add(*(self._replicates(cases) if probed else [Unit(cases, None)]))
        self._probes = self._probes_left = sum(unit.replicate is None for unit in self._waiting)

    @property
    def left(self) -> int:
        """The number of units that wait or are at work."""
        return len(self._waiting) + self._at_work

    @property
    def total(self) -> int:
        """The number of all units. Those of cases that are not probed yet are expected to pass."""
        return self.done + self.left + self._probes_left * len(self.task.replicates)

    @property
    def timed(self) -> tuple[int, int]:
        """How many units are done that time cases, and how many of these there are."""
        return self.done - self._probes + self._probes_left, self.total - self._probes

    def left_s(self, machines: int) -> float | None:
        """Seconds left on some machines, from units of the same cases or else of the same kind; None before any."""
        known = {what: sum(each) / len(each) for what, each in self._took_s.items()}
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        waiting = sum(many * known.get(what, usual) for what, many in self._many.items())
        return (waiting + usual * (self.total - self.done - len(self._waiting))) / max(machines, 1)

    def take(self, classes: Mapping[str, str]) -> Unit | None:
        """Return a unit for a machine whose class of hardware is given for each of its devices; None if none fits."""
        for at, unit in enumerate(self._waiting):
            fits = unit.device in classes and unit.hardware in (ONE_CLASS, classes[unit.device])
            if fits and not self._must_wait(unit):
                self._at_work += 1
                self._many[_what(unit)] -= 1
                return self._waiting.pop(at)
        return None

    def finished(self, unit: Unit, rows: Sequence[Result], took_s: float) -> None:
        """Record the rows of a unit. The replicates of probed cases wait from now on, and those of cases that failed
        do not.
        """
        self._at_work -= 1
        self.done += 1
        self._took_s.setdefault(_what(unit), []).append(took_s)
        for row in rows:
            if isinstance(row, Probe):
                self.probes[row.case] = row
            elif isinstance(row, Sample):
                self.samples.setdefault(row.case, {})[row.replicate] = row
        if unit.replicate is None:
            self._probes_left -= 1
            self._add(*self._replicates(unit.cases))
        elif any(row.status is not Status.PASSED for row in rows):
            left = [each for each in self._waiting if each.replicate is None or self._lacks(each)]
            self._waiting, self._many = [], Counter()
            self._add(*left)

    def lost(self, unit: Unit) -> bool:
        """Let a unit wait again whose machine was lost. Return false if that happened too often: it is at its end."""
        if unit.losses + 1 == MOST_LOSSES:
            return False
        self._at_work -= 1
        self._add(replace(unit, losses=unit.losses + 1))
        return True

    def wanted(self) -> set[str]:
        """Return the devices and classes of hardware that units wait for."""
        named = ((unit.device, unit.hardware) for unit in self._waiting)
        return {device if hardware == ONE_CLASS else hardware for device, hardware in named}

    def kept(self, unit: Unit) -> Kept:
        """Return the results that a machine needs for a unit: probes, the samples of its replicate, failures, and the
        learning rates that were found.
        """
        samples = {
            case.key: {
                replicate: sample
                for replicate, sample in self.samples.get(case.key, {}).items()
                if replicate == unit.replicate or sample.status is not Status.PASSED or _searched(sample)
            }
            for case in unit.cases
        }
        return Kept({case.key: self.probes[case.key] for case in unit.cases if case.key in self.probes}, samples)

    def _add(self, *units: Unit) -> None:
        """Let units wait: probes first, then one replicate of all sweeps after the other, each in random order."""
        for unit in units:
            insort(self._waiting, unit, key=self._place)
            self._many[_what(unit)] += 1

    def _place(self, unit: Unit) -> tuple[int, float]:
        drawn = random.Random(f"{self.task.suite.seed}:{unit.replicate}:{unit.cases[0].key}").random()
        return (-1 if unit.replicate is None else unit.replicate), drawn

    def _replicates(self, cases: tuple[Case, ...]) -> list[Unit]:
        """Return the units that time some probed cases."""
        passed = [case for case in cases if self.probes[case.key].status is Status.PASSED]
        alone = [(case,) for case in passed] if passed and trains(passed[0]) else [tuple(passed)]
        units = [Unit(group, replicate) for replicate in self.task.replicates for group in alone if group]
        return [unit for unit in units if self._lacks(unit)]

    def _lacks(self, unit: Unit) -> bool:
        """Check whether some case of a unit has no sample yet and has not failed."""
        samples = [self.samples.get(case.key, {}) for case in unit.cases]
        failed = [any(each.status is not Status.PASSED for each in found.values()) for found in samples]
        return any(unit.replicate not in each and not bad for each, bad in zip(samples, failed, strict=True))

    def _must_wait(self, unit: Unit) -> bool:
        """Check whether a training waits for the learning rate that the first one of its case searches."""
        level = levels.read(unit.cases[0].setting.level)
        if unit.replicate in (None, self.task.replicates[0]) or not isinstance(level, Learning) or not level.rates:
            return False
        return not any(map(_searched, self.samples.get(unit.cases[0].key, {}).values()))


def _what(unit: Unit) -> tuple[str, bool]:
    """Return the kind of a unit: its cases, and whether they are probed."""
    return unit.cases[0].key, unit.replicate is None


def _searched(sample: Sample) -> bool:
    return isinstance(sample, Score) and sample.lr is not None


def _sweeps(cases: Sequence[Case]) -> Iterator[tuple[Case, ...]]:
    """Yield the cases of each sweep."""
    found: dict[object, list[Case]] = {}
    for case in cases:
        found.setdefault(case.sweep, []).append(case)
    yield from map(tuple, found.values())
