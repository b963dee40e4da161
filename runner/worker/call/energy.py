"""Energy of a call: what a counter adds up over many calls, without what it adds up while nothing runs.

Clocks, pauses and counters are passed in, so that every rule can be tested with fake ones.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attnbench.runner.machine import nvml
from attnbench.runner.machine.doctor import energy, machine
from attnbench.runner.machine.doctor.energy import Counter
from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.worker.call.clocks import Clock
from attnbench.runner.worker.call.sampling import Plan

ROOT = Path("/")
"""Files of the system are read below it; tests use another folder."""
IDLE_S = 1.0
"""Time for which the counter is watched while nothing runs."""
SPIN_S = 0.3
"""The beginning of this time that is left out: OpenMP's threads may still spin, by default for up to 0.2 s."""
LOOK_S = 0.001
"""Pause between two readings meanwhile."""
FEWEST_UPDATES = 3
STRETCH_S = {"cpu": 0.25, "cuda": 2.0}
"""How long calls run. RAPL has an update every millisecond, NVML every 20 to 100."""
COARSEST = 0.1
"""The largest share of a result that a single update of the counter may be."""


@dataclass(frozen=True)
class Meter:
    """A counter of energy, and what it does while nothing runs."""

    counter: Counter
    idle_w: float
    update_s: float
    """Time between two updates of the counter."""


_METERS: dict[str, Meter | None] = {}
"""The meters of this process by device."""


def meter(device: str, step: Callable[[], object]) -> Meter | None:
    """Return the meter of a device, made once in a process; None without a counter that can be read and moves.

    Meanwhile, `step()` is called often.
    """

    def pause(seconds: float) -> None:
        step()
        time.sleep(seconds)

    if device not in _METERS:
        try:
            _METERS[device] = idle(_counter(device), time.perf_counter, pause)
        except Unread:
            _METERS[device] = None
    return _METERS[device]


def idle(counter: Counter, now: Callable[[], float], pause: Callable[[float], object]) -> Meter | None:
    """Watch a counter while nothing runs. Return None if it hardly moves.

    Raises:
        Unread: it cannot be read.
    """
    updates: list[tuple[float, float]] = []
    last, begun_s = counter.joules(), now()
    while now() < begun_s + IDLE_S:
        pause(LOOK_S)
        joules = counter.joules()
        if joules != last and now() > begun_s + SPIN_S:
            updates.append((now(), joules))
        last = joules
    if len(updates) < FEWEST_UPDATES:
        return None
    # From one update to another, so that no part of an update is missing at either end.
    (first_s, first_j), *_, (last_s, last_j) = updates
    spent_s = last_s - first_s
    return Meter(counter, (last_j - first_j) / spent_s, spent_s / (len(updates) - 1))


def takes_s(plan: Plan, call_ns: float, device: str) -> float:
    """Estimate the seconds to measure the energy of a case in a process."""
    return STRETCH_S[device] + plan.calls * call_ns / 1e9


def of_call(call: Callable[[], object], clock: Clock, calls: int, meter: Meter, stretch_s: float) -> float | None:
    """Return the joules of a call beyond those of an idle device; None if the counter is too coarse for them.

    Calls run for `stretch_s`. The clock reads wall time. A value has `calls` calls.
    """
    value = partial(_value_s, call, clock, calls)
    try:
        used_j, spent_s, values = _used(value, meter, stretch_s)
    except Unread:
        return None
    net_j = used_j - meter.idle_w * spent_s
    update_j = used_j * meter.update_s / spent_s
    return net_j / (values * calls) if update_j < COARSEST * net_j else None


def _value_s(call: Callable[[], object], clock: Clock, calls: int) -> float:
    """Return the seconds of one value."""
    return clock(call, calls) * calls / 1e9


def _used(value_s: Callable[[], float], meter: Meter, stretch_s: float) -> tuple[float, float, int]:
    """Return the joules and seconds of a stretch of values, and their number.

    Raises:
        Unread: the counter cannot be read any more.
    """
    before_j = meter.counter.joules()
    spent_s, values = value_s(), 1
    if spent_s < stretch_s:
        # A counter is late by up to an update. So calls run for an update before the stretch begins.
        while spent_s < meter.update_s:
            spent_s += value_s()
        before_j, spent_s, values = meter.counter.joules(), 0.0, 0
        while spent_s < stretch_s:
            spent_s += value_s()
            values += 1
    return meter.counter.joules() - before_j, spent_s, values


def _counter(device: str) -> Counter:
    """Return the counter of a device.

    Raises:
        Unread: there is none, or it cannot be read.
    """
    if device == "cpu":
        return energy.of_cpu(machine.here(ROOT))
    import torch

    gpu = nvml.find(torch.cuda.get_device_properties(torch.cuda.current_device()))
    if gpu is None:
        raise Unread("NVML")
    return energy.of_gpu(gpu)
