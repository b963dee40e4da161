"""Requests to workers for facts about this machine, and for probes of cases."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from attnbench.runner.machine import environment
from attnbench.runner.workers.worker import Asked, StartWorker, Worker, WorkerEnded, kind_for, started, understood
from attnbench.suites import Case, Probe, Status
from attnbench.suites.origin import DEFAULT, Origin
from attnbench.suites.schema.limits import Budget

_SPOILS = (Status.FAILED, Status.OUT_OF_MEMORY, Status.CRASHED, Status.TIMED_OUT)
"""After these a CUDA worker is replaced: it may be dead, its context lost, or its memory fragmented."""


class Prober:
    """Probes cases, one at a time.

    A case may allocate `budget_bytes` on the CPU. On CUDA the limit is `budget` of the free device memory, divided by
    `live`, the number of workers that will use the device at the same time. Inputs come from `origin`.
    """

    def __init__(
        self,
        budget: Budget,
        budget_bytes: int,
        folders: tuple[Path, ...] = (),
        start_worker: StartWorker = Worker,
        live: int = 1,
        origin: Origin = DEFAULT,
    ) -> None:
        self._budget = budget
        self._budget_bytes = budget_bytes
        self._folders = folders
        self._start_worker = start_worker
        self._live = live
        self._origin = origin
        self._lasting: Asked | None = None
        self._oracle: IO[bytes] | None = None

    def probe(self, case: Case) -> Probe:
        """Probe a case in its own process. On CUDA, where a start is slow, cases share a process until it dies.

        Raises:
            NotStarted: the process could not be started; the case is not to blame.
        """
        if case.setting.device == "cpu":
            with started(lambda: self._start_worker("forkserver", self._budget_bytes, self._folders)) as worker:
                return self._asked(worker, case)
        if self._lasting is None:
            # A fresh interpreter, because CUDA does not survive a fork.
            self._lasting = started(lambda: self._start_worker("spawn", None, self._folders))
        probe = self._asked(self._lasting, case)
        if probe.status in _SPOILS and not probe.predicted:
            self._drop()
        return probe

    def _asked(self, worker: Asked, case: Case) -> Probe:
        """Return the worker's probe of a case; if the worker ended, a probe with that status."""
        self._oracle = self._oracle or _shared_file()
        try:
            return ask(worker, case, self._budget, self._budget_bytes, self._live, self._oracle, self._origin)
        except WorkerEnded as end:
            return Probe(case.key, end.status, end.reason)

    def close(self) -> None:
        """Stop the shared worker, and delete the oracle's results."""
        self._drop()
        if self._oracle is not None:
            self._oracle.close()
            self._oracle = None

    def _drop(self) -> None:
        """Stop the shared worker, if there is one."""
        if self._lasting is not None:
            self._lasting.close()
            self._lasting = None


def ask(
    worker: Asked,
    case: Case,
    budget: Budget,
    budget_bytes: int,
    live: int = 1,
    oracle: IO[bytes] | None = None,
    origin: Origin = DEFAULT,
    auto: int | None = None,
) -> Probe:
    """Have a worker probe a case within its memory allowance (see `allowance`).

    Its inputs come from `origin`. Cases share the oracle's results through the file `oracle`. `auto` is the number of
    threads of a case with `threads: auto`, as in `threads`.

    Raises:
        WorkerEnded: the worker died, took too long, or sent no valid probe.
    """
    budget_bytes = allowance(worker, case, budget, budget_bytes, live)
    # An unnamed file disappears with this process, however it ends. Workers open it through /proc.
    path = None if oracle is None else f"/proc/{os.getpid()}/fd/{oracle.fileno()}"
    request = {"do": "probe", "case": case.request(), "threads": threads(case, auto), "budget_bytes": budget_bytes}
    request |= {"oracle": path, "origin": vars(origin)}
    return understood(Probe.from_json, worker.ask(request, budget.case_s))


def _shared_file() -> IO[bytes] | None:
    """Return a file that workers can share; None if the system does not allow it."""
    if not Path("/proc/self/fd").exists():
        return None
    try:
        return tempfile.TemporaryFile(prefix="attnbench-")
    except OSError:
        return None


def allowance(worker: Asked, case: Case, budget: Budget, budget_bytes: int, live: int = 1) -> int:
    """Return the bytes that a case may allocate: `budget_bytes` on the CPU, on CUDA `budget` of the free device memory.

    `live` workers share the free memory. `budget_bytes` is already the share of one worker.
    """
    free_bytes = None if case.setting.device == "cpu" else worker.ask({"do": "free_bytes"}, budget.case_s)
    return budget_bytes if free_bytes is None else budget.bytes_of(free_bytes // live)


def machine(
    cases: Sequence[Case], budget: Budget, folders: tuple[Path, ...] = (), start_worker: StartWorker = Worker
) -> dict[str, Any]:
    """Return the facts of this machine that the numbers of these cases depend on.

    Raises:
        WorkerEnded: no worker could report them.
    """
    with started(lambda: start_worker(kind_for(*cases), None, folders)) as worker:
        facts: dict[str, Any] = understood(dict, worker.ask({"do": "environment"}, budget.case_s))
    return environment.of_machine() | facts


def threads(case: Case, auto: int | None = None) -> int:
    """Return the number of threads of a case. With `threads: auto` this is `auto`, or that of the machine if None."""
    return (auto or environment.threads()) if case.setting.threads == "auto" else case.setting.threads
