"""Energy of a call, with stand-ins for RAPL and NVML: what counters tell, stretches of calls, and what a run says."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pytest
import rows
import torch

from attnbench.reports import figures
from attnbench.reports.findings.run import Run, load
from attnbench.reports.html.charts import of as charts
from attnbench.reports.tables import tables
from attnbench.reports.text import units
from attnbench.reports.text.answer import answer
from attnbench.runner.execution import engine
from attnbench.runner.execution.local import Local
from attnbench.runner.machine.doctor import energy as counters
from attnbench.runner.machine.doctor import load as doctor_load
from attnbench.runner.machine.doctor.energy import Counter, NoCounter
from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.machine.doctor.gpu import Gpu
from attnbench.runner.machine.doctor.machine import Machine
from attnbench.runner.worker import timing
from attnbench.runner.worker.call import clocks, energy, roof
from attnbench.runner.worker.call.energy import Meter
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.main_loop import _Requests
from attnbench.suites import Probe, Sample, Status
from attnbench.suites.schema.load import parse

RANGE_UJ = 1_000_000


class Powercap:
    """A powercap folder below a root, with the energy of its domains in microjoules."""

    def __init__(self, root: Path) -> None:
        self.folder = root / counters.FOLDER
        self.machine = Machine(root, (0,), 1, {})

    def add(self, domain: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ) -> None:
        (self.folder / domain).mkdir(parents=True)
        for file, text in (("name", name), ("max_energy_range_uj", range_uj)):
            (self.folder / domain / file).write_text(f"{text}\n")
        self.put(domain, energy_uj)

    def put(self, domain: str, energy_uj: int) -> None:
        (self.folder / domain / "energy_uj").write_text(f"{energy_uj}\n")


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path)


def test_all_packages_are_added_and_nothing_twice(powercap: Powercap) -> None:
    """Cores are a part of their package, `psys` holds all packages, and `mmio` is the same counter again."""
    for number, (domain, name) in enumerate(
        {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:0:1": "dram",
            "intel-rapl:1": "package-1-die-0",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0",
            "dtpm": "package-0",
        }.items()
    ):
        powercap.add(domain, name, 10**number)
    found = counters.of_cpu(powercap.machine)
    assert found.source == "RAPL of 2 CPU packages"
    assert found.joules() == pytest.approx(1001e-6)


def test_a_counter_begins_again_at_zero_and_energy_does_not(powercap: Powercap) -> None:
    powercap.add("intel-rapl:0", "package-0", RANGE_UJ - 10)
    powercap.add("intel-rapl:1", "package-1", 5)
    found = counters.of_cpu(powercap.machine)
    told = [found.joules()]
    for energy_uj in (RANGE_UJ - 1, 20, 30, 10, 10):
        powercap.put("intel-rapl:0", energy_uj)
        told.append(found.joules())
    since = [round((each - told[0]) * 1e6) for each in told]
    assert since == [0, 9, 30, 40, RANGE_UJ + 20, RANGE_UJ + 20]


def test_why_there_is_no_counter_and_what_to_do(powercap: Powercap, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCounter, match=r"^/sys/class/powercap \(No such file") as none:
        counters.of_cpu(powercap.machine)
    assert "on the machine itself" in none.value.do
    powercap.folder.mkdir(parents=True)
    with pytest.raises(NoCounter, match=r"^/sys/class/powercap lists no CPU package$") as none:
        counters.of_cpu(powercap.machine)
    assert "`sudo modprobe intel_rapl_msr`" in none.value.do
    powercap.add("intel-rapl:0", "package-0")
    powercap.add("intel-rapl:1", "package-1")
    read = Path.read_text

    def refuse(path: Path, *args: Any, **named: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        with pytest.raises(NoCounter, match=r"intel-rapl:0/energy_uj \(Permission denied\)$") as none:
            counters.of_cpu(powercap.machine)
    files = [f"/sys/class/powercap/intel-rapl:{number}/energy_uj" for number in (0, 1)]
    assert f"`sudo chmod o+r {' '.join(files)}`" in none.value.do
    (powercap.folder / "intel-rapl:0/energy_uj").write_text("many")
    with pytest.raises(NoCounter, match="expected a whole number, found 'many'") as none:
        counters.of_cpu(powercap.machine)
    assert not none.value.do


def test_the_doctor_names_the_counter_or_says_why_there_is_none(
    powercap: Powercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_load, "pause", lambda seconds: None)
    (check,) = counters.CHECKS
    finding = check.finding(powercap.machine)
    assert (finding.level, finding.found[:27]) == ("fact", "none: /sys/class/powercap (")
    assert finding.do
    powercap.add("intel-rapl:0", "package-0", 7)
    assert check.finding(powercap.machine).found == "none: RAPL of 1 CPU package did not move within 0.1 s"
    monkeypatch.setattr(doctor_load, "pause", lambda seconds: powercap.put("intel-rapl:0", 8))
    finding = check.finding(powercap.machine)
    assert (finding.level, finding.found, finding.do) == ("good", "RAPL of 1 CPU package", "")


class NVMLError(Exception):
    """NVML does not tell."""


def test_a_gpu_counts_millijoules_or_not_at_all() -> None:
    told = iter([5_000, 5_250])
    nvml = SimpleNamespace(NVMLError=NVMLError, nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(told))
    found = counters.of_gpu(Gpu(nvml, "first", 1))
    assert (found.source, found.joules()) == ("NVML of GPU 1", 5.25)

    def refuse(handle: str) -> int:
        raise NVMLError("Not Supported")

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with pytest.raises(Unread, match=r"nvmlDeviceGetTotalEnergyConsumption \(Not Supported\)"):
        counters.of_gpu(Gpu(nvml, "first", 1))


class Device:
    """A device with a clock that calls and pauses move, and a counter that is updated every `update_s`."""

    def __init__(self, idle_w: float = 10.0, busy_w: float = 25.0, update_s: float = 0.001) -> None:
        self.idle_w, self.busy_w, self.update_s = idle_w, busy_w, update_s
        self.now_s = 0.0
        self.joules = 0.0
        self.shown_j = 0.0
        self.calls = 0

    def spend(self, seconds: float, watts: float) -> None:
        while seconds > 0:
            after_s = (int(self.now_s / self.update_s + 1e-6) + 1) * self.update_s
            step_s = min(seconds, after_s - self.now_s)
            self.now_s += step_s
            self.joules += watts * step_s
            seconds -= step_s
            if self.now_s > after_s - 1e-9:
                self.shown_j = self.joules

    def clock(self, call_s: float) -> Callable[[Callable[[], object], int], float]:
        def clock(call: Callable[[], object], many: int) -> float:
            self.calls += many
            self.spend(call_s * many, self.busy_w)
            return call_s * 1e9

        return clock

    @property
    def counter(self) -> Counter:
        return Counter("a stand-in", lambda: self.shown_j)

    def meter(self) -> Meter:
        found = energy.idle(self.counter, lambda: self.now_s, lambda seconds: self.spend(seconds, self.idle_w))
        assert found is not None
        return found


def nothing() -> None:
    """A call: the clock says what it takes."""


@pytest.mark.parametrize(("update_s", "seen_s"), [(0.001, 0.001), (0.02, 0.02), (0.1, 0.1), (0.0001, 0.001)])
def test_an_idle_device_tells_its_power_and_how_often_its_counter_moves(update_s: float, seen_s: float) -> None:
    device = Device(update_s=update_s)
    found = device.meter()
    assert found.idle_w == pytest.approx(10, rel=0.02)
    assert found.update_s == pytest.approx(seen_s, rel=0.1)
    assert device.now_s == pytest.approx(energy.IDLE_S, abs=0.01)


def test_threads_that_spin_at_first_are_not_idle() -> None:
    device = Device()

    def pause(seconds: float) -> None:
        device.spend(seconds, 10 if device.now_s > 0.25 else 25)

    found = energy.idle(device.counter, lambda: device.now_s, pause)
    assert found is not None
    assert found.idle_w == pytest.approx(10)


@pytest.mark.parametrize("update_s", [2.0, 0.5])
def test_a_counter_that_hardly_moves_is_none(update_s: float) -> None:
    device = Device(update_s=update_s)
    found = energy.idle(device.counter, lambda: device.now_s, lambda seconds: device.spend(seconds, 10))
    assert found is None


@pytest.mark.parametrize(("update_s", "stretch_s"), [(0.001, 0.25), (0.02, 2.0), (0.1, 2.0)])
@pytest.mark.parametrize(("call_s", "calls"), [(1e-5, 1000), (0.004, 3), (0.3, 1)])
def test_a_call_has_the_energy_beyond_that_of_an_idle_device(
    update_s: float, stretch_s: float, call_s: float, calls: int
) -> None:
    device = Device(update_s=update_s)
    meter, begun_s = device.meter(), device.now_s
    joules = energy.of_call(nothing, device.clock(call_s), calls, meter, stretch_s)
    assert joules == pytest.approx(15 * call_s, rel=0.12)
    spent_s = device.now_s - begun_s
    value_s = call_s * calls
    assert stretch_s <= spent_s + 1e-9 <= stretch_s + max(value_s, update_s) + 2 * value_s


def test_a_long_call_runs_once() -> None:
    device = Device()
    assert energy.of_call(nothing, device.clock(7.0), 1, device.meter(), 2.0) == pytest.approx(105, rel=0.01)
    assert device.calls == 1


@pytest.mark.parametrize(
    ("device", "stretch_s", "refused"),
    [
        pytest.param(Device(10, 10), 0.25, True, id="no-more-than-idle"),
        pytest.param(Device(10, 9), 0.25, True, id="less-than-idle"),
        pytest.param(Device(0, 0), 0.25, True, id="nothing"),
        pytest.param(Device(100, 102), 0.25, True, id="within-the-last-updates"),
        pytest.param(Device(100, 110), 0.25, False, id="a-tenth-of-a-busy-machine"),
        pytest.param(Device(100, 110, update_s=0.1), 2.0, True, id="a-tenth-with-few-updates"),
    ],
)
def test_what_the_counter_cannot_resolve_is_refused(device: Device, stretch_s: float, refused: bool) -> None:
    meter = Meter(device.counter, device.idle_w, device.update_s)
    assert (energy.of_call(nothing, device.clock(1e-3), 10, meter, stretch_s) is None) == refused


def test_a_counter_that_is_lost_leaves_the_case_alone() -> None:
    def lost() -> float:
        raise Unread("NVML's nvmlDeviceGetTotalEnergyConsumption (GPU is lost)")

    meter = Meter(Counter("a stand-in", lost), 10.0, 0.001)
    assert energy.of_call(nothing, Device().clock(1.0), 1, meter, 0.25) is None


# --- in a process that measures

SUITE = """
name: energetic
question: What does a call take?
shape: {batch: 1, heads: 1, head_dim: 8, seq_len: [16, 64]}
threads: 1
variants: [full: {implementation: [sdpa, eager]}]
baseline: full/sdpa
measure: {processes: 1, values: 2, value_ms: 1}
"""


class Machine10W:
    """A powercap folder of a machine that takes 10 W, and 25 W during calls, each of which takes 1 ms."""

    def __init__(self, powercap: Powercap) -> None:
        self.powercap = powercap
        self.joules = 0.0
        self.now_s = 0.0
        powercap.add("intel-rapl:0", "package-0", range_uj=2**38)

    def spend(self, watts: float, seconds: float) -> None:
        self.joules += watts * seconds
        self.now_s += seconds
        self.powercap.put("intel-rapl:0", round(self.joules * 1e6))

    def clock(self, call: Callable[[], object], many: int) -> float:
        call()
        self.spend(25, many / 1000)
        return 1e6


@pytest.fixture
def here(powercap: Powercap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine10W]:
    """Such a machine is this one, and has no roof."""
    found, threads = Machine10W(powercap), torch.get_num_threads()
    now_and_pause = {"perf_counter": lambda: found.now_s, "sleep": partial(found.spend, 10)}
    monkeypatch.setattr(energy, "ROOT", tmp_path)
    monkeypatch.setattr(energy, "IDLE_S", 0.1)
    monkeypatch.setattr(energy, "SPIN_S", 0.03)
    monkeypatch.setattr(energy, "time", SimpleNamespace(**now_and_pause))
    monkeypatch.setattr(clocks, "for_warm_up", lambda device: found.clock)
    monkeypatch.setattr(roof, "measure", lambda dtype, device, clock: None)
    energy._METERS.clear()
    yield found
    energy._METERS.clear()
    torch.set_num_threads(threads)


class InProcess:
    """A worker in the test's own process."""

    def __init__(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> None:
        del kind, budget_bytes, folders
        pipe: Any = SimpleNamespace(send_bytes=lambda message: None)
        self.requests = _Requests(pipe, [0, 0], None)

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to stop."""

    def wait(self) -> None:
        """It is ready."""

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        told = json.loads(json.dumps(request))
        return json.loads(json.dumps(self.requests.answer(told.pop("do"), told)))


def test_a_run_says_what_its_calls_take(here: Machine10W, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "energetic.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "Local", lambda: Local(InProcess))
    code, said = commands.bench("run", "energetic.yaml", "--out", "run")
    assert code == 0, said
    frame = load(tmp_path / "run").frame
    assert frame["energy_j"].tolist() == pytest.approx([0.015] * 4)
    assert frame["energy_fraction"].tolist() == pytest.approx([1.0] * 4)
    assert "takes 15 mJ a call" in said
    report = (tmp_path / "run/report.md").read_text()
    assert ": energy of one call (fraction of full/sdpa)" in report
    assert "![energy](figures/energy.svg)" in report
    assert (tmp_path / "run/figures/energy.png").stat().st_size > 10_000


def test_a_run_without_time_left_measures_no_energy(
    here: Machine10W, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "energetic.yaml").write_text(SUITE + "budget: {suite_s: 3}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "Local", lambda: Local(InProcess))
    commands.bench("run", "energetic.yaml", "--out", "run")
    assert load(tmp_path / "run").frame["energy_j"].isna().all()
    assert not energy._METERS, "not even an idle second"


def group(monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None) -> list[Sample]:
    """The samples of a group of two cases, of which a call may raise once energy is measured."""
    cases = parse(SUITE, "energetic.yaml").cases()[:2]
    if fail_at is not None:
        of_call = energy.of_call

        def fail(call: Callable[[], object], *rest: Any) -> float | None:
            left.pop()
            if not left:
                raise ValueError("out of power")
            return of_call(call, *rest)

        left = [None] * (fail_at + 1)
        monkeypatch.setattr(energy, "of_call", fail)
    return timing.group([(case, Plan(3, 2), None) for case in cases], 0, "seed", 1e6, lambda index: None, energies=True)


def test_a_sample_has_the_energy_of_a_call(here: Machine10W, monkeypatch: pytest.MonkeyPatch) -> None:
    found = group(monkeypatch)
    assert [each.energy_j for each in found] == pytest.approx([0.015, 0.015])
    assert [Sample.from_json(each.to_json()) for each in found] == found
    monkeypatch.setattr(energy, "time", None)
    again = group(monkeypatch)
    assert [each.energy_j for each in again] == pytest.approx([0.015, 0.015]), "idle power is measured once"


def test_each_value_of_a_stretch_begins_with_the_first_state(here: Machine10W, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[torch.Tensor] = []

    def clock(call: Callable[[], Any], many: int) -> float:
        return here.clock(lambda: found.append(call()[0].detach().clone()), many)

    monkeypatch.setattr(clocks, "for_warm_up", lambda device: clock)
    training = SUITE + "level: {encoder: {layers: 1}}\ndirection: training\n"
    case = parse(training, "energetic.yaml").cases()[0]
    (sample,) = timing.group([(case, Plan(3, 2), None)], 0, "seed", 1e6, lambda index: None, energies=True)
    assert sample.energy_j == pytest.approx(0.015)
    assert all(torch.equal(each, found[-1]) for each in found[-80:])
    assert not torch.equal(found[0], found[1]), "warm-up trains"


def test_a_call_that_fails_meanwhile_costs_its_case_the_energy_alone(
    here: Machine10W, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = group(monkeypatch, fail_at=1)
    assert [(each.status, len(each.values_ns)) for each in found] == [(Status.PASSED, 2)] * 2
    assert sorted(each.energy_j is None for each in found) == [False, True]


def test_nothing_runs_where_no_counter_is(here: Machine10W, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.powercap.folder / "intel-rapl:0/name").write_text("psys")
    monkeypatch.setattr(energy, "of_call", None)
    monkeypatch.setattr(energy, "time", None)
    assert [(each.status, each.energy_j) for each in group(monkeypatch)] == [(Status.PASSED, None)] * 2


def test_cuda_cases_have_the_counter_of_the_gpu_that_torch_uses(
    here: Machine10W, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID={"GPU-second": "handle"}.__getitem__,
        nvmlDeviceGetIndex=lambda handle: 1,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: round(here.joules * 1000),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="second"))
    found = energy.meter("cuda", lambda: None)
    assert found is not None
    assert found.counter.source == "NVML of GPU 1"
    assert found.idle_w == pytest.approx(10)
    energy._METERS.clear()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.meter("cuda", lambda: None) is None


# --- what reports say


WATTS = (20.0, 25.0, 30.0, 22.0, 24.0, None)
PLAN = replace(
    rows.QUICK,
    series=tuple(replace(series, watts=watts) for series, watts in zip(rows.QUICK.series, WATTS, strict=True)),
)
"""A run in which the energies of the last series are unknown."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load(rows.write(tmp_path_factory.mktemp("run"), PLAN))


def test_columns_are_means_over_processes_and_paired_with_the_baseline(run: Run) -> None:
    frame = run.frame
    for row, watts in enumerate(WATTS * 8):
        each = frame.iloc[row]
        if watts is None:
            assert each[["energy_j", "energy_low_j", "energy_fraction"]].isna().all()
            continue
        assert each["energy_j"] == pytest.approx(watts * each["time_ns"] / 1e9)
        assert each["energy_high_j"] / each["energy_j"] == pytest.approx(each["time_high_ns"] / each["time_ns"])
        ends = [each[f"energy_fraction{end}"] for end in ("", "_low", "_high")]
        assert ends == pytest.approx([watts / 25 / each[f"speedup{end}"] for end in ("", "_high", "_low")])


def test_a_process_without_energy_is_left_out(tmp_path: Path) -> None:
    plan = replace(rows.QUICK, series=(replace(rows.FULL, watts=10.0), rows.LOCAL), lengths=(512,), processes=5)

    def told(fewest: int) -> list[Probe | Sample]:
        """The rows; replicates below `fewest` have no energy."""
        return [
            replace(each, energy_j=0.1 * each.replicate if each.replicate >= fewest else None)
            if isinstance(each, Sample)
            else each
            for each in rows.rows(plan)
        ]

    frame = load(rows.write_rows(tmp_path / "some", rows.meta(plan), told(2))).frame
    assert frame["energy_j"].iloc[0] == pytest.approx(np.cbrt(0.2 * 0.3 * 0.4))
    assert frame["energy_low_j"].notna().iloc[0]
    frame = load(rows.write_rows(tmp_path / "two", rows.meta(plan), told(3))).frame
    assert frame["energy_j"].iloc[0] == pytest.approx(np.sqrt(0.3 * 0.4))
    assert frame["energy_low_j"].isna().iloc[0]


def test_a_baseline_that_was_timed_again_has_its_energy_again(tmp_path: Path) -> None:
    series = tuple(replace(each, watts=watts) for each, watts in ((rows.FULL, 10.0), (rows.LOCAL, 5.0)))
    plan = replace(rows.QUICK, series=series, lengths=(512,), directions=("forward",), process_sd=0.1)
    told, (full, local) = [*rows.rows(plan)], (case.key for _, case in rows.cases(plan))
    samples = [each for each in told if isinstance(each, Sample)]
    later = [replace(each, part=1) for each in samples if each.case == local]
    again = [
        replace(each, part=1, again=True, energy_j=2 * other.energy_j)
        for each, other in zip((each for each in samples if each.case == full), later, strict=True)
        if other.energy_j
    ]
    first = [each for each in told if each not in samples or each.case == full]
    frame = load(rows.write_rows(tmp_path, rows.meta(plan), [*first, *again, *later])).frame
    fractions = frame[["energy_fraction", "energy_fraction_low", "energy_fraction_high"]]
    assert fractions.iloc[1].tolist() == pytest.approx([0.5] * 3)
    once = [each.energy_j for each in samples if each.case == full]
    assert frame["energy_j"].iloc[0] == pytest.approx(float(np.exp(np.log(np.array(once, float)).mean())))


def test_the_last_sentence_is_about_energy(run: Run) -> None:
    *_, last = told = answer(run)
    best = run.frame.query("variant == 'truncated' and seq_len == 2048 and direction == 'forward'").iloc[0]
    share = f"{best['energy_fraction']:.3f}"
    assert len(told) == 3
    assert last.startswith("At N = 2048, truncated takes ")
    assert f" mJ a call, {share} times the energy of full/sdpa (" in last


def test_tables_and_figures_have_energies_where_there_are_some(run: Run, tmp_path: Path) -> None:
    text = tables.markdown(run)
    _, forward, training = text.split(": energy of one call (fraction of full/sdpa)\n")
    for part in (forward, training):
        lines = part.strip().split("\n\n")[0].splitlines()
        assert len(lines) == 2 + len(WATTS)
        assert lines[3].count("mJ") == 4
        assert lines[3].count("(1.00)") == 4
        assert lines[-1].count(" - ") == 4
    assert [*figures.of(run)] == ["time", "memory", "energy", "speedup", "patterns"]
    assert "energy_j" in [each.column for each in charts(run)[0].metrics]
    none = load(rows.write(tmp_path, rows.QUICK))
    assert "energy of one call" not in tables.markdown(none)
    assert "energy" not in figures.of(none)
    assert "energy_j" not in [each.column for each in charts(none)[0].metrics]
    assert not any("energy" in each for each in answer(none))


def test_each_line_of_the_figure_is_a_series_with_its_energies(run: Run) -> None:
    axes = figures.load("energy").draw(run).axes[0]
    drawn = {tuple(np.round(np.asarray(line.get_ydata(), float), 9)) for line in axes.lines}
    forward = run.frame[(run.frame["direction"] == "forward") & run.frame["energy_j"].notna()]
    for _, part in forward.groupby(["label", "implementation"]):
        assert tuple(np.round(part["energy_j"], 9)) in drawn


@pytest.mark.parametrize(
    ("joules", "ends", "told"),
    [
        (0.31, (0.30, 0.32), "310 mJ"),
        (1234.5, (1200.0, 1270.0), "1.23 kJ"),
        (2.5e-5, (2.4e-5, 2.6e-5), "25 µJ"),
        (3e-8, (2.9e-8, 3.1e-8), "0.030 µJ"),
        (0.004, (float("nan"), float("nan")), "4.0 mJ"),
    ],
)
def test_energies_have_units(joules: float, ends: tuple[float, float], told: str) -> None:
    assert units.energy(joules, *ends) == told
