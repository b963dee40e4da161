"""New and resumed runs of a suite into a run folder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from attnbench import variants
from attnbench.runner.execution import journal, pattern_images, resuming
from attnbench.runner.execution.executor import Executor, classes, classes_in, fitting, on_each
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.resuming import Stopped
from attnbench.runner.execution.task import Finished, Task
from attnbench.runner.machine import environment
from attnbench.suites import Case
from attnbench.suites.records import run_json
from attnbench.suites.schema.suite import Suite

Narrow = Callable[[Sequence[Case]], list[Case]]
"""Filter that selects a subset of a run's cases."""


def run(
    suite: Suite,
    folder: Path,
    progress: Progress,
    *,
    cases: Sequence[Case] | None = None,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    profile: bool = False,
    shard: str | None = None,
    executor: Executor | None = None,
) -> Finished:
    """Measure a suite into a new folder: all its cases, or only `cases`, which may be a shard of it.

    `folders` hold variants outside the package. With `profile`, every case that passed is profiled at the
    end. After an interruption the folder holds every finished unit. The `executor` is by default this machine.

    If its machines have several classes of hardware, each measures all cases.

    Raises:
        FolderError: the folder is in use or cannot be written.
        SuiteError: the file of inputs is not valid, or does not fit some case.
        WorkerEnded: no worker could describe this machine, or be started for the first case.
    """
    cases = list(suite.cases() if cases is None else cases)
    with closing(executor or Local()) as executor:
        nodes = executor.nodes(suite, cases, folders)
        nodes, cases = fitting(nodes, on_each(cases, classes(nodes, cases)))
        budget_bytes = min(node.budget_bytes for node in nodes)
        first, *others = (node.part(command) for node in nodes)
        later = [{**part, "processes": suite.measure.processes, "changed": {}} for part in others]
        meta = {
            "format": run_json.FORMAT,
            **first,
            "seed": suite.seed,
            "inputs": suite.input_file(),
            "budget_bytes": budget_bytes,
            "profile": profile,
            **({"shard": shard} if shard else {}),
            "revision": environment.revision(Path.cwd()),
            **({"resumed": later} if later else {}),
            **_measured(suite, cases),
        }
        task = Task(suite, cases, range(suite.measure.processes), budget_bytes, profile)
        with journal.create(folder, meta) as book:
            journal.keep_edges(folder, suite.edge_files())
            return _finished(executor.measure(task, nodes, book, progress, folders), book, 0)


def resume(
    folder: Path,
    progress: Progress,
    *,
    suite: Suite | None = None,
    narrow: Narrow = list,
    processes: int | None = None,
    anyway: bool = False,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    profile: bool = False,
    executor: Executor | None = None,
) -> Finished:
    """Continue the run in `folder`: measure what is missing, with the suite's whole time budget again.

    Cases, inputs and plans stay. `narrow` selects the cases to measure now; `processes` adds replicates. Existing
    probes are not repeated. An incomplete replicate is completed by another process. `suite` is the suite that the run
    should have. If it only has more cases, these are measured, each in the same processes as its baselines, which are
    timed again. If the suite changed otherwise, or the machine changed, the run continues only with `anyway`, and then
    with the cases of `suite`. Its inputs and files of edges may not change.

    Raises:
        FolderError: the folder is in use or cannot be written, or the suite, its inputs or the machine changed.
        RunError: the folder cannot be read.
        WorkerEnded: no worker could describe this machine, or be started for the first case.
    """
    with journal.reopen(folder) as book, closing(executor or Local()) as executor:
        stopped = resuming.read(folder)
        suite = stopped.suite if suite is None else suite.with_processes(stopped.suite.measure.processes)
        renewed = suite.to_json() != stopped.suite.to_json()
        grew = renewed and resuming.grew(stopped, suite)
        if renewed:
            resuming.refuse_shard(folder, stopped)
        every = list(stopped.cases)
        if renewed:
            wanted = resuming.cases_of(stopped, suite) if grew else suite.cases()
            every = on_each(wanted, classes_in(stopped.cases))
        resuming.refuse_edges(folder, stopped.suite, suite)
        input_file = resuming.input_file(folder, suite)
        earlier = stopped.meta.get("resumed", ())
        came = {case.key: stopped.parts.get(case.key, len(earlier) + 1) for case in every}
        again = _again(suite, every, came)
        cases = _with_baselines(narrow(every), every, again)
        processes = _enough(folder, processes or stopped.processes, stopped)
        nodes, cases = fitting(executor.nodes(suite, cases, folders), cases)
        parts = []
        for node in nodes:
            changed = resuming.changes(stopped, suite, input_file, node.environment)
            blocking = {name: pair for name, pair in changed.items() if not (grew and name.startswith("suite."))}
            resuming.refuse(folder, blocking, anyway=anyway)
            told = {name: list(pair) for name, pair in changed.items()}
            parts.append({**node.part(command), "processes": processes, "changed": told})
        profile = profile or bool(stopped.meta.get("profile"))
        resumed = [*earlier, *parts]
        news: dict[str, Any] = {"finished": None, "profile": profile, "resumed": resumed}
        news |= {} if earlier else {"first_finished": stopped.meta.get("finished")}
        news |= {"format": run_json.AGAIN} if again else {}
        journal.keep_edges(folder, suite.edge_files())
        book.tell(**{**stopped.meta, **(_renewed(suite, every, stopped, came) if renewed else {}), **news})
        budget_bytes = min(stopped.meta["budget_bytes"], *(node.budget_bytes for node in nodes))
        task = Task(suite, cases, range(processes), budget_bytes, profile, stopped.kept, len(earlier) + 1, again)
        progress.resumed(len(stopped.kept.probes), sum(map(len, stopped.kept.samples.values())))
        return _finished(executor.measure(task, nodes, book, progress, folders), book, len(earlier))


def _finished(finished: Finished, book: journal.Journal, first: int) -> Finished:
    """Write when a run finished, and with it its parts from the entry `first` of `resumed` on."""
    parts = [{**part, "finished": journal.utc()} if at >= first else part for at, part in enumerate(book.resumed)]
    book.tell(finished=journal.utc(), **({"resumed": parts} if parts else {}))
    return finished


def _enough(folder: Path, processes: int, stopped: Stopped) -> int:
    """Check that the number of replicates is at least the number of those begun, and return it.

    Raises:
        FolderError: it is smaller.
    """
    if processes < stopped.begun:
        raise FolderError(f"{folder}: expected at least the {stopped.begun} processes that it has, found {processes}")
    return processes


def _again(suite: Suite, cases: Sequence[Case], came: Mapping[str, int]) -> dict[str, set[str]]:
    """Return the baselines that are timed again beside each case: those that came into the run in an earlier part.

    `came` holds the part with which each case came into the run.
    """
    found = {
        case.key: {each.key for each in suite.baselines_of(case) if came.get(each.key, came[case.key]) < came[case.key]}
        for case in cases
    }
    return {key: baselines for key, baselines in found.items() if baselines}


def _with_baselines(chosen: Sequence[Case], every: Sequence[Case], again: Mapping[str, set[str]]) -> list[Case]:
    """Return the chosen cases with those that are timed again beside them."""
    wanted = {case.key for case in chosen}.union(*(again.get(case.key, ()) for case in chosen))
    return [case for case in every if case.key in wanted]


def _measured(suite: Suite, cases: Sequence[Case], came: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return the part of `run.json` about the suite and its cases, with the parts in which these came into the run."""

    def planned(case: Case) -> dict[str, Any]:
        against = [each.key for each in suite.baselines_of(case)]
        several = {"baselines": against} if len(against) > 1 else {}
        named = {"label": case.label, "family": variants.load(case.mechanism.name).kind}
        part = (came or {}).get(case.key, 0)
        later = {"part": part} if part else {}
        return {"key": case.key, **named, "baseline": next(iter(against), None), **several, **later, **case.flat()}

    return {
        "name": suite.name,
        "question": suite.question,
        "suite": suite.to_json(),
        "source": suite.source,
        "cases": [planned(case) for case in cases],
        "patterns": pattern_images.of(list(cases)),
    }


def _renewed(suite: Suite, cases: Sequence[Case], stopped: Stopped, came: Mapping[str, int]) -> dict[str, Any]:
    """Return the same for a run that continues with another suite. Measured cases stay, even if `suite` lacks them."""
    present = {case.key for case in cases}
    measured = {row.case for row in stopped.kept.rows}
    left = [case for case in stopped.cases if case.key in measured - present]
    return _measured(suite, [*cases, *left], {**stopped.parts, **came})
