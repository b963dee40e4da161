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
from attnbench.variants import DEVICES, ONE_CLASS


class ExecutorError(Exception):
    """A run cannot be measured there: expected, found, what to do."""


@dataclass(frozen=True)
class Node:
    """A machine that measures, and what it said of itself."""

    name: str
    """Empty for the machine of the command itself."""
    environment: Mapping[str, Any]
    budget_bytes: int
    """Bytes that a case may allocate on its CPU."""

    def part(self, command: Sequence[str] = ()) -> dict[str, Any]:
        """Return the facts of a part of a run that begins on this machine now."""
        named = {"node": self.name} if self.name else {}
        times = {"started": journal.utc(), "finished": None}
        return {"command": shlex.join(command), **times, **named, "environment": self.environment}

    @property
    def classes(self) -> dict[str, str]:
        """Its class of hardware for each device that it has."""
        found = {device: fingerprint.hardware(self.environment, device) for device in DEVICES}
        return {device: name for device, name in found.items() if name}


class Executor(Protocol):
    """Places the work of a run on one or more machines, and writes what comes back."""

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> Sequence[Node]:
        """Return the machines that will measure, at least one.

        Raises:
            WorkerEnded: a machine could not describe itself.
        """

    def measure(
        self, task: Task, nodes: Sequence[Node], book: Journal, progress: Progress, folders: tuple[Path, ...]
    ) -> Finished:
        """Measure what a task lacks, on these machines and those that come later. The first of them has the number of
        the task's part, and so on. What was finished is in the journal, even after an interruption.
        """

    def close(self) -> None:
        """Let go of the machines."""


def classes(nodes: Sequence[Node], cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    """Return the classes of hardware for each device of some cases, in the order of their names."""
    devices = dict.fromkeys(case.setting.device for case in cases)
    held = [node.classes for node in nodes]
    return {device: tuple(sorted({each[device] for each in held if device in each})) for device in devices}


def classes_in(cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    """Return the classes of hardware that the cases of a run have, for each device."""
    found: dict[str, dict[str, None]] = {}
    for case in cases:
        found.setdefault(case.setting.device, {})[case.setting.hardware] = None
    return {device: tuple(names) for device, names in found.items()}


def on_each(cases: Sequence[Case], names: Mapping[str, Sequence[str]]) -> list[Case]:
    """Return the cases of a run: as they are for a device with one class of hardware or none, else one for each class
    of several.
    """
    several = {device: held if len(held) > 1 else (ONE_CLASS,) for device, held in names.items()}
    most = max(map(len, several.values()), default=1)
    return [
        case.changed(hardware=several[case.setting.device][at])
        for at in range(most)
        for case in cases
        if at < len(several[case.setting.device])
    ]


def fitting(nodes: Sequence[Node], cases: Sequence[Case]) -> tuple[list[Node], list[Case]]:
    """Return the machines whose class of hardware some case has, and the cases whose class some machine has.

    Without cases, all machines fit.

    Raises:
        ExecutorError: no machine fits.
    """

    def fits(node: Node, case: Case) -> bool:
        return case.setting.hardware in (ONE_CLASS, node.classes.get(case.setting.device))

    found = [node for node in nodes if not cases or any(fits(node, case) for case in cases)]
    if not found:
        names = ", ".join(sorted({case.setting.hardware for case in cases}))
        raise ExecutorError(f"expected a machine of the run's hardware ({names}), found none; begin a new run")
    return found, [case for case in cases if any(fits(node, case) for node in found)]
