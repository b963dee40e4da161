"""The driver of a run on several machines: it gives units to them, and writes what comes back."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from attnbench.runner.cluster.units import MOST_LOSSES, Unit, Units
from attnbench.runner.execution.executor import ExecutorError, Node
from attnbench.runner.execution.journal import Journal
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.resuming import Kept
from attnbench.runner.execution.task import Finished, Task
from attnbench.suites import Case, Probe, Result, Sample, Status
from attnbench.suites.case import names_of
from attnbench.suites.result import SPENT
from attnbench.variants import DEVICES, ONE_CLASS

PATIENCE_S = 120.0
"""Seconds to wait for a machine when none is left."""
_GLANCE_S = 1.0
_LOST = f"its machine was lost {MOST_LOSSES} times"


class Ended(NamedTuple):
    """The end of a unit on a machine: its rows, or none if the machine was lost."""

    node: Node
    unit: Unit
    rows: Sequence[Result] | None


class Pool(Protocol):
    """Machines that measure one unit at a time."""

    def idle(self) -> Sequence[Node]:
        """Return the machines that wait for a unit. Machines may come and go."""

    def begin(self, node: Node, unit: Unit, task: Task) -> None:
        """Have an idle machine measure the task of a unit."""

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        """Return what ended; nothing if the time is over before something did."""


class Driver:
    """Measures a task on the machines of a pool. Rows are on disk as soon as their unit ends.

    Only this machine's clock is used: the others send durations.
    """

    def __init__(
        self,
        task: Task,
        nodes: Sequence[Node],
        pool: Pool,
        book: Journal,
        progress: Progress,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task = task
        self.pool = pool
        self.book = book
        self.progress = progress
        self.now = now
        self.units = Units(task)
        self.rows: list[Result] = task.kept.rows
        self._titles = dict(zip((case.key for case in task.cases), names_of(task.cases), strict=True))
        self._parts = {node.name: task.part + at for at, node in enumerate(nodes)}
        there = set().union(*(node.classes for node in nodes))
        self._lacking: dict[str, str] = {device: ONE_CLASS for device in DEVICES if device not in there}
        """Devices that no machine has. Any of them may say so."""
        self._deadline = now() + task.suite.budget.suite_s
        self._begun: dict[str, float] = {}
        self._probed = len(task.kept.probes)

    def measure(self) -> Finished:
        """Give units to machines until none is left or the suite's time is spent.

        Raises:
            ExecutorError: no machine of the right class is left.
        """
        alone_since = self.now()
        while self.units.left:
            in_time = self.now() < self._deadline
            if in_time:
                self._give()
            if self._begun:
                alone_since = self.now()
            elif not in_time:
                break
            elif self.now() - alone_since > PATIENCE_S:
                raise ExecutorError(self._missing())
            for ended in self.pool.wait(_GLANCE_S):
                self._end(ended)
        out_of_time = bool(self.units.left)
        if out_of_time:
            self._skip()
        return Finished(tuple(self.rows), (), out_of_time or any(_is_spent(row) for row in self.rows))

    def _give(self) -> None:
        """Give a unit to each idle machine for which there is one."""
        for node in self.pool.idle():
            unit = self.units.take({**self._lacking, **node.classes})
            if unit is None:
                continue
            if node.name not in self._parts:
                part = {**node.part(), "processes": len(self.task.replicates), "changed": {}}
                self._parts[node.name] = self.book.join(part)
            self._begun[node.name] = self.now()
            self.pool.begin(node, unit, self._sub_task(unit))
            self._say(unit)

    def _say(self, unit: Unit) -> None:
        """Report which unit began, and how many machines work."""
        working = f"{len(self._begun)} machine{'s' * (len(self._begun) > 1)}: {unit.name}"
        phase = "probe" if unit.replicate is None else "time"
        left_s = self.units.left_s(len(self._begun))
        self.progress.working(phase, working, self.units.done, self.units.total, left_s)

    def _end(self, ended: Ended) -> None:
        """Write the rows of a unit, or let it wait again."""
        unit = ended.unit
        took_s = self.now() - self._begun.pop(ended.node.name)
        rows = ended.rows
        if rows is None:
            if self.units.lost(unit):
                return
            rows = self._given_up(unit)
        else:
            back = {plain.key: case.key for plain, case in zip(_plain(unit.cases), unit.cases, strict=True)}
            rows = [_moved(row, back, self._parts[ended.node.name]) for row in rows]
        self.book.append(*rows)
        self.rows += rows
        self.units.finished(unit, rows, took_s)
        left_s = self.units.left_s(len(self._begun) + 1)
        for row in rows:
            if isinstance(row, Probe):
                self._probed += 1
                self.progress.probed(self._titles[row.case], row, self._probed, len(self.task.cases), left_s)
            elif isinstance(row, Sample):
                self.progress.sampled(self._titles[row.case], row)
        if unit.replicate is not None:
            self.progress.replicated(*self.units.timed, left_s)

    def _sub_task(self, unit: Unit) -> Task:
        """Return what a machine gets to do for a unit. It knows nothing of classes of hardware."""
        to_plain = {case.key: plain.key for plain, case in zip(_plain(unit.cases), unit.cases, strict=True)}
        kept = self.units.kept(unit)
        return replace(
            self.task,
            cases=_plain(unit.cases),
            replicates=() if unit.replicate is None else (unit.replicate,),
            kept=Kept(
                {to_plain[key]: replace(probe, case=to_plain[key]) for key, probe in kept.probes.items()},
                {
                    to_plain[key]: {at: replace(sample, case=to_plain[key]) for at, sample in each.items()}
                    for key, each in kept.samples.items()
                },
            ),
            part=0,
            again={
                to_plain[key]: {to_plain[each] for each in baselines if each in to_plain}
                for key, baselines in self.task.again.items()
                if key in to_plain
            },
            left_s=self._deadline - self.now(),
        )

    def _given_up(self, unit: Unit) -> list[Result]:
        """Return the rows of a unit whose machine was lost too often."""
        kept = self.units.kept(unit)
        if unit.replicate is None:
            return [Probe(case.key, Status.CRASHED, _LOST) for case in unit.cases if case.key not in kept.probes]
        return [
            Sample(case.key, Status.CRASHED, _LOST, replicate=unit.replicate)
            for case in unit.cases
            if unit.replicate not in kept.samples.get(case.key, {})
        ]

    def _skip(self) -> None:
        """Write that the time was spent before some cases were probed."""
        reason = f"the suite's {self.task.suite.budget.suite_s:g} s {SPENT}"
        rows = [
            Probe(case.key, Status.SKIPPED, reason, part=self.task.part)
            for case in self.task.cases
            if case.key not in self.units.probes
        ]
        self.book.append(*rows)
        self.rows += rows

    def _missing(self) -> str:
        """Return what is needed to measure what is left."""
        wanted = ", ".join(sorted(self.units.wanted()))
        return (
            f"expected a machine for {self.units.left} more units ({wanted}), found none for {PATIENCE_S:g} s; "
            f"finished results are kept; to continue: bench run --resume {self.book.folder} --executor ray"
        )


def _plain(cases: Sequence[Case]) -> list[Case]:
    """Return cases as on one machine."""
    return [case.changed(hardware=ONE_CLASS) for case in cases]


def _moved(row: Result, keys: Mapping[str, str], part: int) -> Result:
    """Return a row of a machine with the key of its case in the run, and its part."""
    assert isinstance(row, Probe | Sample)
    return replace(row, case=keys[row.case], part=part)


def _is_spent(row: Result) -> bool:
    return row.status is Status.SKIPPED and row.reason.endswith(SPENT)
