"""Measurement of two sides in one run: both are checked, then timed with two workers that take turns.

Results are appended to `ab.jsonl`, which `reports.compare.between_revisions` reads. The suite and attnbench come from
the installation. The code under test comes from each revision's import root, which is first on its arm's path, or from
each environment.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.runner.ab import live_pair, paired_timing
from attnbench.runner.ab.live_pair import Arm, Limits
from attnbench.runner.ab.paired_timing import Flag, Say, Stages
from attnbench.runner.ab.revisions import RevisionError
from attnbench.runner.ab.sides import Side
from attnbench.runner.ab.time_left import TimeLeft
from attnbench.runner.execution.json_lines import Book
from attnbench.runner.execution.progress import told
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import WorkerEnded, limit_for, started, understood
from attnbench.suites import Case, Probe, Status
from attnbench.suites.case import names_of
from attnbench.suites.origin import DEFAULT, Origin
from attnbench.suites.schema.limits import Budget, Check
from attnbench.suites.schema.suite import Suite

SAME_SHARE = 10
"""One case in this many is also measured against itself."""
SAME_FEWEST = 3


def measure(
    suite: Suite,
    sides: tuple[Side, Side],
    book: Book,
    stages: Stages,
    flag: Flag,
    say: Say,
    *,
    policy: Check,
    folders: tuple[Path, ...] = (),
    same_too: bool = False,
    command: str = "",
    now: Callable[[], float] = time.monotonic,
) -> bool:
    """Measure all cases of a suite on both sides. Return whether it finished before the suite's time was spent.

    A case for which both sides import the same files is not timed, unless `same_too`. A case for which only one side
    imports files is never timed. All cases are timed in environments. A probe or a pair that has begun is finished.
    `policy` is only stored for the reports.

    Raises:
        RevisionError: cases passed, but none imported anything from either side.
    """
    deadline = now() + suite.budget.suite_s
    budget_bytes = paired_timing.share_bytes(suite.budget)
    cases = suite.cases()
    # A new seed for each run, so that no order can favour the same arm in every run.
    seed = secrets.randbits(32)
    book.write(
        "environment",
        facts=prober.machine(cases, suite.budget) | live_pair.environment(),
        suite=suite.to_json(),
        source=suite.source,
        pairs=vars(stages),
        seed=seed,
        policy=policy.model_dump(mode="json"),
        command=command,
        cases=[{"key": case.key, "label": case.label, **case.flat()} for case in cases],
        **_compared(sides, cases, suite.budget),
    )

    def in_time() -> None:
        if now() >= deadline:
            raise _OutOfTime

    try:
        left = TimeLeft(cases, stages)
        calls_ns, digests = _probe_all(suite, sides, book, budget_bytes, folders, same_too, left, say, in_time)
        limit = limit_for(budget_bytes, *cases)
        limits = Limits(suite.measure.value_ms * 1e6, suite.budget.case_s, limit, folders, suite.origin)
        measuring = _Measuring(book, calls_ns, limits, seed, left, say, in_time)
        arm_a, arm_b = (
            Arm(side.name, start=side.partner, digests=digests[side.name], threads=side.threads) for side in sides
        )
        _time_all(measuring, (arm_a, arm_b), [case for case in cases if case.key in calls_ns], stages, flag)
    except _OutOfTime:
        book.write("out_of_time", suite_s=suite.budget.suite_s)
        return False
    book.write("finished")
    return True


def _compared(sides: tuple[Side, Side], cases: list[Case], budget: Budget) -> dict[str, Any]:
    """Return what is compared: `revisions` with their commits, or `environments` with all that is known of them."""
    environments = {side.name: side.environment for side in sides if side.environment}
    if environments:
        told = {
            side.name: {
                "name": environments[side.name].name,
                "variables": dict(environments[side.name].variables),
                "packages": environments[side.name].versions(),
                "facts": side.facts(cases, budget) | ({"threads": side.threads} if side.threads else {}),
            }
            for side in sides
        }
        return {"environments": told}
    revisions = {side.name: side.revision for side in sides if side.revision}
    return {"revisions": {name: {"name": each.name, "commit": each.commit} for name, each in revisions.items()}}


class _OutOfTime(Exception):
    """The suite's time is spent."""


@dataclass(frozen=True)
class _Measuring:
    """Data that all pairs share."""

    book: Book
    calls_ns: Mapping[str, float]
    """About how long a call of each case takes, by case key."""
    limits: Limits
    seed: int
    """The seed of all random orders."""
    left: TimeLeft
    say: Say
    in_time: Callable[[], None]
    """Raises `_OutOfTime` if the suite's time is spent."""

    def pair(
        self, stage: str, both: tuple[Arm, Arm], number: int, cases: Sequence[Case], many: int
    ) -> Mapping[str, float]:
        """Measure and store one pair; returns the log ratios by case key.

        Raises:
            _OutOfTime: the suite's time is spent.
        """
        self.in_time()
        self.say(f"{stage} pair {number + 1} of {many}, {len(cases)} cases{self.left.text()}")
        self.left.begin()
        plans = {case.key: paired_timing.plan(self.calls_ns[case.key]) for case in cases}
        found = paired_timing.measure_pair(both, cases, plans, self.limits, f"{self.seed}:{stage}:{number}")
        self.left.paired(stage)
        turns = sum(plans[key].values for key in found.ratios)
        ended = {key: list(end) for key, end in found.ended.items()}
        self.book.write("pair", stage=stage, pair=number, ratios=dict(found.ratios), ended=ended, turns=turns)
        return found.ratios


def _time_all(measuring: _Measuring, both: tuple[Arm, Arm], cases: Sequence[Case], stages: Stages, flag: Flag) -> None:
    """Screen every case, some of them against themselves too, and confirm what is flagged."""
    if not cases:
        return
    a, _ = both
    again = cases[:: max(1, min(SAME_SHARE, len(cases) // SAME_FEWEST))]
    measuring.left.again(len(again) / len(cases))
    screened: dict[str, list[float]] = {case.key: [] for case in cases}
    for number in range(stages.screen):
        measuring.pair("same", (a, replace(a, name="A again")), number, again, stages.screen)
        for key, ratio in measuring.pair("screen", both, number, cases, stages.screen).items():
            screened[key].append(ratio)
    flagged = set(flag(screened))
    suspects = [case for case in cases if case.key in flagged]
    measuring.left.screened(len(suspects) / len(cases))
    for number in range(stages.confirm if suspects else 0):
        measuring.pair("confirm", both, number, suspects, stages.confirm)


def _probe_all(
    suite: Suite,
    sides: tuple[Side, Side],
    book: Book,
    budget_bytes: int,
    folders: tuple[Path, ...],
    same_too: bool,
    left: TimeLeft,
    say: Say,
    in_time: Callable[[], None],
) -> tuple[dict[str, float], dict[str, dict[str, str | None]]]:
    """Probe every case on both sides.

    Return the approximate time of a call for each case to be timed, and the digests of the checked outputs by side.

    Raises:
        _OutOfTime: the suite's time is spent.
        RevisionError: cases passed, but none imported anything from either side, so the installation was probed.
    """
    timed: dict[str, float] = {}
    digests: dict[str, dict[str, str | None]] = {side.name: {} for side in sides}
    passed = reached = False
    cases = suite.cases()
    revisions = [side.revision for side in sides if side.revision]
    for case, title in zip(cases, names_of(cases), strict=True):
        probes, imports = [], []
        left.begin()
        for side in sides:
            in_time()
            probe, imported = _probe(side, case, suite.budget, budget_bytes, folders, suite.origin)
            book.write("probe", arm=side.name, probe=probe.to_json(), imports=imported)
            say(f"{side.name} {told(title, probe)}{left.text()}")
            probes.append(probe)
            digests[side.name][case.key] = probe.output_digest
            imports.append(imported)
            passed = passed or probe.status is Status.PASSED
            reached = reached or bool(imported)
        one_sided = any(imports) and not all(imports)
        wanted = not revisions or (not one_sided and (same_too or imports[0] != imports[1]))
        if wanted and all(each.status is Status.PASSED for each in probes):
            timed[case.key] = max(each.call_ns or 0.0 for each in probes)
        left.probed(case, timed.get(case.key))
    if revisions and passed and not reached:
        raise RevisionError(
            f"--path {sides[0].path}: expected the folder that the code under test is imported from, found that no "
            f"case of the suite {suite.name} imports anything from there; name another folder, or a --suite that "
            "measures it"
        )
    return timed, digests


def _probe(
    side: Side, case: Case, budget: Budget, budget_bytes: int, folders: tuple[Path, ...], origin: Origin = DEFAULT
) -> tuple[Probe, dict[str, str]]:
    """Probe a case on one side. Return the probe, and a hash of each file that it imported from there.

    Raises:
        NotStarted: no worker could be started; the case is not to blame.
    """
    limit = limit_for(budget_bytes, case)
    with started(lambda: side.prober(case, limit, folders)) as worker:
        try:
            probe = prober.ask(worker, case, budget, budget_bytes, paired_timing.ARMS, origin=origin, auto=side.threads)
            if side.root is None:
                return probe, {}
            return probe, understood(dict, worker.ask({"do": "imports", "root": str(side.root)}, budget.case_s))
        except WorkerEnded as end:
            return Probe(case.key, end.status, end.reason), {}
