"""Estimate of the time that a run still takes, from its progress so far."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from attnbench.runner.worker.call import sampling
from attnbench.runner.worker.call.sampling import Plan, timing_ns
from attnbench.suites import Case
from attnbench.suites.schema.suite import Suite

START_S = 1.5
"""A fresh interpreter that imports torch."""
READY_S = 0.03
"""Building a kernel and its inputs in a replicate, besides its calls."""
COMPILED_S = 2.0
"""Compiling one there, once the probe has left it in torch's cache on disk."""
PROBE_S = 0.3
"""Checking a case at small lengths, and looking at its memory, besides its own calls."""
PROBE_CALLS = 15
"""Calls at a case's own length that a probe makes, about; computing what they must give takes as long as a few."""
_STEEPEST = 2.0
"""Nothing here grows faster than the square of the length."""


class _Cost(NamedTuple):
    """What a case took to probe, and takes in each replicate."""

    probe_s: float
    timing_s: float


class RemainingTime:
    """Remaining seconds: what is left to probe and to time, each case as the shorter ones of its family let expect.

    Lengths are probed in ascending order and the long ones cost most, so a mean over what was probed would promise far
    too little. Once a replicate is over, the mean of the replicates so far replaces the plan.
    """

    def __init__(self, cases: Sequence[Case], processes: int) -> None:
        self._processes = processes
        self._left = {case.key: case for case in cases}
        self._families: dict[tuple[object, ...], list[tuple[int, _Cost]]] = {}
        self._replicates_s: list[float] = []

    def probed(
        self, case: Case, took_s: float, plan: Plan | None, call_ns: float | None, *, compiled: bool = False
    ) -> None:
        """A case was probed; with a plan, it will be timed."""
        timing_s = 0.0
        if plan is not None and call_ns is not None:
            ready_s = READY_S + COMPILED_S * compiled
            timing_s = ready_s + timing_ns(plan, call_ns, plan.calls * call_ns, case.setting.device) / 1e9
        self._left.pop(case.key, None)
        self._families.setdefault(case.family, []).append((case.setting.shape.seq_len, _Cost(took_s, timing_s)))

    def to_time(self, processes: int) -> None:
        """So many replicates are left: a run that goes on has some already."""
        self._processes = processes

    def replicated(self, took_s: float) -> None:
        """A replicate is over."""
        self._replicates_s.append(took_s)

    def left_s(self, share: float = 0.0) -> float | None:
        """Seconds left, with `share` of the replicate under way done; nothing before the first case is over."""
        if not self._families:
            return None
        expected = [self._expected(case) for case in self._left.values()]
        known = [cost for family in self._families.values() for _, cost in family]
        replicate_s = START_S + sum(cost.timing_s for cost in (*known, *expected))
        if self._replicates_s:
            replicate_s = sum(self._replicates_s) / len(self._replicates_s)
        replicates = self._processes - len(self._replicates_s) - share
        return sum(cost.probe_s for cost in expected) + replicate_s * replicates

    def _expected(self, case: Case) -> _Cost:
        """The cost of a case still to be probed, from its own family, else from the mean of all."""
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
    """How a case is timed whose call takes about `call_ns`: all processes of the suite share its budget."""
    measure = suite.measure
    share_ns = suite.budget.case_s * 1e9 / measure.processes
    return sampling.plan(call_ns, measure.values, measure.value_ms * 1e6, share_ns, case.setting.device)


def probe_s(call_ns: float) -> float:
    """About how long a probe takes, in seconds, of a case whose call takes so long."""
    return PROBE_S + PROBE_CALLS * call_ns / 1e9


def _exponent(before_n: int, before: float, n: int, now: float) -> float:
    """The growth from one length to the next, between none and quadratic; linear where there is but one."""
    if not before_n or before <= 0 or now <= 0:
        return 1.0
    return min(max(math.log(now / before) / math.log(n / before_n), 0.0), _STEEPEST)
