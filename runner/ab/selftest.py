"""Measurements of `bench selftest`: A/A, known slow-downs, and torch's timer.

Results are appended to `selftest.jsonl`. Existing results are not measured again, so a self-test can be interrupted,
and a later one adds runs. `attnbench.reports.selftest.judge` reads the file.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from attnbench.runner.ab import live_pair, paired_timing
from attnbench.runner.ab.live_pair import Arm, Limits
from attnbench.runner.ab.paired_timing import Flag, Say, Stages
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.json_lines import Book
from attnbench.runner.execution.progress import told
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.workers import prober
from attnbench.runner.workers.prober import Prober
from attnbench.runner.workers.worker import Worker, limit_for
from attnbench.suites import Case, Status, grouped
from attnbench.suites.case import names_of
from attnbench.suites.schema.suite import Suite

SLOWDOWNS = (0.0, 0.03, 0.05, 0.10)
"""0 means the same code against itself (A/A)."""
LONGEST_NS = 10_000_000
"""A slow-down is not injected if a whole number of calls would need longer turns than this."""
AGREEMENT_TURNS = 4
"""Factor on the turns of a pair, because this comparison has only one process."""
MEMORY_PROCESSES = 20
MEMORY_CASES = 6
POWER_EVERY = 10
"""Slow-downs are measured once in this many runs."""


def measure(suite: Suite, book: Book, runs: int, stages: Stages, flag: Flag, say: Say) -> None:
    """Measure what is missing for a self-test with `runs` A/A runs.

    Raises:
        FolderError: the book has a self-test of another suite.
    """
    budget_bytes = paired_timing.share_bytes(suite.budget)
    if not book.of("environment"):
        facts = prober.machine(suite.cases(), suite.budget) | live_pair.environment()
        book.write("environment", facts=facts, suite=suite.to_json(), source=suite.source, pairs=vars(stages))
    calls_ns = _calls_ns(suite, book, budget_bytes, say)
    cases = [case for case in suite.cases() if case.key in calls_ns]
    plans = {
        share: {key: paired_timing.plan(call_ns, share) for key, call_ns in calls_ns.items()} for share in SLOWDOWNS
    }
    limit = limit_for(budget_bytes, *suite.cases())
    limits = Limits(suite.measure.value_ms * 1e6, suite.budget.case_s, limit, origin=suite.origin)
    # CPU only: on CUDA our clock times launches on the device, while torch's timer times the host's wait. And there all
    # probes share a process, so repeated peaks would show little.
    on_cpu = [case for case in cases if case.setting.device == "cpu"]
    if on_cpu:
        _overhead(book, suite.budget.case_s, plans[0.0])
        _agreement(book, on_cpu, plans[0.0], limits, say)
        with closing(Prober(suite.budget, budget_bytes, origin=suite.origin)) as probes:
            _memory(book, on_cpu, probes, say)
    for run in range(runs):
        for slowdown in SLOWDOWNS if run % POWER_EVERY == 0 else SLOWDOWNS[:1]:
            fit = [case for case in cases if plans[slowdown][case.key].calls * calls_ns[case.key] <= LONGEST_NS]
            chosen = fit if slowdown else cases
            _decision(book, run, slowdown, chosen, plans[slowdown], limits, stages, flag, say)


def _calls_ns(suite: Suite, book: Book, budget_bytes: int, say: Say) -> dict[str, float]:
    """Measure the time of a call of each case that passes, by key, once at the start of the self-test."""
    known = {row["key"] for row in book.of("case")}
    probes = Prober(suite.budget, budget_bytes, live=paired_timing.ARMS, origin=suite.origin)
    wanted = suite.cases()
    foreign = known - {case.key for case in wanted}
    if foreign:
        raise FolderError(f"{book.path}: expected a self-test of this suite, found one of another; name another folder")
    try:
        for case, title in zip(wanted, names_of(wanted), strict=True):
            if case.key in known:
                continue
            found = probes.probe(case)
            say(told(title, found))
            book.write("case", key=case.key, case=case.flat(), probe=found.to_json())
    finally:
        probes.close()
    passed = [row for row in book.of("case") if row["probe"]["status"] == Status.PASSED]
    return {row["key"]: row["probe"]["call_ns"] for row in passed}


def _overhead(book: Book, patience_s: float, plans: Mapping[str, Plan]) -> None:
    """Measure the time of the empty timing loop, with the largest number of calls of any value."""
    if book.of("overhead"):
        return
    with Worker("spawn") as worker:
        calls = max(plan.calls for plan in plans.values())
        empty_ns = worker.ask({"do": "overhead", "calls": calls}, patience_s)
    book.write("overhead", calls=calls, empty_ns=empty_ns, value_ns=paired_timing.TURN_NS)


def _agreement(book: Book, cases: Sequence[Case], plans: Mapping[str, Plan], limits: Limits, say: Say) -> None:
    """Compare our clock with torch's timer, in turns on the same calls in one process; store the times by case."""
    if book.of("agreement"):
        return
    agreed: dict[str, list[list[float]]] = {}
    with Worker("spawn", limits.budget_bytes, environment=live_pair.environment()) as worker:
        for group in grouped(cases):
            say(f"agreement with torch's timer: {group[0].title}")
            failed = worker.ask(live_pair.ready_request(group, limits), limits.patience_s)
            for index, case in ((i, each) for i, each in enumerate(group) if str(i) not in failed):
                plan = plans[case.key]
                longer = replace(plan, values=AGREEMENT_TURNS * plan.values)
                asked = {"index": index, "plan": vars(longer), "threads": prober.threads(case), "seed": case.key}
                agreed[case.key] = worker.ask({"do": "agreement", **asked}, limits.patience_s)
    book.write("agreement", pairs_ns=agreed)


def _memory(book: Book, cases: Sequence[Case], probes: Prober, say: Say) -> None:
    """Measure peak bytes and work of some cases in many processes."""
    chosen = list(cases)[:: max(1, len(cases) // MEMORY_CASES)]
    for process in range(len(book.of("memory")), MEMORY_PROCESSES):
        say(f"memory: process {process + 1} of {MEMORY_PROCESSES}")
        found = {case.key: probes.probe(case) for case in chosen}
        counted = {key: [probe.peak_bytes, probe.flops, probe.computed_pairs] for key, probe in found.items()}
        book.write("memory", process=process, peak_flops_pairs=counted)


def _decision(
    book: Book,
    run: int,
    slowdown: float,
    cases: Sequence[Case],
    plans: Mapping[str, Plan],
    limits: Limits,
    stages: Stages,
    flag: Flag,
    say: Say,
) -> None:
    """Measure one run with both stages; the second arm has a known slow-down."""
    if any(row["run"] == run and row["slowdown"] == slowdown for row in book.of("decision")):
        return
    digests = {row["key"]: row["probe"].get("output_digest") for row in book.of("case")}
    both = Arm("A", digests=digests), Arm("B", slowdown, digests=digests)
    begun, cpu = time.monotonic(), time.process_time()

    def stage(name: str, chosen: Sequence[Case], many: int) -> dict[str, list[float]]:
        ratios: dict[str, list[float]] = {case.key: [] for case in chosen}
        for pair in range(many if chosen else 0):
            what = f"slow-down of {slowdown:.0%}" if slowdown else "A/A"
            say(f"run {run + 1}, {what}: {name} pair {pair + 1} of {many}, {len(chosen)} cases")
            found = paired_timing.measure_pair(both, chosen, plans, limits, f"{run}:{slowdown}:{name}:{pair}")
            for key, ratio in found.ratios.items():
                ratios[key].append(ratio)
        return ratios

    screen = stage("screening", cases, stages.screen)
    flagged = set(flag(screen))
    confirm = stage("confirming", [case for case in cases if case.key in flagged], stages.confirm)
    spent = {"wall_s": time.monotonic() - begun, "parent_cpu_s": time.process_time() - cpu}
    book.write("decision", run=run, slowdown=slowdown, screen=screen, confirm=confirm, load=os.getloadavg()[0], **spent)
