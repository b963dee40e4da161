"""Which machines of a cluster may measure a run."""

from collections.abc import Mapping, Sequence
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
            if key not in KEYS or not text:
                told = f"expected KEY=TEXT with KEY one of {', '.join(KEYS)}, such as gpu=H100, found {key}{sign}{text}"
                raise ExecutorError(f"--on: {told}")
        return cls(tuple((key, text) for key, _, text in pairs), anyway)

    def takes(self, node: Node) -> bool:
        """Check whether a machine is one of those."""
        facts = {**node.environment, "node": node.name}
        return all(text.lower() in str(facts.get(key) or "").lower() for key, text in self.on)


def fit(
    described: Sequence[Described], wanted: Wanted, failed: Mapping[str, str] | None = None
) -> tuple[list[Node], dict[str, str]]:
    """Return the wanted machines that may measure, in the order of their names, and why others may not, by name.

    `failed` says why some could not describe themselves.

    Raises:
        ExecutorError: none may measure.
    """
    found = sorted((each for each in described if wanted.takes(each.node)), key=lambda each: each.node.name)
    refused = {each.node.name: reason for each in found if (reason := _refusal(each, wanted))}
    nodes = [each.node for each in found if each.node.name not in refused]
    refused |= failed or {}
    if nodes:
        return nodes, refused
    if refused:
        told = "expected a machine that is fit, with this machine's versions, found none; mend one, or measure on "
        told += "unfit ones with --anyway:"
        raise ExecutorError("\n".join([told, *(f"  {name}: {reason}" for name, reason in refused.items())]))
    asked = "".join(f" --on {key}={text}" for key, text in wanted.on)
    names = ", ".join(f"{each.node.name} ({_hardware(each.node)})" for each in described) or "no machine"
    raise ExecutorError(f"expected a machine that may measure{asked}, found {names}")


def refusal_later(described: Described, nodes: Sequence[Node], wanted: Wanted) -> str | None:
    """Return why a machine that came later may not measure, or None: it is fit, of the hardware of one of the others,
    and has at least half its free memory, because what is free changes from one minute to the next.
    """
    came = described.node
    alike = [node for node in nodes if node.classes == came.classes]
    if not alike:
        return f"no machine of the run has its hardware ({_hardware(came)})"
    if all(node.name != came.name and node.budget_bytes > 2 * came.budget_bytes for node in alike):
        return "it has less than half the free memory of the others"
    return _refusal(described, wanted)


def _refusal(described: Described, wanted: Wanted) -> str | None:
    """Return why a machine may not measure, or None."""
    there = described.node.environment
    mine = {**environment.of_software(), "torch": metadata.version("torch")}
    told = [
        f"{name}: expected {here}, found {there.get(name)}"
        for name, here in mine.items()
        if _plain(here) != _plain(there.get(name))
    ]
    return "; ".join(told + ([] if wanted.anyway else [*described.unfit])) or None


def _plain(version: object) -> str:
    """Return a version without what it was built for, such as `+cu128`."""
    text = str(version)
    return text if text.endswith("+") else text.partition("+")[0]


def _hardware(node: Node) -> str:
    return ", ".join(node.classes.values())
