"""The machines of a Ray cluster as an executor."""

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from attnbench.runner.cluster import admitting
from attnbench.runner.cluster.admitting import Wanted
from attnbench.runner.cluster.driving import Driver, Ended
from attnbench.runner.cluster.remote import Described, Machine
from attnbench.runner.cluster.units import Unit
from attnbench.runner.execution.executor import ExecutorError, Node
from attnbench.runner.execution.journal import Journal
from attnbench.runner.execution.progress import Progress
from attnbench.runner.execution.task import Finished, Task
from attnbench.runner.workers.worker import NotStarted, StartWorker, Worker
from attnbench.suites import Case
from attnbench.suites.schema.suite import Suite

READY_S = 180.0
"""Seconds for machines to describe themselves; later ones join when they do."""
_ANSWER_S = 5.0
_NONE = "--address {}: expected a Ray cluster, found none: {}; start one with ray start --head"
_LOOK_S = 1.0
"""Seconds between looks for new machines."""


@dataclass
class _Member:
    """A node of the cluster with the process that measures on it."""

    actor: Any
    described: Described | None = None
    reply: Any = None
    """Of the request that it works on."""
    unit: Unit | None = None


class RayNodes:
    """Measures on the nodes of a Ray cluster, each with all of its CPUs and GPUs for one unit at a time.

    Without an `address` and the variable RAY_ADDRESS, Ray is started on this machine.
    """

    def __init__(
        self, address: str | None = None, wanted: Wanted | None = None, start_worker: StartWorker = Worker
    ) -> None:
        self._address = address
        self._wanted = wanted or Wanted()
        self._start_worker = start_worker
        self._members: dict[str, _Member] = {}
        self._left_out: set[str] = set()
        self._refused: dict[str, str] = {}
        self._progress: Progress | None = None
        self._asked: tuple[Suite, Sequence[Case], tuple[Path, ...]] | None = None
        self._looked = -_LOOK_S
        self._nodes: list[Node] = []
        self._owns_ray = False

    # Executor

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> list[Node]:
        """Connect to the cluster, and return its nodes that fit.

        Raises:
            ExecutorError: there is no cluster, or no node fits.
        """
        self._connect()
        self._asked = suite, cases, folders
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and not self._are_described():
            self._look()
            self.wait(_LOOK_S)
        described = [member.described for member in self._members.values() if member.described]
        self._nodes, self._refused = admitting.fit(described, self._wanted, self._refused)
        kept = {node.name for node in self._nodes}
        for name in [name for name in self._members if name not in kept and self._members[name].described]:
            self._leave_out(name)
        return self._nodes

    def measure(
        self, task: Task, nodes: Sequence[Node], book: Journal, progress: Progress, folders: tuple[Path, ...]
    ) -> Finished:
        """Give units to the nodes until none is left or the suite's time is spent."""
        del folders  # the nodes have them
        self._progress = progress
        for name, reason in self._refused.items():
            progress.refused(name, reason)
        return Driver(task, nodes, self, book, progress).measure()

    def close(self) -> None:
        """Stop what still measures, and leave the cluster."""
        for name in [*self._members]:
            self._drop(name)
        if self._owns_ray:
            ray.shutdown()
            self._owns_ray = False

    # Pool

    def idle(self) -> list[Node]:
        """Return the nodes that wait for a unit."""
        self._look()
        return [each.described.node for each in self._members.values() if each.described and each.reply is None]

    def begin(self, node: Node, unit: Unit, task: Task) -> None:
        """Have an idle node measure the task of a unit."""
        member = self._members[node.name]
        member.unit = unit
        member.reply = member.actor.measure.options(name=unit.name).remote(task)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return the units that ended; nothing if the time is over before one did."""
        at_work = {member.reply: name for name, member in self._members.items() if member.reply is not None}
        if not at_work:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait([*at_work], num_returns=1, timeout=timeout_s)
        more, _ = ray.wait([*at_work], num_returns=len(at_work), timeout=0) if ready else ([], [])
        return [ended for reply in {*ready, *more} if (ended := self._reply(at_work[reply])) is not None]

    # Nodes

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        address = self._address or os.environ.get("RAY_ADDRESS")
        if address and not _answers(address):
            raise ExecutorError(_NONE.format(address, f"nothing answered in {_ANSWER_S:g} s"))
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            # Without an address, Ray would look for a cluster that ran here before.
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (RayError, ConnectionError, ValueError, RuntimeError) as error:
            raise ExecutorError(_NONE.format(address, error)) from None
        self._owns_ray = True

    def _are_described(self) -> bool:
        """Check whether all nodes that may measure have described themselves, or none may."""
        described = [member.described is not None for member in self._members.values()]
        return all(described) if described else bool(self._left_out)

    def _look(self) -> None:
        """Ask new nodes to describe themselves."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        assert self._asked is not None
        suite, cases, folders = self._asked
        for found in ray.nodes():  # type: ignore[no-untyped-call]  # untyped in Ray
            name, size = _name(found), found["Resources"]
            if not found["Alive"] or not size.get("CPU") or name in self._members or name in self._left_out:
                continue
            actor: Any = (
                ray.remote(Machine)
                .options(
                    num_cpus=size["CPU"],
                    num_gpus=size.get("GPU", 0),
                    scheduling_strategy=NodeAffinitySchedulingStrategy(found["NodeID"], soft=False),
                )
                .remote(folders, self._start_worker)
            )
            self._members[name] = _Member(actor, reply=actor.describe.remote(name, suite, cases))

    def _reply(self, name: str) -> Ended | None:
        """Take the reply of a node: the end of its unit, or what it says of itself."""
        member = self._members[name]
        reply, unit, member.reply, member.unit = member.reply, member.unit, None, None
        try:
            told = ray.get(reply)
        except RayTaskError as error:
            # What a node cannot do at all is no fault of the unit; anything else is a fault of ours.
            if not isinstance(error.cause, NotStarted):
                raise
            told = None
            self._leave_out(name, str(error.cause))
        except RayError:
            told = None
            self._drop(name)
        if unit is not None:
            node = member.described.node if member.described else None
            assert node is not None
            return Ended(node, unit, told)
        if told is not None:
            member.described = told
            if self._nodes:
                self._join(name, told)
        return None

    def _join(self, name: str, described: Described) -> None:
        """Let a node that came later measure, or leave it out."""
        if not self._wanted.takes(described.node):
            self._leave_out(name)
        elif reason := admitting.refusal_later(described, self._nodes, self._wanted):
            self._leave_out(name, reason)

    def _leave_out(self, name: str, reason: str | None = None) -> None:
        """Use a node no more, and say why if it was wanted."""
        self._drop(name)
        self._left_out.add(name)
        if reason and self._progress:
            self._progress.refused(name, reason)
        elif reason:
            self._refused[name] = reason

    def _drop(self, name: str) -> None:
        """Stop the process of a node."""
        member = self._members.pop(name)
        ray.kill(member.actor)


def _answers(address: str) -> bool:
    """Check whether something listens at HOST:PORT. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return True  # a word that Ray knows, such as `auto`
    with suppress(OSError, OverflowError):
        socket.create_connection((host.removeprefix("ray://").strip("[]"), int(port)), _ANSWER_S).close()
        return True
    return False


def _name(found: Mapping[str, Any]) -> str:
    """Return the name of a node: its host, and the start of its id, because a host may have several."""
    return f"{found['NodeManagerHostname']}-{found['NodeID'][:6]}"
