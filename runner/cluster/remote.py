"""What a machine of a cluster does: it describes itself, and measures units."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from attnbench import variants
from attnbench.runner.execution.executor import Node
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.execution.session import Session
from attnbench.runner.execution.task import Task
from attnbench.runner.machine import doctor
from attnbench.runner.workers.worker import StartWorker, Worker
from attnbench.suites import Case, Result
from attnbench.suites.schema.suite import Suite
from attnbench.variants import kernels
from attnbench.variants.kernels import _building


@dataclass(frozen=True)
class Described:
    """A machine, and why it should not measure."""

    node: Node
    unfit: tuple[str, ...]


@dataclass
class Rows:
    """Rows in memory, where a session writes them."""

    folder: Path = Path()
    rows: list[Result] = field(default_factory=list)

    def append(self, *rows: Result) -> None:
        """Add rows."""
        self.rows += rows

    def log_training(self, line: str) -> None:
        """Do nothing: the progress of a training stays on its machine."""


class Machine:
    """A machine of a cluster, in a process of its own."""

    def __init__(self, folders: tuple[Path, ...], start_worker: StartWorker = Worker) -> None:
        for folder in folders:
            variants.extend(folder)
        self._folders = folders
        self._start_worker = start_worker

    def describe(self, name: str, suite: Suite, cases: Sequence[Case]) -> Described:
        """Return the facts of this machine. Compile `native` if some case needs it."""
        if any(case.implementation == kernels.PREFERRED for case in cases) and not _building.is_built():
            # If it fails, the cases report why.
            with suppress(_building.BuildError):
                _building.build(again=True)
        (node,) = Local(self._start_worker).nodes(suite, cases, self._folders)
        unfit = (f"{found.name}: {found.found}. {found.do}" for found in doctor.examine() if found.level == "unfit")
        return Described(replace(node, name=name), tuple(unfit))

    def measure(self, task: Task) -> list[Result]:
        """Measure a task, and return its new rows.

        Raises:
            NotStarted: no worker could be started, and nothing was measured.
        """
        found = Rows()
        session = Session(task, found, Quiet(), self._folders, self._start_worker, monotonic)
        try:
            session.probe_all()
            session.time_all()
        finally:
            session.close()
        return found.rows
