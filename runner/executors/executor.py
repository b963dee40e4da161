"""What a run needs of the place where it is measured."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from attnbench.runner.execution import journal
from attnbench.runner.execution.journal import Journal
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.task import Finished, Task
from attnbench.suites import Case, fingerprint
from attnbench.suites.schema.suite import Suite
from attnbench.variants import ONE_CLASS


@dataclass(frozen=True)
class Node:
    """A machine that measures, and what it said of itself."""

    name: str
    """Empty for the machine of the command itself."""
    environment: Mapping[str, Any]
    budget_bytes: int
    """Bytes that a case may allocate on its CPU."""

    def part(self, command: Sequence[str]) -> dict[str, Any]:
        """Return the facts of a part of a run that begins on this machine now."""
        named = {"node": self.name} if self.name else {}
        times = {"started": journal.utc(), "finished": None}
        return {"command": shlex.join(command), **times, **named, "environment": self.environment}


class Executor(Protocol):
    """Places the work of a run on one or more machines, and writes what comes back."""

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> Sequence[Node]:
        """Return the machines that will measure, at least one.

        Raises:
            WorkerEnded: a machine could not describe itself.
        """

    def measure(self, task: Task, book: Journal, progress: Progress, folders: tuple[Path, ...]) -> Finished:
        """Measure what a task lacks. What was finished is in the journal, even after an interruption."""

    def close(self) -> None:
        """Let go of the machines."""


def classes(nodes: Sequence[Node], cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    """Return the classes of hardware for each device of some cases, in the order of their names."""
    devices = dict.fromkeys(case.setting.device for case in cases)
    return {
        device: tuple(sorted({fingerprint.hardware(node.environment, device) for node in nodes})) for device in devices
    }


def classes_in(cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    """Return the classes of hardware that the cases of a run have, for each device."""
    found: dict[str, dict[str, None]] = {}
    for case in cases:
        found.setdefault(case.setting.device, {})[case.setting.hardware] = None
    return {device: tuple(names) for device, names in found.items()}


def on_each(cases: Sequence[Case], names: Mapping[str, Sequence[str]]) -> list[Case]:
    """Return the cases of a run: as they are for a device with one class of hardware, else one for each class."""
    ways = max((len(each) for each in names.values()), default=1)
    return [
        case.changed(hardware=held[way] if len(held) > 1 else ONE_CLASS)
        for way in range(ways)
        for case in cases
        if way < len(held := names[case.setting.device])
    ]
