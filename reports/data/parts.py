"""The parts of a run: the first, and one for each time that it was resumed or another run was merged into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.suites import fingerprint


@dataclass(frozen=True)
class Part:
    """A part of a run. Times are compared only within a part."""

    index: int
    """The `part` of its samples."""
    started: str
    finished: str | None
    """None if it did not finish, or the run does not say."""
    command: str
    processes: int
    """The number of processes that each case has after it."""
    environment: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]
    """What had changed since the first part, by name: the old value and the new one."""
    shard: str | None
    """The shard of the suite that it measured, such as `2/5`."""
    merged: bool
    """Whether it was a run of its own."""
    node: str
    """The machine of a cluster that it is; empty for a part of a run on one machine."""
    machine: int
    """Parts with equal numbers ran on one machine with one version of the code; 0 is that of the first."""


def parts(meta: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the parts of a run, from the content of its `run.json`."""
    resumed = [*meta.get("resumed", ())]
    first = {
        **{name: meta.get(name) for name in ("started", "command", "environment", "shard", "node")},
        "finished": meta.get("first_finished" if resumed else "finished"),
        "processes": meta["suite"].get("measure", {}).get("processes", 0),
    }
    told: list[Part] = []
    for index, part in enumerate([first, *resumed]):
        same = (each.machine for each in told if not fingerprint.changed(each.environment, part["environment"]))
        told.append(
            Part(
                index,
                part["started"] or "",
                part.get("finished"),
                part.get("command", ""),
                part["processes"],
                part["environment"],
                {name: (was, now) for name, (was, now) in part.get("changed", {}).items()},
                part.get("shard"),
                part.get("merged", False),
                part.get("node") or "",
                next(same, 1 + max((each.machine for each in told), default=-1)),
            )
        )
    return tuple(told)


def differing(told: tuple[Part, ...]) -> dict[str, list[Any]]:
    """Return the facts of machines and code that differ between parts, each with its value in every part."""
    names = {name for part in told for name in fingerprint.changed(told[0].environment, part.environment)}
    facts = [fingerprint.of(part.environment) | _code(part.environment) for part in told]
    return {name: [each.get(name) for each in facts] for name in facts[0] if name in names}


def _code(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: environment.get(name) for name in fingerprint.CODE}
