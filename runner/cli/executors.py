"""Options of `bench run` that say where to measure."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from attnbench.runner.cluster.slurm import Jobs
    from attnbench.runner.execution.executor import Executor

_MISSING = "expected the packages {}, found one missing; pip install 'attnbench[cluster]'"
_OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice(["local", "ray", "slurm"]),
        default="local",
        show_default=True,
        help="Measure on this machine, on the nodes of a Ray cluster, or in SLURM jobs (extra: cluster).",
    ),
    click.option("--address", metavar="HOST:PORT", help="The Ray cluster; without it, Ray starts on this machine."),
    click.option("--on", metavar="KEY=TEXT", multiple=True, help="Only Ray nodes whose cpu, gpu or node has TEXT."),
    click.option("--shards", type=click.IntRange(1), metavar="N", help="How many SLURM jobs share the suite."),
    click.option("--slurm", metavar="KEY=VALUE", multiple=True, help="An option of sbatch, such as partition=gpu."),
)


@dataclass(frozen=True)
class Where:
    """Where a command measures."""

    executor: str
    address: str | None
    on: tuple[str, ...]
    shards: int | None
    slurm: tuple[str, ...]

    @property
    def words(self) -> str:
        """The options that a command needs to measure there too, if it is a Ray cluster."""
        address = [f"--address {self.address}"] if self.address else []
        options = ["--executor ray", *address, *(f"--on {each}" for each in self.on)] if self.executor == "ray" else []
        return "".join(f" {option}" for option in options)

    def check(self, **others: bool) -> None:
        """Refuse options that have no effect. `others` are options of the command that only this machine knows.

        Raises:
            UsageError: there is one, or one is missing.
        """
        given = {"ray": self.address or self.on, "slurm": self.shards or self.slurm}
        names = {"ray": "--address and --on", "slurm": "--shards and --slurm"}
        for executor, options in given.items():
            if options and self.executor != executor:
                raise click.UsageError(f"{names[executor]}: expected --executor {executor}, found {self.executor}")
        if self.executor == "slurm" and self.shards is None:
            raise click.UsageError("--executor slurm: expected --shards N beside it, found none; name it")
        for name, too in others.items():
            if too and self.executor != "local":
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(
                    f"expected one of {option} and --executor {self.executor}, found both; leave one"
                )

    def nodes(self, *, anyway: bool) -> "Executor | None":
        """Return the machines of a Ray cluster; None for this machine.

        Raises:
            UsageError: Ray is not installed.
            ExecutorError: an option is not valid.
        """
        if self.executor != "ray":
            return None
        try:
            from attnbench.runner.cluster.admitting import Wanted
            from attnbench.runner.cluster.ray_nodes import RayNodes
        except ImportError:
            raise click.UsageError(f"--executor ray: {_MISSING.format('ray')}") from None
        return RayNodes(self.address, Wanted.read(self.on, anyway=anyway))

    def jobs(self) -> "Jobs | None":
        """Return the SLURM jobs; None if there are none.

        Raises:
            UsageError: submitit is not installed.
            ExecutorError: an option is not valid.
        """
        if self.executor != "slurm":
            return None
        try:
            from attnbench.runner.cluster.slurm import Jobs
        except ImportError:
            raise click.UsageError(f"--executor slurm: {_MISSING.format('submitit')}") from None
        assert self.shards is not None
        return Jobs.read(self.shards, self.slurm)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as one value `where`."""

    @functools.wraps(command)
    def called(
        *,
        executor: str,
        address: str | None,
        on: tuple[str, ...],
        shards: int | None,
        slurm: tuple[str, ...],
        **others: Any,
    ) -> None:
        command(where=Where(executor, address, on, shards, slurm), **others)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called
