"""Time on a CUDA device, through stand-ins: phases in their order, what NVML tells, a context that is lost."""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attnbench.runner.machine import environment, nvml
from attnbench.runner.machine.doctor import gpu
from attnbench.runner.machine.doctor.gpu import Gpu
from attnbench.runner.worker import cuda_phases, timing
from attnbench.runner.worker.call import calls, clocks, launches, programs, roof
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.call.launches import Value
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.process import failure, settings
from attnbench.runner.worker.timing import Bench
from attnbench.suites import Sample, Status
from attnbench.suites.schema.load import parse

INPUTS = "attnbench.runner.worker.call.inputs.inputs"
SUITE = """
name: two
question: What happens on a GPU?
shape: {heads: 1, head_dim: 8, seq_len: 16}
device: cuda
variants: [full, {local_window: {window: 3}}]
"""
UUID = "0d1f2a3b-0000-1111-2222-333344445555"


class NVMLError(Exception):
    """NVML does not tell."""


class Nvml:
    """NVML of a machine with two GPUs of which torch sees the second."""

    NVMLError = NVMLError

    def __init__(self, by: str = "uuid") -> None:
        self.by = by
        self.mhz = 1980
        self.bits = 0

    def nvmlInit(self) -> None:
        """Nothing to do."""

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if self.by == "uuid" and name == f"GPU-{UUID}":
            return "second"
        raise NVMLError("not found")

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> str:
        if self.by == "pci" and address == "00000000:3B:00.0":
            return "second"
        raise NVMLError("not found")

    def nvmlDeviceGetIndex(self, handle: str) -> int:
        assert handle == "second"
        return 1

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"580.1"

    def nvmlDeviceGetPowerManagementLimit(self, handle: str) -> int:
        return 700_000

    def nvmlDeviceGetClockInfo(self, handle: str, which: int) -> int:
        assert which == gpu.SM_CLOCK
        self.mhz -= 10
        return self.mhz

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return self.bits


PROPERTIES = SimpleNamespace(
    name="Example GPU",
    total_memory=2**37,
    major=9,
    minor=0,
    multi_processor_count=132,
    L2_cache_size=2**25,
    uuid=UUID,
    pci_domain_id=0,
    pci_bus_id=0x3B,
    pci_device_id=0,
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    found = Nvml()
    monkeypatch.setattr(gpu, "load", lambda: found)
    return found


@pytest.mark.parametrize("by", ["uuid", "pci"])
def test_a_gpu_is_found_by_what_it_is_not_by_its_number(told: Nvml, by: str) -> None:
    told.by = by
    found = nvml.find(PROPERTIES)
    assert found == Gpu(told, "second", 1)


def test_a_gpu_that_nvml_does_not_know_is_not_guessed(told: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvml.find(SimpleNamespace(uuid="another")) is None
    assert nvml.find(SimpleNamespace()) is None
    monkeypatch.setattr(gpu, "load", lambda: None)
    assert nvml.find(PROPERTIES) is None


def test_the_environment_names_the_gpu_its_driver_and_its_limits(told: Nvml) -> None:
    assert environment.of_gpu(PROPERTIES) == {
        "gpu": "Example GPU",
        "gpu_memory_bytes": 2**37,
        "gpu_capability": "9.0",
        "gpu_multiprocessors": 132,
        "gpu_l2_bytes": 2**25,
        "gpu_driver": "580.1",
        "gpu_power_limit_w": 700.0,
    }
    told.by = "nothing"
    assert environment.of_gpu(PROPERTIES)["gpu_driver"] is None
    assert environment.of_gpu(PROPERTIES)["gpu_power_limit_w"] is None


class FakeBench(Bench):
    """Answers values from a list for each case; None ends it."""

    def __init__(self, *values: list[Value | None]) -> None:
        self.values = values
        self.asked: list[tuple[int, Any]] = []
        self.settled: list[int] = []

    def value(self, index: int, many: int, clock: Any, *, last: bool = False) -> Value | None:
        assert many == 3
        assert last == (clock == "hot" and (index, clock) in self.asked)
        self.asked.append((index, clock))
        return self.values[index].pop(0)

    def settle(self, index: int, proved: str | None) -> None:
        assert self.asked[-1] == (index, "hot"), "after the last value"
        self.settled.append(index)


def phases(bench: FakeBench, gpu: Gpu | None) -> list[dict[str, Any]]:
    plans = [Plan(3, 2)] * len(bench.values)
    clocks: Any = ("cold", "hot")
    return [each.fields() for each in cuda_phases.phases(bench, plans, [None] * len(plans), "seed", clocks, gpu)]


def test_every_case_is_cold_before_any_is_hot() -> None:
    quick = [Value(10.0, 30.0, 1), Value(12.04, 20.0, 0), Value(8.0, 90.0, 2), Value(8.1, 90.0, 0)]
    slow = [Value(100.0, 30.0, 0)] * 4
    bench = FakeBench([*quick], [*slow])
    first, second = phases(bench, None)
    assert [clock for _, clock in bench.asked] == ["cold"] * 4 + ["hot"] * 4
    assert first == {
        "values_ns": (10.0, 12.0),
        "hot_values_ns": (8.0, 8.1),
        "host_ns": 25.0,
        "launch_bound": True,
        "gap_calls": 3,
        "sm_clock_before_mhz": None,
        "sm_clock_after_mhz": None,
        "throttled": None,
        "throttle_reasons": (),
    }
    assert second["launch_bound"] is False
    sample = Sample("key", Status.PASSED, "", replicate=0, calls=3, **first)
    assert Sample.from_json(sample.to_json()) == sample


def test_clocks_and_throttling_are_those_of_the_case(told: Nvml) -> None:
    bench = FakeBench([Value(10.0, 30.0, 0)] * 4)
    (found,) = phases(bench, nvml.find(PROPERTIES))
    assert (found["sm_clock_before_mhz"], found["sm_clock_after_mhz"]) == (1970, 1930)
    assert found["throttled"] is False
    told.bits = 0x1 | 0x4 | 0x40  # idle is no throttling
    (found,) = phases(FakeBench([Value(10.0, 30.0, 0)] * 4), nvml.find(PROPERTIES))
    assert found["throttled"] is True
    assert found["throttle_reasons"] == ("power cap", "too hot (hardware)")


def test_a_case_that_ends_has_no_fields() -> None:
    (found,) = phases(FakeBench([None] * 4), None)
    assert found == {}


def test_a_group_gives_a_sample_of_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the path but the device: tensors are on the CPU, and each launch takes 2 us to queue and 5 us to run."""
    drawn, build = inputs, programs.build
    monkeypatch.setattr(INPUTS, lambda shape, dtype, device, *rest: drawn(shape, dtype, "cpu", *rest))
    monkeypatch.setattr(programs, "build", lambda case, content: build(case.changed(device="cpu"), content))
    monkeypatch.setattr(calls, "wait", lambda device: None)
    monkeypatch.setattr(clocks, "cuda_wall", lambda call, many: (call(), 2e8)[1])

    class Device:
        def __init__(self, ns: float) -> None:
            self.ns = ns

        def value(self, call: Callable[[], object], many: int) -> Value:
            call()
            return Value(self.ns, 2e3, 0)

    monkeypatch.setattr(launches, "cold", lambda: Device(5e3))
    monkeypatch.setattr(launches, "hot", lambda: Device(4e3))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: PROPERTIES)
    monkeypatch.setattr(gpu, "load", lambda: None)
    monkeypatch.setattr(roof, "measure", lambda dtype, device, clock: roof.Roofs(7.0, 8.0))
    marks: list[int] = []
    cases: list[timing.Timed] = [(case, Plan(3, 2), None) for case in parse(SUITE, "two.yaml").cases()]
    samples = timing.group(cases, 1, "seed", 1e6, marks.append)
    assert [sample.case for sample in samples] == [case.key for case, *_ in cases]
    for sample in samples:
        assert (sample.status, sample.replicate, sample.calls, sample.warmup_calls) == (Status.PASSED, 1, 3, 25)
        assert sample.values_ns == (5e3, 5e3)
        assert sample.hot_values_ns == (4e3, 4e3)
        assert sample.launch_bound is False
        assert (sample.roof_flops_per_s, sample.copy_bytes_per_s) == (7, 8)
    assert marks[:2] == [0, 1], "the parent sees which case is in flight: made ready,"
    assert len(marks) > 2 + 2 * 2 * 2, "cold, hot, and proved"


def fail() -> None:
    int("x")


def bench_of_one(monkeypatch: pytest.MonkeyPatch, *, lost: bool) -> Bench:
    """A bench of one CUDA case that is not made ready, on a device that answers or is lost."""
    bench = Bench.__new__(Bench)
    bench.cases = parse(SUITE, "two.yaml").cases()[:1]
    bench.ended, bench._calls, bench._kept, bench._mark = {}, {}, {}, lambda index: None
    bench._before = settings.state()
    monkeypatch.setattr(timing, "_device_answers", lambda: not lost)
    return bench


def test_an_error_that_leaves_the_device_well_ends_its_case_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of_one(monkeypatch, lost=False)
    bench._attempt(0, fail)
    assert bench.ended[0][0] is Status.FAILED


def test_an_error_that_takes_the_device_with_it_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of_one(monkeypatch, lost=True)
    with pytest.raises(failure.DeviceLost, match="ValueError: invalid literal"):
        bench._attempt(0, fail)


LOSE = """
from attnbench.runner.worker import main_loop as desk
from attnbench.runner.worker.process import failure as outcome

class Pipe:
    def send_bytes(self, message): assert message == b'{"ready": true}'
    def recv_bytes(self): return b'{"do": "time"}'

def answer(self, what, request): raise outcome.DeviceLost("AcceleratorError: CUDA error: gone")

desk._detach = lambda log: None
desk._Requests.answer = answer
desk.serve(Pipe(), "", [0, 0], None, [], None)
"""


def test_a_process_whose_device_is_lost_ends_with_the_error_as_its_last_words() -> None:
    done = subprocess.run([sys.executable, "-c", LOSE], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "AcceleratorError: CUDA error: gone\n"
