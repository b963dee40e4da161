"""Resuming a run: what its folder already holds, and whether suite and machine are unchanged."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from attnbench.reports.data import reading
from attnbench.reports.data.reading import RUN, Journal, RunError
from attnbench.runner.execution.journal import EDGES, FolderError
from attnbench.suites import Case, Probe, Result, Sample, Status, SuiteError, fingerprint
from attnbench.suites.problem import KeyPath, written
from attnbench.suites.profile import Profile
from attnbench.suites.result import NOT_STARTED, SPENT
from attnbench.suites.schema.catalog import problems
from attnbench.suites.schema.load import from_dict
from attnbench.suites.schema.suite import Suite
from attnbench.variants import DEVICES, ONE_CLASS, Setting

K = TypeVar("K")
R = TypeVar("R", bound=Result)
_DECIDE_CASES = {"variants", "exclude", *(each.name for each in fields(Setting))}
"""Fields of a suite that say which cases it has, and nothing else."""
_INPUTS = ("suite.seed", "suite.inputs", "inputs.sha256")
"""Changes that make other inputs."""


@dataclass(frozen=True)
class Kept:
    """Results that are kept and not measured again; empty for a new run."""

    probes: Mapping[str, Probe] = field(default_factory=dict)
    samples: Mapping[str, Mapping[int, Sample]] = field(default_factory=dict)
    """By case, then by replicate."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    @property
    def rows(self) -> list[Result]:
        """Rows of `samples.jsonl`."""
        return [*self.probes.values(), *(sample for each in self.samples.values() for sample in each.values())]

    def failed(self, key: str) -> bool:
        """Check whether a case did not pass in some replicate. It is then not timed again."""
        return any(sample.status is not Status.PASSED for sample in self.samples.get(key, {}).values())


@dataclass(frozen=True)
class Stopped:
    """A run as read from its folder."""

    meta: Mapping[str, Any]
    """The contents of `run.json`."""
    suite: Suite
    cases: tuple[Case, ...]
    kept: Kept
    parts: Mapping[str, int] = field(default_factory=dict)
    """The part with which each case came into the run, by its key."""

    @property
    def processes(self) -> int:
        """The number of replicates requested last."""
        requested = [part["processes"] for part in self.meta.get("resumed", ())]
        return int(requested[-1]) if requested else self.suite.measure.processes

    @property
    def begun(self) -> int:
        """The number of replicates begun: the last with a sample, and all before it."""
        return max((replicate + 1 for each in self.kept.samples.values() for replicate in each), default=0)


def read(folder: Path) -> Stopped:
    """Return the run in `folder`.

    Raises:
        RunError: it cannot be read, or its cases are unknown here.
        SuiteError: the file of one of its variants is broken.
    """
    journal = reading.read(folder)
    path = folder / RUN
    for each in journal.planned:
        if each.case.key != each.key:
            raise RunError(f"{path}: expected the key {each.case.key}, found {each.key}; go on with its own version")
    for name in ("seed", "budget_bytes"):
        if journal.meta.get(name) is None:
            raise RunError(f"{path}: {name}: expected an integer, found none")
    kept = Kept(
        _finished(journal.probes),
        {key: _finished(told) for key, told in journal.samples.items()},
        _finished(reading.profiles(folder)),
    )
    cases, parts = tuple(each.case for each in journal.planned), {each.key: each.part for each in journal.planned}
    return Stopped(journal.meta, _suite(path, journal), cases, kept, parts)


def _finished(rows: Mapping[K, R]) -> dict[K, R]:
    """Return the rows to keep, without cases that were not tried for lack of time or a worker.

    The reasons identify those cases, which are measured again. Rows are never changed: a case that is measured again
    gets another row, and the last one counts.
    """
    return {key: row for key, row in rows.items() if was_tried(row)}


def was_tried(row: Result) -> bool:
    """Check whether a row tells of more than a lack of time or of a worker."""
    spent = row.status is Status.SKIPPED and row.reason.endswith(SPENT)
    return not spent and not (row.status is Status.FAILED and row.reason.startswith(NOT_STARTED))


def input_file(folder: Path, suite: Suite) -> Mapping[str, str] | None:
    """Return the name and the SHA-256 of the present file of inputs, if there is one.

    Raises:
        FolderError: the file is not valid, or not in the folder where it is looked for.
    """
    try:
        return suite.input_file()
    except SuiteError as error:
        where = "it is looked for in the folder of SUITE, without SUITE in the current folder"
        raise FolderError(f"{folder}: {error}; {where}") from None


def refuse_edges(folder: Path, before: Suite, now: Suite) -> None:
    """Raise if a file of edges has other edges than when the run began.

    Raises:
        FolderError: one has.
    """
    began = before.edge_files()
    for name, sha256 in now.edge_files().items():
        if began.get(name, sha256) != sha256:
            raise FolderError(
                f"{folder}: expected {name} with the edges that the run began with (SHA-256 {began[name]}), "
                f"found others ({sha256}); put them back, or begin a new run"
            )


def changes(
    stopped: Stopped, suite: Suite, inputs: Mapping[str, str] | None, environment: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the run and the present suite, file of inputs and machine.

    Differences are pairs of old and new value, by name.

    The number of processes is not compared, because a resumed run may have more.
    """
    found = differences(stopped.suite.to_json(), suite.with_processes(stopped.suite.measure.processes).to_json())
    told = {f"suite.{name}": pair for name, pair in found.items()}
    read = differences(stopped.meta.get("inputs"), inputs) if "suite.inputs" not in told else {}
    told |= {f"inputs.{name}": pair for name, pair in read.items()}
    parts = [stopped.meta, *stopped.meta.get("resumed", ())]
    # A run on several machines is compared with those of the same hardware.
    alike = [part for part in parts if "node" in part and _hardware(part["environment"]) == _hardware(environment)]
    for part in reversed(alike or parts):
        changed = fingerprint.changed(part["environment"], environment)
        told |= {f"environment.{name}": pair for name, pair in changed.items()}
    return told


def _hardware(environment: Mapping[str, Any]) -> list[str | None]:
    return [fingerprint.hardware(environment, device) for device in DEVICES]


def grew(stopped: Stopped, suite: Suite) -> bool:
    """Check whether a suite only has more cases than that of the run. The others keep their keys and baselines."""
    before = stopped.suite
    found = differences(before.to_json(), suite.with_processes(before.measure.processes).to_json())
    if not found or any(re.split(r"[.[]", name)[0] not in _DECIDE_CASES for name in found):
        return False
    present = {case.key for case in suite.cases()}
    return all(case.key in present and before.baselines_of(case) == suite.baselines_of(case) for case in before.cases())


def cases_of(stopped: Stopped, suite: Suite) -> list[Case]:
    """Return the cases of a run whose suite grew: those that it has, and the added ones. The first command may have
    narrowed the cases of its suite.
    """
    planned = {case.changed(hardware=ONE_CLASS).key for case in stopped.cases}
    before = {case.key for case in stopped.suite.cases()}
    return [case for case in suite.cases() if case.key in planned or case.key not in before]


def refuse_shard(folder: Path, stopped: Stopped) -> None:
    """Raise if the run has only a shard of its suite: nothing says which shard gets other cases.

    Raises:
        FolderError: it has.
    """
    shard = stopped.meta.get("shard")
    if shard and not stopped.meta.get("merged"):
        raise FolderError(
            f"{folder}: expected the suite that the run began with, because it is shard {shard}, found another; "
            "merge the shards first, or begin a new run"
        )


def differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ by their path (`measure.values`, `variants[1].full`); None is a missing value."""
    return {written(path): pair for path, pair in _differing(a, b, ())}


def _differing(a: Any, b: Any, path: KeyPath) -> Iterator[tuple[KeyPath, tuple[Any, Any]]]:
    """Compare mappings key by key, lists of equal length item by item, and other values as a whole."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in {**a, **b}:
            yield from _differing(a.get(key), b.get(key), (*path, key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differing(one, other, (*path, index))
    elif a != b:
        yield path, (a, b)


def refuse(folder: Path, changed: Mapping[str, tuple[Any, Any]], *, anyway: bool) -> None:
    """Raise if anything changed. With `anyway`, raise only if the inputs changed: all results of a run must share them.

    Raises:
        FolderError: something changed; the message lists all changes.
    """
    inputs = {name: pair for name, pair in changed.items() if name in _INPUTS}
    if inputs:
        told = "expected the seed and the inputs that the run began with, found others; begin a new run:"
    elif changed and not anyway:
        told = "expected the suite, machine and version that the run began with, found others; begin a new run, "
        told += "or go on with --anyway:"
    else:
        return
    lines = [f"  {name}: {was!r} in the run, {now!r} now" for name, (was, now) in (inputs or changed).items()]
    raise FolderError("\n".join([f"{folder}: {told}", *lines]))


def _suite(path: Path, journal: Journal) -> Suite:
    """Return the run's suite.

    Raises:
        RunError: the suite is not valid here.
        SuiteError: the file of one of its variants is broken.
    """
    meta = journal.meta
    broken = problems(meta["suite"].get("variants"))
    if broken:
        raise SuiteError(broken)
    # A run of version 0.1 does not store its estimate, which differs from today's default.
    measure = {"estimate": journal.estimate, **meta["suite"].get("measure", {})}
    data = {**meta["suite"], "measure": measure, "seed": meta["seed"]}
    try:
        return from_dict(data, source=meta["source"], edges=path.parent / EDGES)
    except SuiteError as error:
        first = error.problems[0]
        # A longer path leads to a value, such as the copy of a file of edges.
        advice = "; variants outside the package need --variants again" if len(first.path) < 4 else ""
        raise RunError(
            f"{path}: {written(('suite', *first.path))}: expected a suite that is valid here: {first.text}{advice}"
        ) from None
