"""Two revisions measured in one go: both checked, then timed by live workers that take turns.

What is found is appended to `ab.jsonl`; `attnbench.reports.comparison.ab` reads it. The suite and what measures come
from the installation, the code under test from each revision's import root, which comes first on its arm's path.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attnbench.runner import arms, environment, memory, prober
from attnbench.runner.arms import Arm, Partner, Setting
from attnbench.runner.book import Book
from attnbench.runner.revisions import Revision
from attnbench.runner.workers import StartKind, Worker, WorkerEnded
from attnbench.suites import Case, Probe, Status
from attnbench.suites.suite import Suite

ROWS = "ab.jsonl"
SAME_SHARE = 10
"""One case in so many is measured against itself too."""
SAME_FEWEST = 3

Flag = Callable[[Mapping[str, list[float]]], list[str]]
"""Which cases are to be confirmed, from the log ratios of the screening pairs."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a revision, and the import root within it."""

    name: str
    """A is the base, B the head."""
    revision: Revision
    root: Path


@dataclass(frozen=True)
class Pairs:
    """How many pairs of processes screen every case and confirm a flagged one."""

    screen: int
    confirm: int


def measure(
    suite: Suite,
    sides: tuple[Side, Side],
    book: Book,
    pairs: Pairs,
    flag: Flag,
    say: Say,
    *,
    folders: tuple[Path, ...] = (),
    same_too: bool = False,
    command: str = "",
) -> None:
    """Measure all cases of a suite on both sides.

    A case for which both sides import the same files is not timed, unless `same_too`.
    """
    budget_bytes = suite.budget.bytes_of(memory.available_bytes())
    on_cuda = any(case.device == "cuda" for case in suite.cases())
    with Worker("spawn" if on_cuda else "forkserver") as worker:
        facts = environment.of_machine() | worker.ask({"do": "environment"}, suite.budget.case_s)
    revisions = {side.name: {"name": side.revision.name, "commit": side.revision.commit} for side in sides}
    book.write(
        "environment",
        facts=facts,
        suite=suite.to_json(),
        source=suite.source,
        pairs=vars(pairs),
        revisions=revisions,
        command=command,
        cases=[{"key": case.key, **case.to_json()} for case in suite.cases()],
    )
    calls_ns = _probe_all(suite, sides, book, budget_bytes, folders, same_too, say)
    timed = [case for case in suite.cases() if case.key in calls_ns]
    setting = Setting(suite.measure.value_ms * 1e6, suite.budget.case_s, None if on_cuda else budget_bytes, folders)
    measuring = _Measuring(book, calls_ns, setting, say)
    a, b = (Arm(side.name, start=partial(_start, side.root)) for side in sides)
    step = max(1, min(SAME_SHARE, len(timed) // SAME_FEWEST))
    screened: dict[str, list[float]] = {case.key: [] for case in timed}
    for number in range(pairs.screen if timed else 0):
        measuring.pair("same", (a, Arm("A again", start=a.start)), number, timed[::step], pairs.screen)
        for key, ratio in measuring.pair("screen", (a, b), number, timed, pairs.screen).items():
            screened[key].append(ratio)
    flagged = set(flag(screened)) if timed else set()
    suspects = [case for case in timed if case.key in flagged]
    for number in range(pairs.confirm if suspects else 0):
        measuring.pair("confirm", (a, b), number, suspects, pairs.confirm)
    book.write("finished")


@dataclass(frozen=True)
class _Measuring:
    """What all pairs share."""

    book: Book
    calls_ns: Mapping[str, float]
    """About how long a call of each case takes, by its key."""
    setting: Setting
    say: Say

    def pair(
        self, stage: str, both: tuple[Arm, Arm], number: int, cases: Sequence[Case], many: int
    ) -> Mapping[str, float]:
        """One pair, written down: the log ratios by case key."""
        self.say(f"{stage} pair {number + 1} of {many}, {len(cases)} cases")
        plans = {case.key: arms.plan(self.calls_ns[case.key]) for case in cases}
        found = arms.measure_pair(both, cases, plans, self.setting, f"{stage}:{number}")
        turns = sum(plans[key].values for key in found.ratios)
        ended = {key: list(end) for key, end in found.ended.items()}
        self.book.write("pair", stage=stage, pair=number, ratios=dict(found.ratios), ended=ended, turns=turns)
        return found.ratios


def _probe_all(
    suite: Suite,
    sides: tuple[Side, Side],
    book: Book,
    budget_bytes: int,
    folders: tuple[Path, ...],
    same_too: bool,
    say: Say,
) -> dict[str, float]:
    """Probe every case on both sides: the keys of those to be timed, with about how long a call takes."""
    timed: dict[str, float] = {}
    for case in suite.cases():
        probes, imports = [], []
        for side in sides:
            probe, imported = _probe(side, case, budget_bytes, folders, suite.budget.case_s)
            book.write("probe", arm=side.name, probe=probe.to_json(), imports=imported)
            say(f"{side.name} {probe.status} {case.title}" + (f": {probe.reason}" if probe.reason else ""))
            probes.append(probe)
            imports.append(imported)
        if all(each.status is Status.PASSED for each in probes) and (same_too or imports[0] != imports[1]):
            timed[case.key] = max(each.call_ns or 0.0 for each in probes)
    return timed


def _probe(
    side: Side, case: Case, budget_bytes: int, folders: tuple[Path, ...], patience_s: float
) -> tuple[Probe, dict[str, str]]:
    """One careful look at a case on one side, and a hash of each file that it imported from there."""
    kind: StartKind = "forkserver" if case.device == "cpu" else "spawn"
    limit = budget_bytes if case.device == "cpu" else None
    request: dict[str, Any] = {"case": case.to_json(), "threads": prober.threads(case), "budget_bytes": budget_bytes}
    try:
        with Worker(kind, limit, folders, root=side.root) as worker:
            probe = Probe.from_json(worker.ask({"do": "probe", **request}, patience_s))
            return probe, worker.ask({"do": "imports", "root": str(side.root)}, patience_s)
    except WorkerEnded as end:
        return Probe(case.key, end.status, end.reason), {}


def _start(root: Path, budget_bytes: int | None, folders: tuple[Path, ...], link: Connection) -> Partner:
    """A freshly executed interpreter that imports from `root` first."""
    return Worker("spawn", budget_bytes, folders, link, arms.ENVIRONMENT, root)
