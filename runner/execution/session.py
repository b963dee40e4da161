"""A run in progress: probes, replicates and profiles. Each finished unit is written immediately."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from attnbench.reports.text.units import clock
from attnbench.runner.execution.journal import append_profile
from attnbench.runner.execution.profiler import Profiler
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.task import Book, Task
from attnbench.runner.plan.remaining_time import RemainingTime, planned, probe_s, trains
from attnbench.runner.worker.call import sampling
from attnbench.runner.workers import prober
from attnbench.runner.workers.prober import Prober
from attnbench.runner.workers.worker import Asked, NotStarted, StartWorker, WorkerEnded, limit_for, started, understood
from attnbench.suites import Case, Probe, Result, Sample, Status, grouped
from attnbench.suites.case import names_of, probing_order
from attnbench.suites.profile import Profile
from attnbench.suites.result import SPENT, Score
from attnbench.variants import kernels
from attnbench.variants.kernels import _building

_BLOCKS_LONGER = (Status.OUT_OF_MEMORY, Status.TIMED_OUT)
"""After these, longer cases of the same family are skipped."""


class Session:
    """Measures a task and writes the results. Kept rows are not changed."""

    def __init__(
        self,
        task: Task,
        book: Book,
        progress: Progress,
        folders: tuple[Path, ...],
        start_worker: StartWorker,
        now: Callable[[], float],
    ) -> None:
        self.task = task
        self.suite = task.suite
        self.kept = task.kept
        self.cases = probing_order(task.cases)
        self.titles = dict(zip((case.key for case in self.cases), names_of(self.cases), strict=True))
        self.journal = book
        self.progress = progress
        self.folders = folders
        self.start_worker = start_worker
        self.now = now
        self.deadline = now() + (self.suite.budget.suite_s if task.left_s is None else task.left_s)
        self.rows = self.kept.rows
        self.profiles = list(self.kept.profiles.values())
        self.passed: list[Case] = []
        self.plans: dict[str, sampling.Plan] = {}
        self.digests: dict[str, str | None] = {}
        self.out_of_time = False
        self.prober = Prober(self.suite.budget, task.budget_bytes, folders, start_worker, origin=self.suite.origin)
        self.remaining = RemainingTime(self.cases, len(task.replicates))
        self._alive: tuple[str, Asked] | None = None
        self._order = 0
        self._energies = False
        self._rates = {
            key: score.lr
            for key, each in self.kept.samples.items()
            for score in each.values()
            if isinstance(score, Score) and score.lr is not None
        }
        """The learning rate with which each case trains, once it is known."""

    # Probe

    def probe_all(self) -> None:
        """Probe every case, short lengths first, so that longer ones can be skipped after a failure."""
        self._build()
        too_long: dict[tuple[Any, ...], str] = {}
        for done, case in enumerate(self.cases):
            begun = self.now()
            kept = self.kept.probes.get(case.key)
            probe = kept or self._probe(case, done, too_long.get(case.family))
            if probe.status in _BLOCKS_LONGER:
                too_long[case.family] = f"N={case.setting.shape.seq_len} ended {probe.status}"
            if probe.status is Status.PASSED:
                self._plan(case, probe)
            took_s = probe_s(probe.call_ns or 0.0) if kept else self.now() - begun
            compiled = probe.compile_ns is not None
            self.remaining.probed(case, took_s, self.plans.get(case.key), probe.call_ns, compiled=compiled)
            if not kept:
                self.progress.probed(self.titles[case.key], probe, done + 1, len(self.cases), self.remaining.left_s())
        # The probing worker holds device memory that the timing workers need.
        self.prober.close()

    def _build(self) -> None:
        """Compile `native` if some case needs it, outside all budgets: a worker's limits would stop a compiler."""
        if _building.is_built() or all(case.implementation != kernels.PREFERRED for case in self.cases):
            return
        begun = self.now()
        self.progress.building()
        # If it fails, the cases report why.
        with suppress(_building.BuildError):
            _building.build(again=True)
        self.deadline += self.now() - begun

    def _probe(self, case: Case, done: int, too_long: str | None) -> Probe:
        """Probe a case and write the result. Skip it if a shorter one was `too_long`, or the time is spent.

        Raises:
            NotStarted: no worker could be started, and nothing was measured yet.
        """
        self.progress.working("probe", self.titles[case.key], done, len(self.cases), self.remaining.left_s())
        reason = self._out_of_time() or too_long
        try:
            probe = Probe(case.key, Status.SKIPPED, reason) if reason else self.prober.probe(case)
        except NotStarted as end:
            if not self.rows:
                raise
            probe = Probe(case.key, end.status, end.reason)
        probe = replace(probe, part=self.task.part)
        self._write(probe)
        return probe

    def _plan(self, case: Case, probe: Probe) -> None:
        assert probe.call_ns is not None
        self.passed.append(case)
        self.digests[case.key] = probe.output_digest
        if not self.kept.failed(case.key):
            self.plans[case.key] = planned(self.suite, case, probe.call_ns)

    # Time

    def time_all(self) -> None:
        """Time the cases that passed, in a fresh process for each replicate. Existing samples are kept."""
        waiting = [replicate for replicate in self.task.replicates if self._missing(replicate)]
        self.remaining.to_time(len(waiting))
        # Once for all processes, so that each has the energies of the same cases.
        self._energies = self.remaining.allows_energy(self.deadline - self.now())
        for replicate in waiting:
            if not self._missing(replicate):
                # Its last missing case failed in an earlier replicate.
                continue
            begun = self.now()
            self._replicate(replicate)
            if self.out_of_time:
                return
            self.remaining.replicated(self.now() - begun)
            self.progress.replicated(replicate + 1, self.task.replicates[-1] + 1, self.remaining.left_s())

    def _missing(self, replicate: int) -> set[str]:
        """Return the keys of the cases without a sample in a replicate."""
        return {key for key in self.plans if replicate not in self.kept.samples.get(key, {})}

    def _replicate(self, replicate: int) -> None:
        """Time the groups of a replicate in random order, in one process unless it dies, until the time is spent."""
        # Shuffle all groups, even finished ones, so that the order does not depend on interruptions.
        groups = grouped(self.passed)
        random.Random(f"{self.suite.seed}:{replicate}").shuffle(groups)
        missing = self._missing(replicate)
        self._order = sum(replicate in samples for samples in self.kept.samples.values())
        done = 0
        for group in groups:
            left = [case for case in group if case.key in missing]
            if not left:
                continue
            if self._out_of_time():
                break
            # First, so that a torn row never leaves an added case without its baseline.
            again = {key for case in left for key in self.task.again.get(case.key, ())} - missing
            beside = [case for case in group if case.key in again and case.key in self.plans]
            if trains(group[0]):
                for at, case in enumerate([*beside, *left]):
                    if self._out_of_time():
                        break
                    self._train(case, replicate, done + max(at - len(beside), 0), len(missing))
            else:
                left_s = self.remaining.left_s(done / len(missing))
                self.progress.working("time", f"process {replicate + 1}", done, len(missing), left_s)
                self._time_group([*beside, *left], replicate)
            done += len(left)
        self._drop_worker()

    def _time_group(self, group: list[Case], replicate: int) -> None:
        """Time a group. If a case kills the worker, or none can be started for it, record it and continue with the
        remaining cases in a new worker.

        All cases of a group are held in memory at once. A case without enough memory is timed afterwards, alone.
        """
        left = list(group)
        while left:
            try:
                reply = self._worker(left[0]).ask(self._time_request(left, replicate), self.suite.budget.case_s)
                samples = understood(partial(_samples, left), reply)
            except WorkerEnded as end:
                # The worker's last mark names the case that was at work.
                self._drop_worker()
                ended = left.pop(end.index)
                self._sampled([(ended, Sample(ended.key, end.status, end.reason, replicate=replicate))])
            else:
                pairs = list(zip(left, samples, strict=True))
                crowded = [case for case, sample in pairs if sample.status is Status.OUT_OF_MEMORY and len(left) > 1]
                self._sampled([(case, sample) for case, sample in pairs if case not in crowded])
                for case in crowded:
                    self._time_group([case], replicate)
                return

    def _train(self, case: Case, replicate: int, done: int, missing: int) -> None:
        """Train a case's model with the seed of a replicate, and write its score; `done` of all `missing` are there."""
        title = f"{self.titles[case.key]}, seed {replicate + 1}"

        def heard(stage: str, share: float) -> None:
            left_s = self.remaining.left_s((done + share) / missing)
            self.progress.working("train", f"{title}: {stage}", done, missing, left_s)
            self.journal.log_training(f"{title}: {stage}" + (f" ({clock(left_s)} left)" if left_s else ""))

        heard("begins", 0.0)
        request = {
            "do": "train",
            "case": case.flat(),
            "threads": prober.threads(case),
            "replicate": replicate,
            "seed": self.suite.seed,
            "lr": self._rates.get(case.key),
        }
        try:
            score = understood(Score.from_json, self._worker(case).ask(request, self.suite.budget.case_s, heard))
        except WorkerEnded as end:
            self._drop_worker()
            score = Score(case.key, end.status, end.reason, replicate=replicate)
        if score.lr is not None:
            self._rates[case.key] = score.lr
        self._sampled([(case, score)])

    def _time_request(self, cases: list[Case], replicate: int) -> dict[str, Any]:
        return {
            "do": "time",
            "cases": [
                {"case": case.flat(), "plan": vars(self.plans[case.key]), "digest": self.digests[case.key]}
                for case in cases
            ],
            "replicate": replicate,
            "seed": f"{self.suite.seed}:{replicate}:{cases[0].key}",
            "origin": vars(self.suite.origin),
            "value_ns": self.suite.measure.value_ms * 1e6,
            "threads": prober.threads(cases[0]),
            "energies": self._energies,
        }

    def _sampled(self, pairs: list[tuple[Case, Sample]]) -> None:
        """Write samples with their part of the run and their order in the replicate. Failed cases are not timed again.

        Samples of a group are written together, so that a kill rarely separates a case from its baseline. A case that
        has a sample in this replicate already is a baseline that was timed again.
        """
        part, first = self.task.part, self._order
        again = {case.key for case, sample in pairs if sample.replicate in self.kept.samples.get(case.key, {})}
        placed = [
            (case, replace(sample, order=first + i, part=part, again=case.key in again))
            for i, (case, sample) in enumerate(pairs)
        ]
        self._order += len(placed)
        self._write(*(sample for _, sample in placed))
        for case, sample in placed:
            self.progress.sampled(self.titles[case.key], sample)
            if sample.status is not Status.PASSED:
                del self.plans[case.key]

    # Profile

    def profile_all(self) -> None:
        """Profile the cases that passed. This comes last, so that it takes no time from the timing."""
        budget = self.suite.budget
        budget_bytes = self.task.budget_bytes
        origin = self.suite.origin
        profiler = Profiler(self.journal.folder, budget.case_s, budget_bytes, self.folders, self.start_worker, origin)
        passed = [case for case in self.cases if case.key in self.plans]
        for done, case in enumerate(passed):
            if case.key in self.kept.profiles:
                continue
            self.progress.working("profile", self.titles[case.key], done, len(passed), None)
            reason = self._out_of_time()
            profile = Profile(case.key, Status.SKIPPED, reason, case.title) if reason else profiler.profile(case)
            append_profile(self.journal.folder, profile)
            self.profiles.append(profile)
            self.progress.profiled(self.titles[case.key], profile, done + 1, len(passed))

    # All

    def close(self) -> None:
        """Stop all workers."""
        self.prober.close()
        self._drop_worker()

    def _worker(self, case: Case) -> Asked:
        """Return the replicate's worker for the case's device, started if necessary.

        Raises:
            NotStarted: it could not be started.
        """
        if self._alive is None or self._alive[0] != case.setting.device:
            self._drop_worker()
            limit = limit_for(self.task.budget_bytes, case)
            self._alive = (case.setting.device, started(lambda: self.start_worker("spawn", limit, self.folders)))
        return self._alive[1]

    def _drop_worker(self) -> None:
        if self._alive is not None:
            self._alive[1].close()
            self._alive = None

    def _out_of_time(self) -> str | None:
        if self.now() < self.deadline:
            return None
        self.out_of_time = True
        return f"the suite's {self.suite.budget.suite_s:g} s {SPENT}"

    def _write(self, *rows: Result) -> None:
        self.journal.append(*rows)
        self.rows += rows


def _samples(cases: Sequence[Case], reply: list[dict[str, Any]]) -> list[Sample]:
    """Parse a worker's reply for a group.

    Raises:
        ValueError: it is not one sample for each case.
    """
    samples = [Sample.from_json(row) for row in reply]
    if [sample.case for sample in samples] != [case.key for case in cases]:
        raise ValueError("samples of other cases")
    return samples
