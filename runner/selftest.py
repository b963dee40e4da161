"""What `bench selftest` measures: the same code against itself, against a known slow-down, and against torch's timer.

Everything is appended to `selftest.jsonl`; what is there already is not measured again, so a self-test can be
interrupted, and a later one adds runs. `attnbench.reports.selftest` reads it.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.runner import arms, environment, memory, prober, sampling
from attnbench.runner.arms import Arm, Setting
from attnbench.runner.journal import FolderError
from attnbench.runner.prober import Prober
from attnbench.runner.sampling import Plan
from attnbench.runner.workers import Worker
from attnbench.suites import Case, Status, grouped
from attnbench.suites.problem import Problem, SuiteError
from attnbench.suites.suite import Suite

ROWS = "selftest.jsonl"
SLOWDOWNS = (0.03, 0.05, 0.10)
TURNS = 9
AGREEMENT_VALUES = 15
MEMORY_PROCESSES = 20
MEMORY_CASES = 6
POWER_EVERY = 4
"""One run with each slow-down for so many runs without."""

Flag = Callable[[Mapping[str, list[float]]], list[str]]
"""Which cases are to be confirmed, from the log ratios of the screening pairs."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pairs:
    """How many pairs of processes screen every case and confirm a flagged one."""

    screen: int
    confirm: int


def measure(suite: Suite, folder: Path, runs: int, pairs: Pairs, flag: Flag, say: Say) -> None:
    """Bring the self-test in `folder` to `runs` A/A runs, and everything else that belongs to it.

    Raises:
        SuiteError: the suite has cases that are not on the CPU.
        FolderError: the folder cannot be written, or holds a self-test of another suite.
    """
    devices = {case.device for case in suite.cases()}
    if devices != {"cpu"}:
        text = "expected cases on the CPU alone: on CUDA our clock and torch's timer do not measure the same thing"
        raise SuiteError([Problem(suite.name, None, None, ("device",), text)])
    book = _Book(folder)
    budget_bytes = suite.budget.bytes_of(memory.available_bytes())
    if not book.of("environment"):
        with Worker("forkserver") as worker:
            facts = environment.of_machine() | worker.ask({"do": "environment"}, suite.budget.case_s)
        book.write("environment", facts=facts, suite=suite.to_json(), source=suite.source, pairs=vars(pairs))
    cases, plans = _cases(suite, book, budget_bytes, say)
    setting = Setting(TURNS, suite.measure.value_ms * 1e6, suite.budget.case_s, budget_bytes)
    _overhead(book, suite, plans)
    _agreement(book, cases, plans, setting, say)
    _memory(book, cases, Prober(suite.budget, budget_bytes), say)
    for run in range(runs):
        _decision(book, run, 0.0, cases, plans, setting, pairs, flag, say)
        if run % POWER_EVERY == POWER_EVERY - 1 or runs < POWER_EVERY:
            for slowdown in SLOWDOWNS:
                fit = [case for case in cases if plans[case.key].calls * slowdown >= 1]
                _decision(book, run, slowdown, fit, plans, setting, pairs, flag, say)


class _Book:
    """The rows of a self-test, read once and appended to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ROWS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if self._path.exists() else []
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
                self._path.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder}: cannot be used: {error.strerror}") from error
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == kind]

    def write(self, kind: str, **facts: Any) -> None:
        """Add a row and wait until it is on disk."""
        row = {"kind": kind, **facts}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def _cases(suite: Suite, book: _Book, budget_bytes: int, say: Say) -> tuple[list[Case], dict[str, Plan]]:
    """The cases that pass, and their plans, frozen when the self-test began."""
    told = {row["key"]: row for row in book.of("case")}
    probe = Prober(suite.budget, budget_bytes).probe
    wanted = suite.cases()
    foreign = set(told) - {case.key for case in wanted}
    if foreign:
        raise FolderError(
            f"{book._path}: expected a self-test of this suite, found one of another; name another folder"
        )
    for case in wanted:
        if case.key in told:
            continue
        found = probe(case)
        say(f"{found.status} {case.title}" + (f": {found.reason}" if found.reason else ""))
        plan = None
        if found.status is Status.PASSED and found.call_ns is not None:
            plan = vars(sampling.plan(found.call_ns, TURNS, suite.measure.value_ms * 1e6, suite.budget.case_s * 1e9))
        book.write("case", key=case.key, case=case.to_json(), plan=plan, probe=found.to_json())
    plans = {row["key"]: Plan(**row["plan"]) for row in book.of("case") if row["plan"]}
    return [case for case in wanted if case.key in plans], plans


def _overhead(book: _Book, suite: Suite, plans: Mapping[str, Plan]) -> None:
    """What the timed loop itself takes, at the largest number of calls that any value has."""
    if book.of("overhead"):
        return
    with Worker("spawn") as worker:
        calls = max(plan.calls for plan in plans.values())
        empty_ns = worker.ask({"do": "overhead", "calls": calls}, suite.budget.case_s)
    book.write("overhead", calls=calls, empty_ns=empty_ns, value_ns=suite.measure.value_ms * 1e6)


def _agreement(book: _Book, cases: Sequence[Case], plans: Mapping[str, Plan], setting: Setting, say: Say) -> None:
    """Our clock and torch's timer in turns, in one process, on the same calls: log ratios by case."""
    if book.of("agreement"):
        return
    ratios: dict[str, list[list[float]]] = {}
    with Worker("spawn", setting.budget_bytes) as worker:
        for group in grouped(cases):
            say(f"agreement with torch's timer: {group[0].title}")
            worker.ask(arms.ready_request(group, setting), setting.patience_s)
            for index, case in enumerate(group):
                calls = plans[case.key].calls
                take = {"do": "take", "index": index, "calls": calls}
                timer = {"do": "timer", "index": index, "calls": calls, "threads": prober.threads(case)}
                ratios[case.key] = [
                    [worker.ask(take, setting.patience_s), worker.ask(timer, setting.patience_s)]
                    for _ in range(AGREEMENT_VALUES)
                ]
    book.write("agreement", pairs_ns=ratios)


def _memory(book: _Book, cases: Sequence[Case], probes: Prober, say: Say) -> None:
    """Peak bytes and work of some cases, each in many processes."""
    chosen = list(cases)[:: max(1, len(cases) // MEMORY_CASES)]
    for process in range(len(book.of("memory")), MEMORY_PROCESSES):
        say(f"memory: process {process + 1} of {MEMORY_PROCESSES}")
        found = {case.key: probes.probe(case) for case in chosen}
        told = {key: [probe.peak_bytes, probe.flops, probe.computed_pairs] for key, probe in found.items()}
        book.write("memory", process=process, peak_flops_pairs=told)


def _decision(
    book: _Book,
    run: int,
    slowdown: float,
    cases: Sequence[Case],
    plans: Mapping[str, Plan],
    setting: Setting,
    pairs: Pairs,
    flag: Flag,
    say: Say,
) -> None:
    """One run through both stages, the second arm slower by a known share."""
    if any(row["run"] == run and row["slowdown"] == slowdown for row in book.of("decision")):
        return
    both = Arm("A"), Arm("B", slowdown)
    begun, cpu = time.monotonic(), time.process_time()

    def stage(name: str, chosen: Sequence[Case], many: int) -> dict[str, list[float]]:
        told: dict[str, list[float]] = {case.key: [] for case in chosen}
        for pair in range(many if chosen else 0):
            what = f"slow-down of {slowdown:.0%}" if slowdown else "A/A"
            say(f"run {run + 1}, {what}: {name} pair {pair + 1} of {many}, {len(chosen)} cases")
            found = arms.measure_pair(both, chosen, plans, setting, f"{run}:{slowdown}:{name}:{pair}")
            for key, ratio in found.items():
                told[key].append(ratio)
        return told

    screen = stage("screening", cases, pairs.screen)
    flagged = set(flag(screen))
    confirm = stage("confirming", [case for case in cases if case.key in flagged], pairs.confirm)
    spent = {"wall_s": time.monotonic() - begun, "parent_cpu_s": time.process_time() - cpu}
    book.write("decision", run=run, slowdown=slowdown, screen=screen, confirm=confirm, load=os.getloadavg()[0], **spent)
