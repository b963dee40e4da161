"""Check of one variant: every implementation is compared with the oracle, each in its own process."""

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
"""Odd, and long enough that at the small lengths below it a pattern leaves out keys."""
AXES = {
    "shape": {"batch": 1, "heads": 2, "kv_heads": 1, "head_dim": 16, "seq_len": LENGTH},
    "direction": "training",
}
"""Axes of the check: two query heads that share a key head, with gradients."""


@dataclass(frozen=True)
class Trial:
    """Result of one implementation."""

    case: Case
    probe: Probe

    @property
    def is_fault(self) -> bool:
        """Whether the result is a fault."""
        return is_fault(self.probe.status, predicted=self.probe.predicted)

    def __str__(self) -> str:
        """Return `passed, forward and gradients; largest error 2.4e-07`, or the status with its reason."""
        if self.probe.status is not Status.PASSED:
            return f"{self.probe.status}: {self.probe.reason}"
        what = "forward alone" if self.case.setting.direction == "forward" else "forward and gradients"
        return f"passed, {what}; largest error {self.probe.max_abs_error:.1e}"


def can_try() -> bool:
    """Check whether torch is installed, without importing it."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ImportError:
        return False


def lengthened(cases: Iterable[Case], n: int) -> list[Case]:
    """Return the cases, at length n if their mechanism does not exist at `LENGTH`."""
    return [
        case.changed(shape=case.setting.shape.at(n)) if case.parameters.unsupported(LENGTH) else case for case in cases
    ]


def heading(case: Case) -> str:
    """Return what the results of a case are compared with, and at which lengths."""
    oracle = "its own reference" if variants.load(case.mechanism.name).reference else "the oracle"
    n, dtype = case.setting.shape.seq_len, case.setting.dtype
    return f"held to {oracle} in float64, at N = {n} and at small odd lengths, in {dtype}"


def trials(
    cases: Iterable[Case], folders: tuple[Path, ...] = (), start_worker: StartWorker = Worker
) -> Iterator[Trial]:
    """Probe each case, without gradients if the implementation has none."""
    budget = Budget()
    with closing(Prober(budget, budget.bytes_of(memory.available_bytes()), folders, start_worker)) as prober:
        for case in cases:
            forward = case.changed(direction="forward")
            probe = prober.probe(case)
            if probe.status is Status.UNSUPPORTED and (alone := prober.probe(forward)).status is not Status.UNSUPPORTED:
                yield Trial(forward, alone)
            else:
                yield Trial(case, probe)
