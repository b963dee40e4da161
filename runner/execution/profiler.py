"""Profile cases, each in its own worker process, in which nothing is timed."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from attnbench.runner.execution.journal import append_profile
from attnbench.runner.machine import memory
from attnbench.runner.workers.prober import Prober, threads
from attnbench.runner.workers.worker import StartWorker, Worker, WorkerEnded, kind_for, limit_for, started, understood
from attnbench.suites import Case, Status
from attnbench.suites.origin import DEFAULT, Origin
from attnbench.suites.profile import Profile
from attnbench.suites.schema.limits import Budget

TRACES = "traces"


@dataclass(frozen=True)
class Profiler:
    """Profiles cases one at a time, and writes `folder/traces/KEY.json.gz` for each."""

    folder: Path
    patience_s: float
    budget_bytes: int
    folders: tuple[Path, ...] = ()
    start_worker: StartWorker = Worker
    origin: Origin = DEFAULT

    def profile(self, case: Case) -> Profile:
        """Return the profile of a case; if its worker ended or could not start, the profile has status and reason."""
        limit = limit_for(self.budget_bytes, case)
        trace = (self.folder / TRACES / f"{case.key}.json.gz").resolve()
        request = {"do": "profile", "case": case.flat(), "threads": threads(case), "trace": str(trace)}
        request["origin"] = vars(self.origin)
        try:
            with started(lambda: self.start_worker(kind_for(case), limit, self.folders)) as worker:
                return understood(Profile.from_json, worker.ask(request, self.patience_s))
        except WorkerEnded as end:
            return Profile(case.key, end.status, end.reason, case.title)


def checked(
    case: Case, folder: Path, budget: Budget, folders: tuple[Path, ...] = (), origin: Origin = DEFAULT
) -> Profile:
    """Probe a case, and profile it if it passed. The profile, or the reason for none, is written into `folder`."""
    budget_bytes = budget.bytes_of(memory.available_bytes())
    with closing(Prober(budget, budget_bytes, folders, origin=origin)) as prober:
        probe = prober.probe(case)
    if probe.status is Status.PASSED:
        found = Profiler(folder, budget.case_s, budget_bytes, folders, origin=origin).profile(case)
    else:
        found = Profile(case.key, probe.status, probe.reason, case.title)
    append_profile(folder, found)
    return found
