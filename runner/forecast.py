"""How long a run still takes, from what it has shown so far."""

from attnbench.runner.sampling import Plan

START_S = 2.5
"""A fresh interpreter that imports torch."""
READY_S = 0.03
"""Building a kernel and its inputs in a replicate, besides its calls."""


class Forecast:
    """Remaining seconds: what is left to probe at the mean so far, and what is left to time as planned.

    Once a replicate is over, the mean of the replicates so far replaces the plan.
    """

    def __init__(self, cases: int, processes: int) -> None:
        self._cases = cases
        self._processes = processes
        self._probes_s: list[float] = []
        self._timing_s: dict[str, float] = {}
        self._replicates_s: list[float] = []

    def probed(self, key: str, took_s: float, plan: Plan | None, call_ns: float | None) -> None:
        """A case was probed; with a plan, it will be timed."""
        self._probes_s.append(took_s)
        if plan is not None and call_ns is not None:
            values_s = plan.calls * plan.values * call_ns / 1e9
            self._timing_s[key] = READY_S + values_s + max(plan.calls, 2) * call_ns / 1e9

    def replicated(self, took_s: float) -> None:
        """A replicate is over."""
        self._replicates_s.append(took_s)

    def left_s(self, done: int = 0) -> float | None:
        """Seconds left, `done` cases into the replicate under way; nothing before the first case is over."""
        if not self._probes_s:
            return None
        probed = len(self._probes_s)
        to_probe_s = (self._cases - probed) * sum(self._probes_s) / probed
        replicates = self._processes - len(self._replicates_s)
        to_time = len(self._timing_s) or 1
        return to_probe_s + self._replicate_s() * (replicates - done / to_time)

    def _replicate_s(self) -> float:
        if self._replicates_s:
            return sum(self._replicates_s) / len(self._replicates_s)
        share = self._cases / len(self._probes_s)
        return START_S + sum(self._timing_s.values()) * share
