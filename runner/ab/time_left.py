"""Estimate of the remaining time of `bench ab`."""

import time
from collections.abc import Callable, Sequence
from statistics import fmean

from attnbench.reports.text.units import clock
from attnbench.runner.ab import paired_timing
from attnbench.runner.ab.paired_timing import ARMS, Stages
from attnbench.runner.plan.remaining_time import START_S, RemainingTime
from attnbench.suites import Case


class TimeLeft:
    """Seconds left: probes and one process as `bench run` estimates them, until pairs of a stage were measured.

    How many cases will be confirmed is known after screening alone. Until then the estimate is the least.
    """

    def __init__(self, cases: Sequence[Case], stages: Stages, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begun = now()
        self._run = RemainingTime(cases, processes=1)
        self._planned = {"same": stages.screen, "screen": stages.screen}
        self._took_s: dict[str, list[float]] = {}
        self._shares: dict[str, float] = {"same": 0.0, "screen": 1.0}
        self._confirm = stages.confirm

    def begin(self) -> None:
        """Begin the probes of a case, or a pair."""
        self._begun = self._now()

    def probed(self, case: Case, call_ns: float | None) -> None:
        """Record the probes of a case on both sides; `call_ns` is None if it is not timed."""
        plan = None if call_ns is None else paired_timing.plan(call_ns)
        self._run.probed(case, self._now() - self._begun, plan, call_ns)

    def again(self, share: float) -> None:
        """Set the share of the cases that are measured against themselves too."""
        self._shares["same"] = share

    def paired(self, stage: str) -> None:
        """Record a finished pair."""
        self._took_s.setdefault(stage, []).append(self._now() - self._begun)

    def screened(self, share: float) -> None:
        """End the screening. This share of the cases is confirmed."""
        self._planned["confirm"] = self._confirm if share else 0
        self._shares["confirm"] = share

    def text(self) -> str:
        """Return ` (at least 1:05 left)`; empty if nothing is known yet."""
        with_process_s, probes_s = self._run.left_s(), self._run.left_s(share=1)
        if with_process_s is None or probes_s is None:
            return ""
        process_s = with_process_s - probes_s
        left_s = probes_s
        for stage, pairs in self._planned.items():
            took_s = self._took_s.get(stage, [])
            expected_s = ARMS * (START_S + self._shares[stage] * (process_s - START_S))
            left_s += (pairs - len(took_s)) * (fmean(took_s) if took_s else expected_s)
        least = "" if "confirm" in self._planned else "at least "
        return f" ({least}{clock(left_s)} left)"
