"""A run: every case probed once, then timed in several fresh processes, each finished unit on disk at once."""

import random
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.runner import environment, memory, prober, sampling, thumbnails
from attnbench.runner.forecast import Forecast
from attnbench.runner.journal import Journal, append_profile
from attnbench.runner.prober import Prober
from attnbench.runner.profiler import Profiler
from attnbench.runner.progress import Progress
from attnbench.runner.workers import Asked, StartKind, StartWorker, Worker, WorkerEnded
from attnbench.suites import Case, Probe, Result, Sample, Status, grouped
from attnbench.suites.profile import Profile
from attnbench.suites.suite import Suite

_BLOCKS_LONGER = (Status.OUT_OF_MEMORY, Status.TIMED_OUT)


@dataclass(frozen=True)
class Finished:
    """What a run wrote down, and whether the suite's time ran out before its end."""

    folder: Path
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
    """
    cases = list(suite.cases() if cases is None else cases)
    budget_bytes = suite.budget.bytes_of(memory.available_bytes())
    # Nothing of CUDA survives a fork, so who asks about a GPU is no child of the server either.
    start: StartKind = "spawn" if any(case.device == "cuda" for case in cases) else "forkserver"
    with start_worker(start, None, folders) as worker:
        facts = environment.of_machine() | worker.ask({"do": "environment"}, suite.budget.case_s)
    meta = _meta(suite, cases, facts, command, seed, budget_bytes)
    with Journal(folder, meta) as journal:
        session = _Session(suite, cases, journal, progress, budget_bytes, folders, seed, start_worker, now)
        try:
            session.probe_all()
            session.time_all()
            if profile:
                session.profile_all()
        finally:
            session.close()
        journal.finish(finished=_utc())
    return Finished(folder, tuple(session.rows), tuple(session.profiles), session.out_of_time)


class _Session:
    """A run under way."""

    def __init__(
        self,
        suite: Suite,
        cases: list[Case],
        journal: Journal,
        progress: Progress,
        budget_bytes: int,
        folders: tuple[Path, ...],
        seed: int,
        start_worker: StartWorker,
        now: Callable[[], float],
    ) -> None:
        self.suite = suite
        self.cases = sorted(cases, key=lambda case: case.shape.seq_len)
        self.journal = journal
        self.progress = progress
        self.budget_bytes = budget_bytes
        self.folders = folders
        self.seed = seed
        self.start_worker = start_worker
        self.now = now
        self.deadline = now() + suite.budget.suite_s
        self.rows: list[Result] = []
        self.profiles: list[Profile] = []
        self.plans: dict[str, sampling.Plan] = {}
        self.out_of_time = False
        self.prober = Prober(suite.budget, budget_bytes, folders, start_worker)
        self.forecast = Forecast(cases, suite.measure.processes)
        self._alive: tuple[str, Asked] | None = None
        self._order = 0

    # Probe

    def probe_all(self) -> None:
        """Probe every case, short lengths first, so that what fails at one length is not tried at longer ones."""
        too_long: dict[tuple[Any, ...], str] = {}
        for done, case in enumerate(self.cases):
            self.progress.working("probe", case.title, done, len(self.cases), self.forecast.left_s())
            begun = self.now()
            reason = self._out_of_time() or too_long.get(case.family)
            probe = Probe(case.key, Status.SKIPPED, reason) if reason else self.prober.probe(case)
            if probe.status in _BLOCKS_LONGER:
                too_long[case.family] = f"N={case.shape.seq_len} ended {probe.status}"
            if probe.status is Status.PASSED:
                self._plan(case, probe)
            self._write(probe)
            compiled = probe.compile_ns is not None
            self.forecast.probed(case, self.now() - begun, self.plans.get(case.key), probe.call_ns, compiled=compiled)
            self.progress.probed(case, probe, done + 1, len(self.cases), self.forecast.left_s())

    def _plan(self, case: Case, probe: Probe) -> None:
        assert probe.call_ns is not None
        measure = self.suite.measure
        share_ns = self.suite.budget.case_s * 1e9 / measure.processes
        self.plans[case.key] = sampling.plan(probe.call_ns, measure.values, measure.value_ms * 1e6, share_ns)

    # Time

    def time_all(self) -> None:
        """Time the cases that passed, in as many fresh processes as the suite asks for."""
        for replicate in range(self.suite.measure.processes):
            begun = self.now()
            self._replicate(replicate)
            self.forecast.replicated(self.now() - begun)
            self.progress.replicated(replicate + 1, self.suite.measure.processes, self.forecast.left_s())

    def _replicate(self, replicate: int) -> None:
        """One replicate: the groups in random order, through one process as long as it lives."""
        timed = [case for case in self.cases if case.key in self.plans]
        groups = grouped(timed)
        random.Random(f"{self.seed}:{replicate}").shuffle(groups)
        self._order = done = 0
        for group in groups:
            if self._out_of_time():
                break
            self.progress.working(
                "time", f"process {replicate + 1}", done, len(timed), self.forecast.left_s(done / len(timed))
            )
            self._time_group(group, replicate)
            done += len(group)
        self._drop_worker()

    def _time_group(self, group: list[Case], replicate: int) -> None:
        """Time a group; a case that kills the process is written down, and the rest goes on in another."""
        left = list(group)
        while left:
            try:
                worker = self._worker(left[0].device)
                rows = worker.ask(self._time_request(left, replicate), self.suite.budget.case_s)
            except WorkerEnded as end:
                self._drop_worker()
                struck = left.pop(end.index)
                self._sampled(Sample(struck.key, end.status, end.reason, replicate=replicate))
            else:
                for row in rows:
                    self._sampled(Sample.from_json(row))
                return

    def _time_request(self, cases: list[Case], replicate: int) -> dict[str, Any]:
        plans = [self.plans[case.key] for case in cases]
        return {
            "do": "time",
            "cases": [{"case": case.to_json(), "plan": vars(plan)} for case, plan in zip(cases, plans, strict=True)],
            "replicate": replicate,
            "seed": f"{self.seed}:{replicate}:{cases[0].key}",
            "value_ns": self.suite.measure.value_ms * 1e6,
            "threads": prober.threads(cases[0]),
        }

    def _sampled(self, sample: Sample) -> None:
        """Write a sample with its place in the replicate; a case that failed once is not timed again."""
        self._write(replace(sample, order=self._order))
        self._order += 1
        if sample.status is not Status.PASSED:
            del self.plans[sample.case]

    # Profile

    def profile_all(self) -> None:
        """Profile the cases that passed, last, so that it takes nothing from what is timed."""
        budget = self.suite.budget
        profiler = Profiler(self.journal.folder, budget.case_s, self.budget_bytes, self.folders, self.start_worker)
        passed = [case for case in self.cases if case.key in self.plans]
        for done, case in enumerate(passed):
            self.progress.working("profile", case.title, done, len(passed), None)
            reason = self._out_of_time()
            profile = Profile(case.key, Status.SKIPPED, reason, case.title) if reason else profiler.profile(case)
            append_profile(self.journal.folder, profile)
            self.profiles.append(profile)
            self.progress.profiled(profile, done + 1, len(passed))

    # All

    def close(self) -> None:
        """End the workers that are alive."""
        self.prober.close()
        self._drop_worker()

    def _worker(self, device: str) -> Asked:
        """The replicate's worker, if it is alive and for that device; else a new one."""
        if self._alive is None or self._alive[0] != device:
            self._drop_worker()
            budget_bytes = self.budget_bytes if device == "cpu" else None
            self._alive = (device, self.start_worker("spawn", budget_bytes, self.folders))
        return self._alive[1]

    def _drop_worker(self) -> None:
        if self._alive is not None:
            self._alive[1].close()
            self._alive = None

    def _out_of_time(self) -> str | None:
        if self.now() < self.deadline:
            return None
        self.out_of_time = True
        return f"the suite's {self.suite.budget.suite_s:g} s (budget.suite_s) were spent"

    def _write(self, row: Result) -> None:
        self.journal.append(row)
        self.rows.append(row)


def _meta(
    suite: Suite, cases: list[Case], facts: dict[str, Any], command: Sequence[str], seed: int, budget_bytes: int
) -> dict[str, Any]:
    """`run.json` as it stands when the run begins."""

    def baseline(case: Case) -> str | None:
        found = suite.baseline_of(case)
        return found.key if found else None

    return {
        "format": 1,
        "name": suite.name,
        "question": suite.question,
        "command": shlex.join(command),
        "started": _utc(),
        "finished": None,
        "seed": seed,
        "budget_bytes": budget_bytes,
        "suite": suite.to_json(),
        "source": suite.source,
        "environment": facts,
        "cases": [{"key": case.key, "baseline": baseline(case), **case.to_json()} for case in cases],
        "patterns": thumbnails.of(cases),
    }


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
