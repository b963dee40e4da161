"""Runs a suite into a run folder: a new run, or one that is resumed."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.runner.execution import journal, pattern_images, resuming
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.resuming import Stopped
from attnbench.runner.execution.session import Session, Task
from attnbench.runner.machine import memory
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import StartWorker, Worker
from attnbench.suites import Case, Result
from attnbench.suites.profile import Profile
from attnbench.suites.schema.suite import Suite

Narrow = Callable[[Sequence[Case]], list[Case]]
"""Those of a run's cases that are asked for."""


@dataclass(frozen=True)
class Finished:
    """What a run wrote down, and whether the suite's time ran out before its end."""

    rows: tuple[Result, ...]
    """Of `samples.jsonl`."""
    profiles: tuple[Profile, ...]
    """Of `profile.jsonl`."""
    out_of_time: bool


def run(
    suite: Suite,
    folder: Path,
    progress: Progress,
    *,
    cases: Sequence[Case] | None = None,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    seed: int = 0,
    profile: bool = False,
    start_worker: StartWorker = Worker,
    now: Callable[[], float] = time.monotonic,
) -> Finished:
    """Measure a suite into a new folder: all its cases, or those of them in `cases`.

    `folders` hold variants outside the package. With `profile`, every case that passed is profiled at the
    end. An interruption leaves every finished unit in the folder.

    Raises:
        FolderError: the folder is in use or cannot be written.
        WorkerEnded: no worker could tell about this machine, or be started for the first case.
    """
    cases = list(suite.cases() if cases is None else cases)
    budget_bytes = suite.budget.bytes_of(memory.available_bytes())
    meta = {
        "format": 1,
        "command": shlex.join(command),
        "started": _utc(),
        "finished": None,
        "seed": seed,
        "budget_bytes": budget_bytes,
        "profile": profile,
        "environment": prober.machine(cases, suite.budget, folders, start_worker),
        **_measured(suite, cases),
    }
    task = Task(suite, cases, suite.measure.processes, budget_bytes, seed, profile)
    with journal.create(folder, meta) as book:
        return _finished(Session(task, book, progress, folders, start_worker, now))


def resume(
    folder: Path,
    progress: Progress,
    *,
    suite: Suite | None = None,
    narrow: Narrow = list,
    processes: int | None = None,
    anyway: bool = False,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    profile: bool = False,
    start_worker: StartWorker = Worker,
    now: Callable[[], float] = time.monotonic,
) -> Finished:
    """Go on with the run in `folder`: measure what it does not hold, for as long again as the suite's time.

    Its cases, its seed and its plans stay; `narrow` leaves some of its cases for another time, `processes` adds
    replicates. No probe that is there is repeated, and a replicate that was cut short is completed by another process.
    `suite` is what the run is expected to measure. Where that or the machine is another, the run goes on only if it is
    told to, `anyway`, and then with the cases of `suite`.

    Raises:
        FolderError: the folder is in use or cannot be written, or the suite or the machine is another.
        RunError: what the folder holds cannot be read.
        WorkerEnded: no worker could tell about this machine, or be started for the first case.
    """
    with journal.reopen(folder) as book:
        stopped = resuming.read(folder)
        suite = stopped.suite if suite is None else suite.with_processes(stopped.suite.measure.processes)
        renewed = suite.to_json() != stopped.suite.to_json()
        every = suite.cases() if renewed else stopped.cases
        cases = narrow(every)
        processes = _enough(folder, processes or stopped.processes, stopped)
        facts = prober.machine(cases, suite.budget, folders, start_worker)
        changed = resuming.changes(stopped, suite, facts)
        if not anyway:
            resuming.refuse(folder, changed)
        part = {
            "started": _utc(),
            "command": shlex.join(command),
            "processes": processes,
            "environment": facts,
            "changed": {name: list(pair) for name, pair in changed.items()},
        }
        profile = profile or bool(stopped.meta.get("profile"))
        resumed = [*stopped.meta.get("resumed", ()), part]
        news = {"finished": None, "profile": profile, "resumed": resumed}
        book.tell(**{**stopped.meta, **(_renewed(suite, every, stopped) if renewed else {}), **news})
        budget_bytes = min(stopped.meta["budget_bytes"], suite.budget.bytes_of(memory.available_bytes()))
        seed = stopped.meta["seed"]
        task = Task(suite, cases, processes, budget_bytes, seed, profile, stopped.kept, len(resumed))
        progress.resumed(len(stopped.kept.probes), sum(map(len, stopped.kept.samples.values())))
        return _finished(Session(task, book, progress, folders, start_worker, now))


def _finished(session: Session) -> Finished:
    """Everything, until it is done or interrupted."""
    try:
        session.probe_all()
        session.time_all()
        if session.task.profile:
            session.profile_all()
    finally:
        session.close()
    session.journal.tell(finished=_utc())
    return Finished(tuple(session.rows), tuple(session.profiles), session.out_of_time)


def _enough(folder: Path, processes: int, stopped: Stopped) -> int:
    """The number of replicates, if it is not less than were begun.

    Raises:
        FolderError: it is.
    """
    if processes < stopped.begun:
        raise FolderError(f"{folder}: expected at least the {stopped.begun} processes that it has, found {processes}")
    return processes


def _measured(suite: Suite, cases: Sequence[Case]) -> dict[str, Any]:
    """What `run.json` says of what is measured."""

    def baseline(case: Case) -> str | None:
        found = suite.baseline_of(case)
        return found.key if found else None

    return {
        "name": suite.name,
        "question": suite.question,
        "suite": suite.to_json(),
        "source": suite.source,
        "cases": [{"key": case.key, "label": case.label, "baseline": baseline(case), **case.flat()} for case in cases],
        "patterns": pattern_images.of(list(cases)),
    }


def _renewed(suite: Suite, cases: Sequence[Case], stopped: Stopped) -> dict[str, Any]:
    """The same, of a run that goes on with another suite; cases that are not in it stay, if they were measured."""
    there = {case.key for case in cases}
    told = {row.case for row in stopped.kept.rows}
    return _measured(suite, [*cases, *(case for case in stopped.cases if case.key in told - there)])


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
