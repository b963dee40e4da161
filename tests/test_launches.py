"""The clock of CUDA events, on a device and a host that are told how long things take."""

from collections.abc import Callable
from typing import Any

import pytest

from attnbench.runner.worker.call import launches
from attnbench.runner.worker.call.launches import EventClock, Value

US = 1e3
MS = 1e6


class Machine:
    """A host that queues work and a device that does it in order, each with a clock of its own.

    Queuing takes the host time; the device begins a piece of work when it is queued and the one before is done.
    """

    def __init__(self) -> None:
        self.host_ns = 0.0
        self.device_ns = 0.0
        self.held = 0
        self.overwritten = 0
        self.waits = 0
        self.done: list[str] = []

    def now_ns(self) -> int:
        return int(self.host_ns)

    def queue(self, host_ns: float, device_ns: float) -> None:
        self.host_ns += host_ns
        self.device_ns = max(self.device_ns, self.host_ns) + device_ns

    def synchronize(self) -> None:
        self.waits += 1
        self.host_ns = max(self.host_ns, self.device_ns)

    def _sleep(self, cycles: int) -> None:
        self.held += 1
        self.queue(0, cycles / 2)  # a clock of 2 GHz

    def overwrite(self) -> None:
        self.overwritten += 1
        self.queue(1 * US, 20 * US)

    def Event(self, enable_timing: bool) -> "Event":
        assert enable_timing
        return Event(self)

    def call(self, kernels: int, host_ns: float, device_ns: float) -> Callable[[], None]:
        def launch() -> None:
            for _ in range(kernels):
                self.queue(host_ns, device_ns)

        return launch


class Event:
    """Passed once the device has done what was queued before it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.at_ns = float("nan")

    def record(self) -> None:
        self.machine.queue(0, 0)
        self.at_ns = self.machine.device_ns

    def query(self) -> bool:
        return self.at_ns <= self.machine.host_ns

    def elapsed_time(self, end: "Event") -> float:
        return (end.at_ns - self.at_ns) / MS


class WithoutSleep:
    """The same `torch.cuda`, of a torch that cannot hold its device back."""

    def __init__(self, machine: Machine) -> None:
        self.Event = machine.Event
        self.synchronize = machine.synchronize


def value(machine: Machine, call: Callable[[], object], calls: int, cuda: Any = None, cold: bool = True) -> Value:
    clock = EventClock(cuda or machine, machine.overwrite if cold else None, machine.now_ns)
    return clock.value(call, calls)


@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize(
    ("kernels", "host_ns", "device_ns"),
    [
        pytest.param(1, 5 * US, 3 * MS, id="long-kernel"),
        pytest.param(1, 10 * US, 2 * US, id="short-kernel"),
        pytest.param(40, 10 * US, 2 * US, id="many-short-kernels"),
    ],
)
def test_a_value_is_the_devices_own_time(kernels: int, host_ns: float, device_ns: float, cold: bool) -> None:
    machine = Machine()
    found = value(machine, machine.call(kernels, host_ns, device_ns), 7, cold=cold)
    assert found.device_ns == pytest.approx(kernels * device_ns)
    assert found.host_ns == pytest.approx(kernels * host_ns)
    assert found.gaps == 0
    assert machine.held == 7
    assert machine.overwritten == (7 if cold else 0)
    assert machine.waits == 1, "a value is waited for once"


def test_waiting_for_the_host_is_seen_where_the_device_cannot_be_held() -> None:
    machine = Machine()
    found = value(machine, machine.call(40, 10 * US, 2 * US), 7, WithoutSleep(machine))
    assert found.device_ns > 40 * 2 * US, "the kernels waited for the host"
    assert found.gaps == 7
    assert found.host_ns == pytest.approx(40 * 10 * US)


def test_a_long_kernel_is_right_also_where_the_device_cannot_be_held() -> None:
    machine = Machine()
    found = value(machine, machine.call(1, 5 * US, 3 * MS), 7, WithoutSleep(machine))
    assert found.device_ns == pytest.approx(3 * MS)
    assert found.gaps == 0


def test_a_call_that_waits_for_the_device_is_told_by_its_gaps_and_held_for_a_bounded_time() -> None:
    machine = Machine()

    def call() -> None:
        machine.queue(5 * US, 100 * MS)
        machine.synchronize()

    found = value(machine, call, 3)
    assert found.gaps == 3
    assert found.device_ns == pytest.approx(100 * MS)
    longest_ns = launches.MOST_HELD_NS * launches.CYCLES_PER_NS / 2
    assert machine.host_ns <= 5 * (100.1 * MS) + 3 * (longest_ns + 1 * MS)


def test_the_clock_of_a_value_is_a_clock() -> None:
    machine = Machine()
    clock = EventClock(machine, None, machine.now_ns)
    assert clock(machine.call(1, 5 * US, 3 * MS), 4) == pytest.approx(3 * MS)
