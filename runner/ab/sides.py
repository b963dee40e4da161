"""The two sides of a comparison, and how their workers start."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attnbench.runner.ab import live_pair
from attnbench.runner.ab.environments import Environment
from attnbench.runner.ab.live_pair import Partner
from attnbench.runner.ab.revisions import Revision
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import StartKind, Worker, kind_for
from attnbench.suites import Case
from attnbench.suites.schema.limits import Budget


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a revision with the import root within it, or an environment."""

    name: str
    """A is the base, B the head."""
    revision: Revision | None = None
    root: Path | None = None
    """The folder that is first on the import path. Both environments have the same."""
    environment: Environment | None = None

    @property
    def path(self) -> str:
        """The import root, seen from the top of its revision."""
        return "." if self.root is None or self.revision is None else str(self.root.relative_to(self.revision.tree))

    @property
    def threads(self) -> int | None:
        """The number of threads that the environment sets for `threads: auto`; None if it sets none."""
        return None if self.environment is None else self.environment.threads

    def prober(self, case: Case, budget_bytes: int | None, folders: tuple[Path, ...]) -> Worker:
        """Start a worker that probes a case."""
        # The server of forks has the variables and packages of bench, so an environment needs a fresh interpreter.
        return self._worker(kind_for(case) if self.environment is None else "spawn", budget_bytes, folders)

    def partner(self, budget_bytes: int | None, folders: tuple[Path, ...], link: Connection) -> Partner:
        """Start a fresh interpreter that takes turns with another."""
        return self._worker("spawn", budget_bytes, folders, link)

    def facts(self, cases: list[Case], budget: Budget) -> dict[str, Any]:
        """Return the facts of the machine, as workers of this side see them."""
        return prober.machine(cases, budget, start_worker=lambda _, *given: self._worker("spawn", *given))

    def _worker(
        self, kind: StartKind, budget_bytes: int | None, folders: tuple[Path, ...], link: Connection | None = None
    ) -> Worker:
        own = self.environment or Environment()
        variables = ({} if link is None else live_pair.environment()) | dict(own.variables)
        return Worker(kind, budget_bytes, folders, link, variables, self.root, own.interpreter)
