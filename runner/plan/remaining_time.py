"""Estimate the remaining time of a run from its progress."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from attnbench.runner.worker.call import energy, sampling
from attnbench.runner.worker.call.sampling import Plan, timing_ns
from attnbench.suites import Case
from attnbench.suites.schema.suite import Suite
from attnbench.variants import levels
from attnbench.variants.levels._learning import Learning

START_S = 1.5
"""Time to start an interpreter and import torch."""
READY_S = 0.03
"""Time to build a kernel and its inputs in a replicate."""
COMPILED_S = 2.0
"""Time to compile a kernel in a replicate. The probe has already put it into torch's cache on disk."""
PROBE_S = 0.3
"""Time of a probe for small lengths and memory, without calls at the case's own length."""
PROBE_CALLS = 15
"""About how many calls at the case's own length a probe takes; the oracle counts as a few of them."""
_STEEPEST = 2.0
"""Largest exponent of growth: no cost grows faster than N^2."""


class _Cost(NamedTuple):
    """Seconds of a case: its probe, and each replicate."""

    probe_s: float
    timing_s: float


class RemainingTime:
    """Remaining seconds, extrapolated for each case from the shorter lengths of its family.

    Lengths are probed in ascending order and long ones cost most, so a mean over probed cases would be far too small.
    Once a replicate is over, the mean of finished replicates replaces the plan.
    """

    def __init__(self, cases: Sequence[Case], processes: int) -> None:
        self._processes = processes
        self._left = {case.key: case for case in cases}
        self._families: dict[tuple[object, ...], list[tuple[int, _Cost]]] = {}
        self._replicates_s: list[float] = []
        self._energy_s = energy.IDLE_S

    def probed(
        self, case: Case, took_s: float, plan: Plan | None, call_ns: float | None, *, compiled: bool = False
    ) -> None:
        """Record the probe of a case. If it has a plan, it will be timed."""
        timing_s = 0.0
        if plan is not None and call_ns is not None:
            ready_s = READY_S + COMPILED_S * compiled
            timing_s = ready_s + timing_ns(plan, call_ns, plan.calls * call_ns, case.setting.device) / 1e9
            self._energy_s += energy.takes_s(plan, call_ns, case.setting.device)
        self._left.pop(case.key, None)
        self._families.setdefault(case.family, []).append((case.setting.shape.seq_len, _Cost(took_s, timing_s)))

    def to_time(self, processes: int) -> None:
        """Set the number of replicates left; a resumed run already has some."""
        self._processes = processes

    def replicated(self, took_s: float) -> None:
        """Record a finished replicate."""
        self._replicates_s.append(took_s)

    def left_s(self, share: float = 0.0) -> float | None:
        """Seconds left if `share` of the current replicate is done; None before the first probe."""
        if not self._families:
            return None
        expected = [self._expected(case) for case in self._left.values()]
        known = [cost for family in self._families.values() for _, cost in family]
        replicate_s = START_S + sum(cost.timing_s for cost in (*known, *expected))
        if self._replicates_s:
            replicate_s = sum(self._replicates_s) / len(self._replicates_s)
        replicates = self._processes - len(self._replicates_s) - share
        return sum(cost.probe_s for cost in expected) + replicate_s * replicates

    def allows_energy(self, budget_s: float) -> bool:
        """Check whether energies take at most half of the time that all else leaves of `budget_s`.

        The other half is for what takes longer than expected.
        """
        return self._processes * self._energy_s <= (budget_s - (self.left_s() or 0.0)) / 2

    def _expected(self, case: Case) -> _Cost:
        """The expected cost of a case without a probe: from its family, otherwise the mean of all cases."""
        family = self._families.get(case.family)
        if family is None:
            known = [cost for family in self._families.values() for _, cost in family]
            return _Cost(*(sum(each) / len(known) for each in zip(*known, strict=True)))
        n, last = family[-1]
        before_n, before = family[-2] if len(family) > 1 else (0, last)
        return _Cost(
            *(
                now * (case.setting.shape.seq_len / n) ** _exponent(before_n, then, n, now)
                for then, now in zip(before, last, strict=True)
            )
        )


def planned(suite: Suite, case: Case, call_ns: float) -> sampling.Plan:
    """The plan to time a case whose call takes about `call_ns`. All processes share the suite's `case_s`.

    A model is not timed apart: it takes all of its steps. Those of a search, in one process, are shared among all.
    """
    level = levels.read(case.setting.level)
    if isinstance(level, Learning):
        return Plan(1, level.steps + level.steps * len(level.rates) // suite.measure.processes, led=False)
    measure = suite.measure
    share_ns = suite.budget.case_s * 1e9 / measure.processes
    return sampling.plan(call_ns, measure.values, measure.value_ms * 1e6, share_ns, case.setting.device)


def trains(case: Case) -> bool:
    """Check whether a case trains a model instead of being timed."""
    return isinstance(levels.read(case.setting.level), Learning)


def probe_s(call_ns: float) -> float:
    """About how many seconds the probe of a case takes whose call takes `call_ns`."""
    return PROBE_S + PROBE_CALLS * call_ns / 1e9


def _exponent(before_n: int, before: float, n: int, now: float) -> float:
    """The exponent of growth between two lengths, from 0 to 2; 1 if there is only one length."""
    if not before_n or before <= 0 or now <= 0:
        return 1.0
    return min(max(math.log(now / before) / math.log(n / before_n), 0.0), _STEEPEST)
