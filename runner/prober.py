"""Probing as the parent does it: each case in a worker of its own, whatever becomes of that worker."""

from collections.abc import Callable
from pathlib import Path

from attnbench.runner import environment
from attnbench.runner.workers import Worker, WorkerEnded
from attnbench.suites import Case, Probe

StartWorker = Callable[..., Worker]


class Prober:
    """Probes cases, one at a time."""

    def __init__(
        self,
        patience_s: float,
        budget_bytes: int,
        folders: tuple[Path, ...] = (),
        start_worker: StartWorker = Worker,
    ) -> None:
        self._patience_s = patience_s
        self._budget_bytes = budget_bytes
        self._folders = folders
        self._start_worker = start_worker
        self._lasting: Worker | None = None

    def probe(self, case: Case) -> Probe:
        """Probe a case in a process of its own; on CUDA, where a start is dear, in one that lasts until it dies."""
        try:
            if case.device == "cpu":
                with self._start(self._budget_bytes) as worker:
                    return self._ask(worker, case)
            self._lasting = self._lasting or self._start(None)
            return self._ask(self._lasting, case)
        except WorkerEnded as end:
            if case.device != "cpu":
                self.close()
            return Probe(case.key, end.status, end.reason)

    def close(self) -> None:
        """End the lasting worker, if there is one."""
        if self._lasting is not None:
            self._lasting.close()
            self._lasting = None

    def _start(self, budget_bytes: int | None) -> Worker:
        return self._start_worker("forkserver", budget_bytes, self._folders)

    def _ask(self, worker: Worker, case: Case) -> Probe:
        request = {"case": case.to_json(), "threads": threads(case), "budget_bytes": self._budget_bytes}
        return Probe.from_json(worker.ask({"do": "probe", **request}, self._patience_s))


def threads(case: Case) -> int:
    """The threads that a case runs with."""
    return environment.threads() if case.threads == "auto" else case.threads
