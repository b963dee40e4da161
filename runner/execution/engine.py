"""New and resumed runs of a suite into a run folder."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench import variants
from attnbench.runner.execution import journal, pattern_images, resuming
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.resuming import Stopped
from attnbench.runner.execution.session import Session, Task
from attnbench.runner.machine import environment, memory
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import StartWorker, Worker
from attnbench.suites import Case, Result
from attnbench.suites.profile import Profile
from attnbench.suites.schema.suite import Suite

Narrow = Callable[[Sequence[Case]], list[Case]]
"""Filter that selects a subset of a run's cases."""


@dataclass(frozen=True)
class Finished:
    """Results of a run, and whether the suite's time ran out."""

    rows: tuple[Result, ...]
    """Rows of `samples.jsonl`."""
    profiles: tuple[Profile, ...]
    """Rows of `profile.jsonl`."""
    out_of_time: bool


def run(
    suite: Suite,
    folder: Path,
    progress: Progress,
    *,
    cases: Sequence[Case] | None = None,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    profile: bool = False,
    start_worker: StartWorker = Worker,
    now: Callable[[], float] = time.monotonic,
) -> Finished:
    """Measure a suite into a new folder: all its cases, or only `cases`.

    `folders` hold variants outside the package. With `profile`, every case that passed is profiled at the
    end. After an interruption the folder holds every finished unit.

    Raises:
        FolderError: the folder is in use or cannot be written.
        SuiteError: the file of inputs is not valid, or does not fit some case.
        WorkerEnded: no worker could describe this machine, or be started for the first case.
    """
    cases = list(suite.cases() if cases is None else cases)
    budget_bytes = suite.budget.bytes_of(memory.available_bytes())
    meta = {
        "format": 1,
        "command": shlex.join(command),
        "started": _utc(),
        "finished": None,
        "seed": suite.seed,
        "inputs": suite.input_file(),
        "budget_bytes": budget_bytes,
        "profile": profile,
        "revision": environment.revision(Path.cwd()),
        "environment": prober.machine(cases, suite.budget, folders, start_worker),
        **_measured(suite, cases),
    }
    task = Task(suite, cases, suite.measure.processes, budget_bytes, profile)
    with journal.create(folder, meta) as book:
        journal.keep_edges(folder, suite.edge_files())
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
    """Continue the run in `folder`: measure what is missing, with the suite's whole time budget again.

    Cases, inputs and plans stay. `narrow` selects the cases to measure now; `processes` adds replicates. Existing
    probes are not repeated. An incomplete replicate is completed by another process. `suite` is the suite that the run
    should have. If the suite or the machine changed, the run continues only with `anyway`, and then with the cases of
    `suite`. Its inputs and files of edges may not change.

    Raises:
        FolderError: the folder is in use or cannot be written, or the suite, its inputs or the machine changed.
        RunError: the folder cannot be read.
        WorkerEnded: no worker could describe this machine, or be started for the first case.
    """
    with journal.reopen(folder) as book:
        stopped = resuming.read(folder)
        suite = stopped.suite if suite is None else suite.with_processes(stopped.suite.measure.processes)
        renewed = suite.to_json() != stopped.suite.to_json()
        every = suite.cases() if renewed else stopped.cases
        resuming.refuse_edges(folder, stopped.suite, suite)
        input_file = resuming.input_file(folder, suite)
        cases = narrow(every)
        processes = _enough(folder, processes or stopped.processes, stopped)
        facts = prober.machine(cases, suite.budget, folders, start_worker)
        changed = resuming.changes(stopped, suite, input_file, facts)
        resuming.refuse(folder, changed, anyway=anyway)
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
        journal.keep_edges(folder, suite.edge_files())
        book.tell(**{**stopped.meta, **(_renewed(suite, every, stopped) if renewed else {}), **news})
        budget_bytes = min(stopped.meta["budget_bytes"], suite.budget.bytes_of(memory.available_bytes()))
        task = Task(suite, cases, processes, budget_bytes, profile, stopped.kept, len(resumed))
        progress.resumed(len(stopped.kept.probes), sum(map(len, stopped.kept.samples.values())))
        return _finished(Session(task, book, progress, folders, start_worker, now))


def _finished(session: Session) -> Finished:
    """Run all phases; close the workers even after an interruption."""
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
    """Check that the number of replicates is at least the number of those begun, and return it.

    Raises:
        FolderError: it is smaller.
    """
    if processes < stopped.begun:
        raise FolderError(f"{folder}: expected at least the {stopped.begun} processes that it has, found {processes}")
    return processes


def _measured(suite: Suite, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the part of `run.json` about the suite and its cases."""

    def planned(case: Case) -> dict[str, Any]:
        against = [each.key for each in suite.baselines_of(case)]
        several = {"baselines": against} if len(against) > 1 else {}
        named = {"label": case.label, "family": variants.load(case.mechanism.name).kind}
        return {"key": case.key, **named, "baseline": next(iter(against), None), **several, **case.flat()}

    return {
        "name": suite.name,
        "question": suite.question,
        "suite": suite.to_json(),
        "source": suite.source,
        "cases": [planned(case) for case in cases],
        "patterns": pattern_images.of(list(cases)),
    }


def _renewed(suite: Suite, cases: Sequence[Case], stopped: Stopped) -> dict[str, Any]:
    """Return the same for a run that continues with another suite. Measured cases stay, even if `suite` lacks them."""
    present = {case.key for case in cases}
    measured = {row.case for row in stopped.kept.rows}
    return _measured(suite, [*cases, *(case for case in stopped.cases if case.key in measured - present)])


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
