"""The machine of the command itself, which is the default executor."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.runner.execution.executor import Node
from attnbench.runner.execution.journal import Journal
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.session import Session
from attnbench.runner.execution.task import Finished, Task
from attnbench.runner.machine import memory
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import StartWorker, Worker
from attnbench.suites import Case
from attnbench.suites.schema.suite import Suite


@dataclass(frozen=True)
class Local:
    """Measures all of a task in one session."""

    start_worker: StartWorker = Worker
    now: Callable[[], float] = time.monotonic

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> list[Node]:
        """Return this machine."""
        facts = prober.machine(cases, suite.budget, folders, self.start_worker)
        return [Node("", facts, suite.budget.bytes_of(memory.available_bytes()))]

    def measure(
        self, task: Task, nodes: Sequence[Node], book: Journal, progress: Progress, folders: tuple[Path, ...]
    ) -> Finished:
        """Run all phases; close the workers even after an interruption."""
        del nodes  # the one that there is
        session = Session(task, book, progress, folders, self.start_worker, self.now)
        try:
            session.probe_all()
            session.time_all()
            if task.profile:
                session.profile_all()
        finally:
            session.close()
        return Finished(tuple(session.rows), tuple(session.profiles), session.out_of_time)

    def close(self) -> None:
        """Do nothing: a session closes its workers."""
