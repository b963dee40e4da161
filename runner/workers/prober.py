"""Parent-side requests to workers: facts of this machine, and a probe of each case in a worker of its own."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from attnbench.runner.machine import environment
from attnbench.runner.workers.worker import Asked, StartWorker, Worker, WorkerEnded, kind_for, started, understood
from attnbench.suites import Case, Probe, Status
from attnbench.suites.schema.limits import Budget

_SPOILS = (Status.FAILED, Status.OUT_OF_MEMORY, Status.CRASHED, Status.TIMED_OUT)
"""After these a CUDA worker is replaced: it may be gone, its context lost, or its memory in pieces."""


class Prober:
    """Probes cases, one at a time.

    `budget_bytes` is what a case may allocate on the CPU; on CUDA it is `budget` of what is free there, shared by the
    `live` workers that are to be there at once.
    """

    def __init__(
        self,
        budget: Budget,
        budget_bytes: int,
        folders: tuple[Path, ...] = (),
        start_worker: StartWorker = Worker,
        live: int = 1,
    ) -> None:
        self._budget = budget
        self._budget_bytes = budget_bytes
        self._folders = folders
        self._start_worker = start_worker
        self._live = live
        self._lasting: Asked | None = None
        self._oracle: IO[bytes] | None = None

    def probe(self, case: Case) -> Probe:
        """Probe a case in a process of its own; on CUDA, where a start is dear, in one that lasts until it dies.

        Raises:
            NotStarted: there could be no such process; the case has nothing to do with it.
        """
        if case.setting.device == "cpu":
            with started(lambda: self._start_worker("forkserver", self._budget_bytes, self._folders)) as worker:
                return self._asked(worker, case)
        if self._lasting is None:
            # A fresh interpreter, for nothing of CUDA survives a fork.
            self._lasting = started(lambda: self._start_worker("spawn", None, self._folders))
        probe = self._asked(self._lasting, case)
        if probe.status in _SPOILS and not probe.predicted:
            self._drop()
        return probe

    def _asked(self, worker: Asked, case: Case) -> Probe:
        """What a worker says of a case, or how it ended of it."""
        self._oracle = self._oracle or _shared_file()
        try:
            return ask(worker, case, self._budget, self._budget_bytes, self._live, self._oracle)
        except WorkerEnded as end:
            return Probe(case.key, end.status, end.reason)

    def close(self) -> None:
        """End the lasting worker, and forget what the oracle said."""
        self._drop()
        if self._oracle is not None:
            self._oracle.close()
            self._oracle = None

    def _drop(self) -> None:
        """End the lasting worker, if there is one."""
        if self._lasting is not None:
            self._lasting.close()
            self._lasting = None


def ask(
    worker: Asked, case: Case, budget: Budget, budget_bytes: int, live: int = 1, oracle: IO[bytes] | None = None
) -> Probe:
    """Have a worker probe a case, within the bytes that it may allocate; `live` as in `allowance`.

    What the oracle says is shared with the cases before and after through the file `oracle`.

    Raises:
        WorkerEnded: it died of it, took too long, or sent no probe.
    """
    budget_bytes = allowance(worker, case, budget, budget_bytes, live)
    # A file without a name is gone with this process, however it ends; its workers reach it through /proc.
    path = None if oracle is None else f"/proc/{os.getpid()}/fd/{oracle.fileno()}"
    request = {"do": "probe", "case": case.flat(), "threads": threads(case), "budget_bytes": budget_bytes}
    request["oracle"] = path
    return understood(Probe.from_json, worker.ask(request, budget.case_s))


def _shared_file() -> IO[bytes] | None:
    """A file that workers can share, where the system lets them."""
    if not Path("/proc/self/fd").exists():
        return None
    try:
        return tempfile.TemporaryFile(prefix="attnbench-")
    except OSError:
        return None


def allowance(worker: Asked, case: Case, budget: Budget, budget_bytes: int, live: int = 1) -> int:
    """The bytes that a case may allocate: `budget_bytes` on the CPU, on CUDA `budget` of what is free there.

    `live` workers share what is free; `budget_bytes` is a share already.
    """
    free_bytes = None if case.setting.device == "cpu" else worker.ask({"do": "free_bytes"}, budget.case_s)
    return budget_bytes if free_bytes is None else budget.bytes_of(free_bytes // live)


def machine(
    cases: Sequence[Case], budget: Budget, folders: tuple[Path, ...] = (), start_worker: StartWorker = Worker
) -> dict[str, Any]:
    """What this machine is, as far as the numbers of these cases depend on it.

    Raises:
        WorkerEnded: no worker could tell.
    """
    with started(lambda: start_worker(kind_for(*cases), None, folders)) as worker:
        told: dict[str, Any] = understood(dict, worker.ask({"do": "environment"}, budget.case_s))
    return environment.of_machine() | told


def threads(case: Case) -> int:
    """The threads that a case runs with."""
    return environment.threads() if case.setting.threads == "auto" else case.setting.threads
