"""Timing on a CUDA device: all cases with a cold cache, then all with a hot one, and the device's conditions."""

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
    """Cases that are ready: what takes values here."""

    def value(self, index: int, many: int, clock: EventClock, *, last: bool = False) -> Value | None:
        """One value of `many` launches; nothing where the case has ended."""

    def settle(self, index: int, proved: str | None) -> None:
        """Check the result of a case's last value."""


@dataclass
class Seen:
    """What was seen of one case in one replicate."""

    cold: list[Value] = field(default_factory=list)
    hot: list[Value] = field(default_factory=list)
    clocks_mhz: list[int] = field(default_factory=list)
    """Of the multiprocessors: before the first value, and after each."""
    slowdowns: list[list[str]] = field(default_factory=list)
    """What held the clocks down, after each value."""

    def look(self, gpu: Gpu) -> None:
        """Read the clock."""
        mhz = nvml.sm_clock_mhz(gpu)
        if mhz is not None:
            self.clocks_mhz.append(mhz)

    def look_after(self, gpu: Gpu) -> None:
        """Read the clock, and what holds it down."""
        self.look(gpu)
        reasons = nvml.slowdowns(gpu)
        if reasons is not None:
            self.slowdowns.append(reasons)

    def fields(self) -> dict[str, Any]:
        """The fields of this case's sample; none where no value was taken."""
        if not self.cold:
            return {}
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
    """The fields of every case's sample. The hot phase comes after the cold one is over, for all cases."""
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
    """Values of all cases by the first clock, interleaved, then by the second; the last is held to what was proved."""
    seen = [Seen() for _ in plans]
    rng = random.Random(seed)
    for clock, values in zip(clocks, ([each.cold for each in seen], [each.hot for each in seen]), strict=True):

        def take(index: int, last: bool, clock: EventClock = clock, values: list[list[Value]] = values) -> None:
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
