"""Runs of one suite that were measured on several classes of hardware: each case gets the class of its machine.

A run on one machine has the class in no case. When runs of several classes become one run, it is an axis of each case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from attnbench.reports.data.parts import parts
from attnbench.reports.data.reading import Journal
from attnbench.runner.execution import resuming
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.resuming import Kept, Stopped
from attnbench.suites import Case, Probe, Result, Sample, fingerprint
from attnbench.variants import ONE_CLASS

R = TypeVar("R", bound=Result)


class Read(NamedTuple):
    """A run as it was read, and the keys of its cases."""

    folder: Path
    run: Stopped
    journal: Journal
    keys: Mapping[str, str]
    """The key of each case in its folder, and the one that it has now."""


def apart(found: Sequence[Read]) -> list[Read]:
    """Return runs in which each case has its class of hardware, if several classes measured one sweep over lengths.

    Raises:
        FolderError: one run measured a case on several classes.
    """
    of_sweep: dict[object, set[str]] = {}
    for each in found:
        for case, classes in _classes(each):
            of_sweep.setdefault(_plain(case).sweep, set()).update(classes)
    devices = {sweep[0].device for sweep, classes in of_sweep.items() if len(classes) > 1}  # type: ignore[index]
    return [_named(each, devices) for each in found] if devices else list(found)


def _classes(found: Read) -> list[tuple[Case, set[str]]]:
    """Return the classes of hardware on which a run measured each of its cases; none if it tried none."""
    environments = [part.environment for part in parts(found.run.meta)]
    told: dict[str, set[str]] = {}
    for row in _rows(found.journal):
        if resuming.was_tried(row):
            told.setdefault(row.case, set()).add(row.part)  # type: ignore[arg-type]
    listed = []
    for case in found.run.cases:
        if case.setting.hardware != ONE_CLASS:
            listed.append((case, {case.setting.hardware}))
            continue
        there = (fingerprint.hardware(environments[int(part)], case.setting.device) for part in told.get(case.key, ()))
        listed.append((case, {name for name in there if name}))
    return listed


def _named(found: Read, devices: set[str]) -> Read:
    """Return a run whose cases on these devices have their class of hardware."""
    first = parts(found.run.meta)[0].environment
    changed: dict[str, Case] = {}
    for case, classes in _classes(found):
        if case.setting.hardware != ONE_CLASS or case.setting.device not in devices:
            continue
        if len(classes) > 1:
            raise FolderError(
                f"{found.folder}: expected each case on one class of hardware, because the runs to merge have several, "
                f"found {case.title} on {' and '.join(sorted(classes))}"
            )
        name = next(iter(classes), fingerprint.hardware(first, case.setting.device))
        changed[case.key] = case.changed(hardware=name or ONE_CLASS)
    keys = {case.key: changed.get(case.key, case).key for case in found.run.cases}
    return Read(found.folder, _run(found.run, changed, keys), _journal(found.journal, keys), keys)


def _run(run: Stopped, changed: Mapping[str, Case], keys: Mapping[str, str]) -> Stopped:
    def planned(row: Mapping[str, Any]) -> dict[str, Any]:
        against = {name: keys.get(row[name], row[name]) for name in ("baseline",) if row.get(name)}
        against |= {"baselines": [keys.get(key, key) for key in row["baselines"]]} if row.get("baselines") else {}
        case = changed.get(row["key"])
        return {**row, **against, "key": keys[row["key"]], **({"hardware": case.setting.hardware} if case else {})}

    kept = run.kept
    return replace(
        run,
        meta={**run.meta, "cases": [planned(row) for row in run.meta["cases"]]},
        cases=tuple(changed.get(case.key, case) for case in run.cases),
        kept=Kept(
            {keys[key]: _moved(probe, keys) for key, probe in kept.probes.items()},
            {keys[key]: {at: _moved(each, keys) for at, each in own.items()} for key, own in kept.samples.items()},
            {keys[key]: _moved(each, keys) for key, each in kept.profiles.items()},
        ),
        parts={keys[key]: part for key, part in run.parts.items()},
    )


def _journal(journal: Journal, keys: Mapping[str, str]) -> Journal:
    return replace(
        journal,
        probes={keys[key]: _moved(probe, keys) for key, probe in journal.probes.items()},
        samples={
            keys[key]: {at: _moved(each, keys) for at, each in own.items()} for key, own in journal.samples.items()
        },
        again=tuple(_moved(each, keys) for each in journal.again),
    )


def _moved(row: R, keys: Mapping[str, str]) -> R:
    """Return a row with the new key of its case."""
    return replace(row, case=keys[row.case])


def _rows(journal: Journal) -> list[Probe | Sample]:
    return [*journal.probes.values(), *(sample for each in journal.samples.values() for sample in each.values())]


def _plain(case: Case) -> Case:
    return case.changed(hardware=ONE_CLASS)
