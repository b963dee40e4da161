"""Which machines of a cluster may measure a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from attnbench.runner.cluster.remote import Described
from attnbench.runner.execution.executor import ExecutorError, Node
from attnbench.runner.machine import environment

KEYS = ("cpu", "gpu", "node")
"""What `--on` may name."""


@dataclass(frozen=True)
class Wanted:
    """The machines that the command wants: those whose facts contain these texts."""

    on: tuple[tuple[str, str], ...] = ()
    """Names of `KEYS`, each with a text."""
    anyway: bool = False
    """Whether machines that are unfit may measure."""

    @classmethod
    def read(cls, given: Sequence[str], *, anyway: bool) -> "Wanted":
        """Return what `--on KEY=TEXT` asks for.

        Raises:
            ExecutorError: it is not written so.
        """
        pairs = [each.partition("=") for each in given]
        for key, sign, text in pairs:
            if key not in KEYS or not sign or not text:
                raise ExecutorError(f"--on: expected {', '.join(KEYS)} = a text, such as gpu=H100, found {key}{sign}")
        return cls(tuple((key, text) for key, _, text in pairs), anyway)

    def takes(self, node: Node) -> bool:
        """Check whether a machine is one of those."""
        facts = {**node.environment, "node": node.name}
        return all(text.lower() in str(facts.get(key) or "").lower() for key, text in self.on)


def fit(described: Sequence[Described], wanted: Wanted) -> list[Node]:
    """Return the wanted machines, in the order of their names.

    Raises:
        ExecutorError: there is none, one has other software than this machine, or one is unfit.
    """
    found = sorted((each for each in described if wanted.takes(each.node)), key=lambda each: each.node.name)
    if not found:
        asked = "".join(f" --on {key}={text}" for key, text in wanted.on)
        names = ", ".join(f"{each.node.name} ({_hardware(each.node)})" for each in described) or "no machine"
        raise ExecutorError(f"expected a machine that may measure{asked}, found {names}")
    lines = [f"  {each.node.name}: {problem}" for each in found for problem in _problems(each, wanted)]
    if lines:
        told = "expected machines that are fit, with this machine's versions, found others; mend them, leave them out "
        told += "with --on, or measure on unfit ones with --anyway:"
        raise ExecutorError("\n".join([told, *lines]))
    return [each.node for each in found]


def may_join(described: Described, nodes: Sequence[Node], wanted: Wanted) -> bool:
    """Check whether a machine that came later may measure: it is wanted, fit, of the hardware of one of the others, and
    has at least half its free memory, because what is free changes from one minute to the next.
    """
    came = described.node
    alike = [node for node in nodes if node.classes == came.classes]
    enough = any(node.name == came.name or node.budget_bytes <= 2 * came.budget_bytes for node in alike)
    return enough and wanted.takes(came) and not _problems(described, wanted)


def _problems(described: Described, wanted: Wanted) -> list[str]:
    """Return why a machine may not measure."""
    there = described.node.environment
    mine = {**environment.of_software(), "torch": metadata.version("torch")}
    told = [
        f"{name}: expected {here}, found {there.get(name)}"
        for name, here in mine.items()
        if _plain(here) != _plain(there.get(name))
    ]
    return told + ([] if wanted.anyway else [*described.unfit])


def _plain(version: object) -> str:
    """Return a version without what it was built for, such as `+cu128`."""
    text = str(version)
    return text if text.endswith("+") else text.partition("+")[0]


def _hardware(node: Node) -> str:
    return ", ".join(node.classes.values())
