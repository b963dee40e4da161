"""The plan of a run: which cases exist here, their memory and work, and the least time they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attnbench.runner.machine import memory
from attnbench.runner.plan.remaining_time import READY_S, START_S, planned, probe_s
from attnbench.runner.worker.call.sampling import timing_ns
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import (
    Asked,
    StartWorker,
    Worker,
    WorkerEnded,
    kind_for,
    limit_for,
    started,
    understood,
)
from attnbench.suites import Case, Status
from attnbench.suites.schema.suite import Suite


@dataclass(frozen=True)
class PlannedCase:
    """What is known of a case before it is measured. Numbers exist only if it would be measured."""

    case: Case
    status: Status | None
    """The status if the case would not be measured, otherwise None."""
    reason: str
    predicted_bytes: int | None = None
    """Peak memory of one call, without inputs; None if the implementation does not predict it."""
    allowed_pairs: int | None = None
    """Over batch and heads; None if the variant has no pattern."""
    flops: int | None = None
    """FLOPs of the allowed pairs."""
    least_ns: float | None = None
    """Lower bound of the time of a call: its FLOPs at the rate of the fastest matrix product seen here."""


@dataclass(frozen=True)
class DryRun:
    """The plan of a run."""

    cases: tuple[PlannedCase, ...]
    processes: int
    least_s: float
    """Lower bound of the time of the whole run, in seconds."""
    suite_s: float
    """Seconds after which the suite's budget ends the run."""


def plan(
    suite: Suite,
    cases: Sequence[Case],
    folders: tuple[Path, ...] = (),
    start_worker: StartWorker = Worker,
) -> DryRun:
    """Ask a worker about every case. It runs only a few matrix products and copies."""
    asker = _Asker(suite, cases, folders, start_worker)
    try:
        found = tuple(asker.plan(case) for case in cases)
    finally:
        asker.close()
    return DryRun(found, suite.measure.processes, _least_s(suite, found), suite.budget.suite_s)


def _least_s(suite: Suite, found: Sequence[PlannedCase]) -> float:
    """Lower bound of the time of a run, in seconds."""
    tried = [(each.case, each.least_ns) for each in found if each.least_ns]
    replicate_s = START_S
    for case, call_ns in tried:
        plan, value_ns = planned(suite, case, call_ns), suite.measure.value_ms * 1e6
        replicate_s += READY_S + timing_ns(plan, call_ns, value_ns, case.setting.device) / 1e9
    return START_S + sum(probe_s(call_ns) for _, call_ns in tried) + suite.measure.processes * replicate_s


class _Asker:
    """Asks a worker about one case after the other. If a case kills the worker, a new one replaces it."""

    def __init__(
        self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...], start_worker: StartWorker
    ) -> None:
        self._budget = suite.budget
        self._budget_bytes = suite.budget.bytes_of(memory.available_bytes())
        self._start = partial(start_worker, kind_for(*cases), limit_for(self._budget_bytes, *cases), folders)
        self._alive: Asked | None = None
        self._rates: dict[tuple[str, str, int], float | None] = {}

    def plan(self, case: Case) -> PlannedCase:
        """The plan of one case. If the worker dies, the plan has that status.

        Raises:
            NotStarted: no worker could be started.
        """
        threads = prober.threads(case)
        worker = self._worker()
        try:
            budget_bytes = prober.allowance(worker, case, self._budget, self._budget_bytes)
            request = {"do": "plan", "case": case.flat(), "threads": threads, "budget_bytes": budget_bytes}
            reply: dict[str, Any] = understood(dict, self._ask(request))
            if reply["status"] is not None:
                return PlannedCase(case, Status(reply["status"]), reply["reason"])
            rate = self._rate(case, threads)
        except WorkerEnded as end:
            self.close()
            return PlannedCase(case, end.status, end.reason)
        least_ns = reply["flops"] / (rate * case.setting.world) * 1e9 if rate and reply["flops"] else None
        return PlannedCase(case, None, "", reply["predicted_bytes"], reply["allowed_pairs"], reply["flops"], least_ns)

    def close(self) -> None:
        """Stop the worker, if there is one."""
        if self._alive is not None:
            self._alive.close()
            self._alive = None

    def _rate(self, case: Case, threads: int) -> float | None:
        """FLOP/s of the fastest matrix product of the case's dtype, measured once per dtype, device and threads."""
        named = (case.setting.dtype, case.setting.device, threads)
        if named not in self._rates:
            request = {"do": "rate", "dtype": case.setting.dtype, "device": case.setting.device, "threads": threads}
            self._rates[named] = self._ask(request)
        return self._rates[named]

    def _ask(self, request: dict[str, Any]) -> Any:
        return self._worker().ask(request, self._budget.case_s)

    def _worker(self) -> Asked:
        """The worker, started if necessary."""
        if self._alive is None:
            self._alive = started(self._start)
        return self._alive
