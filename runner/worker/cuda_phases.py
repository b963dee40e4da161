"""Timing on a CUDA device: first all cases with a cold cache, then all with a hot one. Clock rates are recorded."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from attnbench.runner.machine import nvml
from attnbench.runner.machine.doctor.gpu import Gpu
from attnbench.runner.worker.call import launches, sampling
from attnbench.runner.worker.call.launches import EventClock, Value
from attnbench.runner.worker.call.sampling import Plan


class Bench(Protocol):
    """Cases that are ready to be timed."""

    def value(self, index: int, many: int, clock: EventClock, *, last: bool = False) -> Value | None:
        """Take one value of `many` launches. Return None if the case has ended."""

    def settle(self, index: int, proved: str | None) -> None:
        """Check the result of a case's last value."""


@dataclass
class Seen:
    """Values and clock rates of one case in one replicate."""

    cold: list[Value] = field(default_factory=list)
    hot: list[Value] = field(default_factory=list)
    clocks_mhz: list[int] = field(default_factory=list)
    """Clock rates of the multiprocessors, before the first value and after each."""
    slowdowns: list[list[str]] = field(default_factory=list)
    """What lowered the clock rate, after each value."""

    def look(self, gpu: Gpu) -> None:
        """Record the clock rate."""
        mhz = nvml.sm_clock_mhz(gpu)
        if mhz is not None:
            self.clocks_mhz.append(mhz)

    def look_after(self, gpu: Gpu) -> None:
        """Record the clock rate and what lowers it."""
        self.look(gpu)
        reasons = nvml.slowdowns(gpu)
        if reasons is not None:
            self.slowdowns.append(reasons)

    def fields(self) -> dict[str, Any]:
        """Return the fields of this case's sample, or none if it has no values."""
        if not self.cold:
            return {}
        # Medians, because a host that is interrupted takes much longer to queue a launch.
        host_ns = statistics.median(value.host_ns for value in self.cold)
        device_ns = statistics.median(value.device_ns for value in self.cold)
        reasons = sorted({reason for each in self.slowdowns for reason in each})
        return {
            "values_ns": tuple(round(value.device_ns, 1) for value in self.cold),
            "hot_values_ns": tuple(round(value.device_ns, 1) for value in self.hot),
            "host_ns": round(host_ns, 1),
            "launch_bound": host_ns > device_ns,
            "gap_calls": sum(value.gaps for value in (*self.cold, *self.hot)),
            "sm_clock_before_mhz": self.clocks_mhz[0] if self.clocks_mhz else None,
            "sm_clock_after_mhz": self.clocks_mhz[-1] if self.clocks_mhz else None,
            "throttled": bool(reasons) if self.slowdowns else None,
            "throttle_reasons": tuple(reasons),
        }


def take_all(bench: Bench, plans: Sequence[Plan], digests: Sequence[str | None], seed: str) -> list[dict[str, Any]]:
    """Time all cases with a cold cache, then all with a hot one. Return the fields of every sample."""
    gpu = nvml.find(torch.cuda.get_device_properties(torch.cuda.current_device()))
    seen = phases(bench, plans, digests, seed, (launches.cold(), launches.hot()), gpu)
    return [each.fields() for each in seen]


def phases(
    bench: Bench,
    plans: Sequence[Plan],
    digests: Sequence[str | None],
    seed: str,
    clocks: tuple[EventClock, EventClock],
    gpu: Gpu | None,
) -> list[Seen]:
    """Take interleaved values of all cases by the first clock, then by the second. Check the last result of each."""
    seen = [Seen() for _ in plans]
    rng = random.Random(seed)
    for clock, values in zip(clocks, ([each.cold for each in seen], [each.hot for each in seen]), strict=True):

        def take(index: int, last: bool, clock: EventClock = clock, values: list[list[Value]] = values) -> None:
            # A case's last value is the last one of the second phase.
            last = last and clock is clocks[-1]
            if gpu is not None and not seen[index].clocks_mhz:
                seen[index].look(gpu)
            value = bench.value(index, plans[index].calls, clock, last=last)
            if value is not None:
                values[index].append(value)
                if gpu is not None:
                    seen[index].look_after(gpu)
            if last:
                bench.settle(index, digests[index])

        sampling.interleave(plans, rng, take)
    return seen
