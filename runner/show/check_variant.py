"""Checks one variant: every implementation against the oracle, each in a process of its own."""

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.workers.prober import Prober
from attnbench.runner.workers.worker import StartWorker, Worker
from attnbench.suites import Case, Probe, Status
from attnbench.suites.result import is_fault
from attnbench.suites.schema.limits import Budget

LENGTH = 1553
"""Odd, and long enough for the small lengths below it to show what a pattern leaves out."""
AXES = {
    "shape": {"batch": 1, "heads": 2, "kv_heads": 1, "head_dim": 16, "seq_len": LENGTH},
    "direction": "training",
}
"""What is tried: two query heads that share a key head, with gradients."""


@dataclass(frozen=True)
class Trial:
    """How one implementation did."""

    case: Case
    probe: Probe

    @property
    def is_fault(self) -> bool:
        """Whether it ended as none should."""
        return is_fault(self.probe.status, predicted=self.probe.predicted)

    def __str__(self) -> str:
        """`passed, forward and gradients; largest error 2.4e-07`, or the status with its reason."""
        if self.probe.status is not Status.PASSED:
            return f"{self.probe.status}: {self.probe.reason}"
        what = "forward alone" if self.case.setting.direction == "forward" else "forward and gradients"
        return f"passed, {what}; largest error {self.probe.max_abs_error:.1e}"


def can_try() -> bool:
    """Whether there is a torch to try anything with; it is not imported."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ImportError:
        return False


def lengthened(cases: Iterable[Case], n: int) -> list[Case]:
    """The cases as they are, or at length n where their mechanism does not exist at `LENGTH`."""
    return [
        case.changed(shape=case.setting.shape.at(n)) if case.parameters.unsupported(LENGTH) else case for case in cases
    ]


def heading(case: Case) -> str:
    """What the trials of a case are held to, and at which lengths."""
    oracle = "its own reference" if variants.load(case.mechanism.name).reference else "the oracle"
    n, dtype = case.setting.shape.seq_len, case.setting.dtype
    return f"held to {oracle} in float64, at N = {n} and at small odd lengths, in {dtype}"


def trials(
    cases: Iterable[Case], folders: tuple[Path, ...] = (), start_worker: StartWorker = Worker
) -> Iterator[Trial]:
    """Try each case, one after another; without gradients where the implementation has none."""
    budget = Budget()
    with closing(Prober(budget, budget.bytes_of(memory.available_bytes()), folders, start_worker)) as prober:
        for case in cases:
            forward = case.changed(direction="forward")
            probe = prober.probe(case)
            if probe.status is Status.UNSUPPORTED and (alone := prober.probe(forward)).status is not Status.UNSUPPORTED:
                yield Trial(forward, alone)
            else:
                yield Trial(case, probe)
