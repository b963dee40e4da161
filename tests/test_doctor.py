"""`bench doctor`: each check on a fake tree, good and bad, and the machine that runs the tests."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from attnbench.runner.cli import main
from attnbench.runner.machine import doctor
from attnbench.runner.machine.doctor import Finding
from attnbench.runner.machine.doctor import cgroup as doctor_cgroup
from attnbench.runner.machine.doctor import cpu as doctor_cpu
from attnbench.runner.machine.doctor import energy as doctor_energy
from attnbench.runner.machine.doctor import gpu as doctor_gpu
from attnbench.runner.machine.doctor import limits as doctor_limits
from attnbench.runner.machine.doctor import load as doctor_load
from attnbench.runner.machine.doctor import machine as doctor_machine
from attnbench.runner.machine.doctor import memory as doctor_memory
from attnbench.runner.machine.doctor.finding import LEVELS, Answer, Check, Unread
from attnbench.runner.machine.doctor.machine import Machine

GIB = 2**30
CPU = "sys/devices/system/cpu"
CLOCK = "sys/devices/system/clocksource/clocksource0"
PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
SUPPLIES = "sys/class/power_supply"
PACKAGE = "sys/class/powercap/intel-rapl:0"
QUIET_STAT = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 10 0 0 90 0 0 0 0 0 0\ncpu1 10 0 0 90 0 0 0 0 0 0\nintr 5\n"
LATER_STAT = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 20 0 0 180 0 0 0 0 0 0\ncpu1 20 0 0 180 0 0 0 0 0 0\nintr 9\n"
GOOD = {
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/intel_pstate/no_turbo": "1\n",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0,2\n",
    f"{CPU}/cpu1/topology/thread_siblings_list": "1,3\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu tsc avx2\n",
    "proc/stat": QUIET_STAT,
    "proc/self/cgroup": "0::/\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    f"{SUPPLIES}/AC/type": "Mains\n",
    f"{CLOCK}/current_clocksource": "tsc\n",
    f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm\n",
    PAGES: "always [madvise] never\n",
    f"{PACKAGE}/name": "package-0\n",
    f"{PACKAGE}/energy_uj": "1000\n",
    f"{PACKAGE}/max_energy_range_uj": "262143328850\n",
}
BAD = GOOD | {
    f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0-1\n",
    f"{CPU}/cpu1/topology/thread_siblings_list": "0-1\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu hypervisor tsc\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "proc/sys/kernel/randomize_va_space": "0\n",
    f"{SUPPLIES}/BAT0/type": "Battery\n",
    f"{SUPPLIES}/BAT0/status": "Discharging\n",
    f"{CLOCK}/current_clocksource": "hpet\n",
}
EVERY_CHECK = (*doctor_limits.CHECKS, *doctor_cpu.CHECKS, *doctor_memory.CHECKS, *doctor_energy.CHECKS)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[dict[str, str]], None]:
    """Write files below the fake root."""

    def write(files: dict[str, str]) -> None:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)

    return write


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, (0, 1), 2, {})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_load, "pause", lambda seconds: None)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but the fake tree decides: no load, plenty of memory, a fine clock, no NVML."""
    monkeypatch.setattr(doctor_machine, "here", lambda root: Machine(root, (0, 1), 2, {}))

    def pause(seconds: float) -> None:
        (tmp_path / "proc/stat").write_text(LATER_STAT)
        counter = tmp_path / PACKAGE / "energy_uj"
        if counter.exists() and counter.read_text().strip().isdecimal():
            counter.write_text(str(int(counter.read_text()) + 5000))

    monkeypatch.setattr(doctor_load, "pause", pause)
    monkeypatch.setattr(doctor_load, "load_average", lambda: 0.0)
    monkeypatch.setattr(doctor_load, "process_times", dict)
    monkeypatch.setattr(doctor_cpu, "timer_readings_ns", lambda: list(range(0, 400_000, 40)))
    monkeypatch.setattr(doctor_memory, "memory", lambda: doctor_memory.Memory(16 * GIB, 12 * GIB, 0))
    monkeypatch.setattr(doctor_gpu, "load", lambda: None)


def answers(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    return {finding.name: (finding.level, finding.do) for finding in findings}


def test_a_good_tree_has_no_warning(plant: Callable[[dict[str, str]], None], quiet: None, tmp_path: Path) -> None:
    plant(GOOD)
    found = doctor.examine(tmp_path)
    assert {finding.name for finding in found if finding.level == "fact"} == {"address layout", "huge pages", "GPU"}
    assert {finding.level for finding in found} == {"fact", "good"}
    assert [finding for finding in found if finding.level == "good" and finding.do] == []
    assert [finding for finding in found if "cannot be read" in finding.found] == []


def test_a_bad_tree_names_every_command(plant: Callable[[dict[str, str]], None], quiet: None, tmp_path: Path) -> None:
    plant(BAD)
    found = {name: answer for name, answer in answers(doctor.examine(tmp_path)).items() if answer[0] in LEVELS[:3]}
    assert found == {
        "CPU quota": (
            "unfit",
            "Give the container whole CPUs instead of a share of time (docker: `--cpuset-cpus=0`), "
            "or set `threads: [1]` in the suite.",
        ),
        "power supply": ("unfit", "Plug the machine in."),
        "frequency governor": (
            "warning",
            "Ask for the highest frequency: `sudo cpupower frequency-set --governor performance`.",
        ),
        "turbo boost": (
            "warning",
            "Turn it off for a run: `echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo`.",
        ),
        "hardware threads": (
            "warning",
            "Use one thread of each core: `taskset --cpu-list 0 bench run SUITE.yaml`.",
        ),
        "virtual machine": (
            "warning",
            "Trust comparisons inside one run and intervals over many processes; "
            "take absolute times on a machine of your own.",
        ),
        "clock source": (
            "warning",
            "Switch to tsc: `echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource`.",
        ),
        "address layout": ("warning", "Randomise it again: `sudo sysctl kernel.randomize_va_space=2`."),
    }


def test_findings_come_worst_first_and_always_the_same(
    plant: Callable[[dict[str, str]], None], quiet: None, tmp_path: Path
) -> None:
    plant(BAD)
    found = doctor.examine(tmp_path)
    ranks = [LEVELS.index(finding.level) for finding in found]
    assert ranks == sorted(ranks)
    assert set(ranks) == {*range(len(LEVELS))} - {LEVELS.index("bad")}
    plant(BAD)
    assert doctor.examine(tmp_path) == found


def test_an_empty_tree_says_what_cannot_be_read(quiet: None, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    found = {finding.name: finding for finding in doctor.examine(tmp_path)}
    unread = {name for name, finding in found.items() if finding.found.startswith("cannot be read: ")}
    assert unread == {
        "CPU quota",
        "address layout",
        "frequency governor",
        "turbo boost",
        "hardware threads",
        "virtual machine",
        "power supply",
        "clock source",
        "huge pages",
        "steal time",
    }
    assert {found[name].level for name in unread} == {"fact"}
    assert "/proc/cpuinfo (No such file or directory)" in found["virtual machine"].found


def test_nonsense_in_every_file_is_no_crash(
    plant: Callable[[dict[str, str]], None], quiet: None, tmp_path: Path
) -> None:
    plant(dict.fromkeys(GOOD, "\x00 nonsense :\n") | {"sys/fs/cgroup/cpu.max": "1 2 3"})
    found = {finding.name: finding.found for finding in doctor.examine(tmp_path)}
    assert found["address layout"].startswith("cannot be read: its content is not as expected")
    assert found["CPU quota"].startswith("cannot be read: its content is not as expected")


def test_a_file_that_may_not_be_read_is_a_fact(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **options: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    finding = next(check for check in doctor_memory.CHECKS if check.name == "huge pages").finding(machine)
    assert (finding.level, finding.found) == ("fact", f"cannot be read: /{PAGES} (Permission denied)")


def test_the_real_machine_is_examined_without_error() -> None:
    found = doctor.examine()
    names = [finding.name for finding in found]
    assert {check.name for check in (*EVERY_CHECK, *doctor_load.CHECKS)} <= set(names)
    assert len(set(names)) == len(names)
    assert all(finding.found and finding.why.endswith(".") for finding in found)
    assert all(finding.do.endswith(".") for finding in found if finding.level in LEVELS[:2])
    assert json.loads(json.dumps(doctor.to_json(found))) == [vars(finding) for finding in found]
    assert all(finding.name in doctor.text(found) for finding in found)


def test_heavy_packages_are_left_out() -> None:
    code = (
        "import sys; from attnbench.runner.machine import doctor; "
        "from attnbench.runner.machine.doctor import load; load.pause = lambda seconds: None; "
        "doctor.examine(); print({'torch', 'numpy', 'pandas'} & {name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_pause_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    doctor_load.pause(0.25)
    assert asked == [0.25]


# --- the processor and its clocks


def test_amd_boost_has_its_own_command(machine: Machine, plant: Callable[[dict[str, str]], None]) -> None:
    plant({f"{CPU}/cpufreq/boost": "1"})
    assert doctor_cpu.boost(machine) == Answer(
        "warning", "on", "Turn it off for a run: `echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost`."
    )
    plant({f"{CPU}/cpufreq/boost": "0"})
    assert doctor_cpu.boost(machine) == Answer("good", "off")


def test_one_thread_of_each_core_is_proposed(tmp_path: Path, plant: Callable[[dict[str, str]], None]) -> None:
    plant({f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
    answer = doctor_cpu.siblings(Machine(tmp_path, tuple(range(8)), 8, {}))
    assert answer.found == "the 8 allowed CPUs are hardware threads of 4 cores"
    assert answer.do == "Use one thread of each core: `taskset --cpu-list 0-3 bench run SUITE.yaml`."
    assert doctor_cpu.siblings(Machine(tmp_path, (4, 5, 2), 8, {})).level == "good"
    assert "2 cores" in doctor_cpu.siblings(Machine(tmp_path, (1, 5, 6), 8, {})).found


def test_only_a_battery_of_the_machine_counts(machine: Machine, plant: Callable[[dict[str, str]], None]) -> None:
    mouse = {"type": "Battery", "scope": "Device", "status": "Discharging"}
    plant({f"{SUPPLIES}/mouse/{field}": text for field, text in mouse.items()})
    assert doctor_cpu.battery(machine) == Answer("good", "no battery")
    plant({f"{SUPPLIES}/BAT1/type": "Battery", f"{SUPPLIES}/BAT1/status": "Charging"})
    assert doctor_cpu.battery(machine) == Answer("good", "a battery, not in use")
    plant({f"{SUPPLIES}/BAT1/status": "Discharging"})
    assert doctor_cpu.battery(machine) == Answer("unfit", "running on battery (BAT1)", "Plug the machine in.")


@pytest.mark.parametrize(
    ("current", "offered", "level", "do"),
    [
        ("arch_sys_counter", "arch_sys_counter", "good", ""),
        ("kvm-clock", "kvm-clock tsc", "fact", ""),
        ("hpet", "hpet acpi_pm", "warning", "Measure on a machine that offers tsc, or raise `value_ms` in the suite."),
    ],
)
def test_clock_sources(
    machine: Machine, plant: Callable[[dict[str, str]], None], current: str, offered: str, level: str, do: str
) -> None:
    plant({f"{CLOCK}/current_clocksource": current, f"{CLOCK}/available_clocksource": offered})
    answer = doctor_cpu.clock_source(machine)
    assert (answer.level, answer.do) == (level, do)


@pytest.mark.parametrize(
    ("readings", "level", "found"),
    [
        (range(0, 400_000, 40), "good", "40 ns a reading, smallest step seen 40 ns"),
        (range(0, 20_000_000, 2_000), "warning", "2000 ns a reading, smallest step seen 2000 ns"),
        ([i // 500 * 15_000 for i in range(10_000)], "warning", "30 ns a reading, smallest step seen 15000 ns"),
        ([7] * 10_000, "warning", "did not advance in 10000 readings"),
    ],
)
def test_timer(monkeypatch: pytest.MonkeyPatch, machine: Machine, readings: Any, level: str, found: str) -> None:
    monkeypatch.setattr(doctor_cpu, "timer_readings_ns", lambda: list(readings))
    answer = doctor_cpu.timer(machine)
    assert (answer.level, answer.found) == (level, found)
    assert bool(answer.do) == (level == "warning")


def test_timer_readings_advance() -> None:
    readings = doctor_cpu.timer_readings_ns()
    assert len(readings) == 10_000
    assert readings == sorted(readings)


# --- what the process is allowed


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/"}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": "0::/work/job",
                "sys/fs/cgroup/work/cpu.max": "150000 100000",
                "sys/fs/cgroup/work/job/cpu.max": "400000 100000",
            },
            1.5,
        ),
        (
            {
                "proc/self/cgroup": "9:name=systemd:/\n4:cpu,cpuacct:/docker/ab\n0::/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ({"proc/self/cgroup": "4:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000"}, None),
        (
            {
                "proc/self/cgroup": "4:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_cpu_quota_of_both_versions(
    machine: Machine, plant: Callable[[dict[str, str]], None], files: dict[str, str], quota: float | None
) -> None:
    plant(files)
    assert doctor_cgroup.cpu_quota(machine) == quota


def test_a_quota_above_the_allowed_cpus_is_good(machine: Machine, plant: Callable[[dict[str, str]], None]) -> None:
    plant({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"})
    assert doctor_limits.quota(machine) == Answer("good", "2 CPUs of time for the 2 allowed")


def test_a_quota_keeps_as_many_cpus_as_it_has_whole(tmp_path: Path, plant: Callable[[dict[str, str]], None]) -> None:
    plant({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "350000 100000"})
    answer = doctor_limits.quota(Machine(tmp_path, (4, 5, 6, 7, 12), 16, {}))
    assert (answer.level, answer.found) == ("unfit", "3.5 CPUs of time for the 5 allowed")
    assert "`--cpuset-cpus=4-6`" in answer.do
    assert "`threads: [3]`" in answer.do


def test_affinity(tmp_path: Path) -> None:
    assert doctor_limits.affinity(Machine(tmp_path, (0, 1, 5), 8, {})) == Answer("fact", "3 of 8 CPUs allowed: 0-1,5")
    assert doctor_limits.affinity(Machine(tmp_path, (0, 1), 2, {})).level == "good"


@pytest.mark.parametrize(
    ("environ", "level", "do"),
    [
        ({}, "good", ""),
        ({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"}, "good", ""),
        ({"OMP_NUM_THREADS": "2,4"}, "good", ""),
        ({"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "2"}, "bad", "Remove it: `unset OMP_NUM_THREADS`."),
        (
            {"OMP_NUM_THREADS": "9", "MKL_NUM_THREADS": "8"},
            "bad",
            "Remove it: `unset OMP_NUM_THREADS MKL_NUM_THREADS`.",
        ),
        ({"MKL_NUM_THREADS": "many"}, "warning", "Remove it: `unset MKL_NUM_THREADS`."),
        ({"OMP_NUM_THREADS": "0"}, "warning", "Remove it: `unset OMP_NUM_THREADS`."),
        ({"OMP_NUM_THREADS": "²"}, "warning", "Remove it: `unset OMP_NUM_THREADS`."),
    ],
)
def test_thread_variables(tmp_path: Path, environ: dict[str, str], level: str, do: str) -> None:
    answer = doctor_limits.oversubscription(Machine(tmp_path, (0, 1), 2, environ))
    assert (answer.level, answer.do) == (level, do)
    assert all(f"{name}={value}" in answer.found for name, value in environ.items())


@pytest.mark.parametrize(
    ("environ", "level", "do"),
    [
        ({}, "good", ""),
        ({"OMP_WAIT_POLICY": "passive"}, "good", ""),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "bad", "Remove it: `unset OMP_WAIT_POLICY`."),
    ],
)
def test_wait_policy(tmp_path: Path, environ: dict[str, str], level: str, do: str) -> None:
    answer = doctor_limits.wait_policy(Machine(tmp_path, (0, 1), 2, environ))
    assert (answer.level, answer.do) == (level, do)


@pytest.mark.parametrize(("text", "cpus"), [("0", [0]), ("0-3", [0, 1, 2, 3]), ("1,4-5,9", [1, 4, 5, 9])])
def test_lists_of_cpus_are_read_and_written(text: str, cpus: list[int]) -> None:
    assert doctor_machine.parse_cpus(text) == cpus
    assert doctor_machine.write_cpus(reversed(cpus)) == text


def test_here_knows_the_allowed_cpus(tmp_path: Path) -> None:
    found = doctor_machine.here(tmp_path)
    assert found.root == tmp_path
    assert 1 <= len(found.cpus) <= found.online


# --- memory


@pytest.mark.parametrize(
    ("available", "limit", "level", "found"),
    [
        (12 * GIB, "max", "good", "12.0 GiB available of 16.0 GiB"),
        (1 * GIB, "max", "warning", "1.0 GiB available of 16.0 GiB"),
        (
            12 * GIB,
            str(GIB // 2),
            "warning",
            "0.5 GiB available of 0.5 GiB (the cgroup's limit; the machine has 16.0 GiB)",
        ),
        (12 * GIB, str(2**63 - 4096), "good", "12.0 GiB available of 16.0 GiB"),
    ],
)
def test_memory(
    monkeypatch: pytest.MonkeyPatch,
    machine: Machine,
    plant: Callable[[dict[str, str]], None],
    available: int,
    limit: str,
    level: str,
    found: str,
) -> None:
    plant({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": limit})
    monkeypatch.setattr(doctor_memory, "memory", lambda: doctor_memory.Memory(16 * GIB, available, 0))
    answer = doctor_memory.available(machine)
    assert (answer.level, answer.found) == (level, found)
    assert ("`ps -e -o pid,rss,comm --sort=-rss | head`" in answer.do) == (level == "warning")


@pytest.mark.parametrize(
    ("swapped", "level", "do"),
    [
        (2**20, "good", ""),
        (GIB, "warning", "Bring it back to memory: `sudo swapoff --all && sudo swapon --all`."),
        (3 * GIB, "unfit", "End what holds memory: `ps -e -o pid,rss,comm --sort=-rss | head`."),
    ],
)
def test_swap(monkeypatch: pytest.MonkeyPatch, machine: Machine, swapped: int, level: str, do: str) -> None:
    monkeypatch.setattr(doctor_memory, "memory", lambda: doctor_memory.Memory(16 * GIB, 2 * GIB, swapped))
    answer = doctor_memory.swap(machine)
    assert (answer.level, answer.do) == (level, do)
    assert answer.found == f"{swapped // 2**20} MiB in use"


def test_the_memory_limit_of_version_1_is_the_tightest(
    machine: Machine, plant: Callable[[dict[str, str]], None]
) -> None:
    plant(
        {
            "proc/self/cgroup": "4:memory:/job",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(2**63 - 4096),
        }
    )
    assert doctor_cgroup.memory_limit_bytes(machine) == 4 * GIB


def test_what_the_group_holds_already_is_not_left(machine: Machine, plant: Callable[[dict[str, str]], None]) -> None:
    plant({"proc/self/cgroup": "0::/job"})
    assert doctor_cgroup.memory_left_bytes(machine) is None
    plant(
        {
            "sys/fs/cgroup/memory.max": str(8 * GIB),
            "sys/fs/cgroup/memory.current": str(5 * GIB),
            "sys/fs/cgroup/memory.stat": f"anon {3 * GIB}\ninactive_file {GIB}\nfile {2 * GIB}",
            "sys/fs/cgroup/job/memory.max": "max",
        }
    )
    assert doctor_cgroup.memory_left_bytes(machine) == 4 * GIB
    plant({"sys/fs/cgroup/job/memory.max": str(GIB)})
    assert doctor_cgroup.memory_left_bytes(machine) == GIB, "what is used is not told there"


def test_memory_of_this_machine() -> None:
    found = doctor_memory.memory()
    assert 0 < found.available_bytes <= found.total_bytes
    assert found.swapped_bytes >= 0


def test_huge_pages_name_the_choice(machine: Machine, plant: Callable[[dict[str, str]], None]) -> None:
    plant({PAGES: "[always] madvise never"})
    assert doctor_memory.huge_pages(machine) == Answer("fact", "always")
    plant({PAGES: "always madvise never"})
    with pytest.raises(Unread, match="no choice is marked"):
        doctor_memory.huge_pages(machine)


# --- who else uses the CPUs


def seen(
    machine: Machine, stats: tuple[str, str] = ("", ""), before: Any = None, after: Any = None, seconds: float = 2.0
) -> doctor_load.Watch:
    return doctor_load.Watch(machine, seconds, stats, (before or {}, after or {}))


@pytest.mark.parametrize(
    ("average", "online", "level"),
    [
        (0.49, 2, "good"),
        (0.5, 2, "warning"),
        (1.0, 2, "bad"),
        (0.9, 1, "warning"),
        (8.0, 64, "warning"),
        (32.0, 64, "bad"),
    ],
)
def test_load_average(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, average: float, online: int, level: str) -> None:
    monkeypatch.setattr(doctor_load, "load_average", lambda: average)
    answer = doctor_load.load(seen(Machine(tmp_path, (0,), online, {})))
    assert answer.level == level
    assert answer.do == ("" if level == "good" else "Wait until it is below 0.5: `uptime`.")


def test_load_average_of_this_machine() -> None:
    assert doctor_load.load_average() >= 0


def test_the_busiest_processes_are_named(machine: Machine) -> None:
    before = {(1, "init"): 5.0, (20, "compile"): 1.0, (30, "sync"): 2.0}
    after = {(1, "init"): 5.0, (20, "compile"): 2.8, (30, "sync"): 2.2, (99, "new"): 7.0}
    answer = doctor_load.processes(seen(machine, before=before, after=after))
    assert answer.level == "bad"
    assert answer.found == "others take 100% of a CPU: compile (pid 20) 90%, sync (pid 30) 10%"
    assert answer.do == "End them or wait for them; see the busiest: `ps -f -p 20`."


def test_small_shares_of_others_are_weighed(machine: Machine) -> None:
    few = {(pid, "a"): 0.0 for pid in range(100)}
    assert doctor_load.processes(seen(machine, before=few, after=few)) == Answer(
        "good", "all others together take 0% of a CPU"
    )
    answer = doctor_load.processes(seen(machine, before=few, after=dict.fromkeys(few, 0.008)))
    assert (answer.level, answer.found) == ("warning", "others take 40% of a CPU")


def test_process_times_leave_this_process_out() -> None:
    found = doctor_load.process_times()
    assert os.getpid() not in {pid for pid, _ in found}
    assert all(seconds >= 0 for seconds in found.values())


def test_a_process_that_tells_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"pid": 2**30, "name": None, "cpu_times": SimpleNamespace(user=1.0, system=0.5)}
    processes = [SimpleNamespace(info=told), SimpleNamespace(info=told | {"pid": 3, "cpu_times": None})]
    monkeypatch.setattr(psutil, "process_iter", lambda attributes: processes)
    assert doctor_load.process_times() == {(2**30, "?"): 1.5}


@pytest.mark.parametrize(
    ("stolen", "level", "found"),
    [
        (0, "good", "0.0% of the allowed CPUs' time in 2.0 s"),
        (4, "warning", "2.0% of the allowed CPUs' time in 2.0 s"),
        (20, "bad", "10.0% of the allowed CPUs' time in 2.0 s"),
    ],
)
def test_steal(machine: Machine, stolen: int, level: str, found: str) -> None:
    after = f"cpu0 20 0 0 {180 - stolen} 0 0 0 {stolen} 0 0\ncpu1 20 0 0 180 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 999 0 0\n"
    answer = doctor_load.steal(seen(machine, stats=(QUIET_STAT, after)))
    assert (answer.level, answer.found) == (level, found)
    assert ("`vmstat 1`" in answer.do) == (level != "good")


@pytest.mark.parametrize("stat", [QUIET_STAT, "", "cpu7 1 1 1 1 1 1 1 1"])
def test_steal_without_ticks_cannot_be_read(machine: Machine, stat: str) -> None:
    with pytest.raises(Unread, match=r"/proc/stat"):
        doctor_load.steal(seen(machine, stats=(stat, stat)))


# --- GPUs


class NVMLError(Exception):
    """What the stand-in raises."""


class Nvml:
    """A stand-in for the NVML module with one idle, healthy GPU; `told` replaces answers."""

    NVMLError = NVMLError

    def __init__(self, **told: Any) -> None:
        self.open = 0
        self.told: dict[str, Any] = {
            "GetName": "Tensor 9000",
            "GetClockInfo": 345,
            "GetMaxClockInfo": 1980,
            "GetDefaultApplicationsClock": 1500,
            "GetCurrentClocksThrottleReasons": 0x1,
            "GetPersistenceMode": 1,
            "GetComputeRunningProcesses": [],
            "GetUtilizationRates": SimpleNamespace(gpu=0, memory=0),
            "GetPowerManagementLimit": 700_000,
            "GetPowerManagementDefaultLimit": 700_000,
            "GetEccMode": [1, 1],
            "GetTemperature": 35,
            "GetTemperatureThreshold": 90,
            "GetTotalEnergyConsumption": 5_000_400_000,
        } | told

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return int(self.told.get("count", 1))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"handle {index}"

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"550.54"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            answer = self.told[name.removeprefix("nvmlDevice")]
        except KeyError:
            raise AttributeError(name) from None

        def ask(handle: str, *arguments: int) -> Any:
            assert handle.startswith("handle ")
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """The findings of a stand-in, by name without `GPU 0`."""

    def look(**told: Any) -> dict[str, Finding]:
        nvml = Nvml(**told)
        monkeypatch.setattr(doctor_gpu, "load", lambda: nvml)
        found = doctor_gpu.findings()
        assert nvml.open == 0
        return {finding.name.removeprefix("GPU 0 "): finding for finding in found}

    return look


def test_a_healthy_gpu(gpu: Callable[..., dict[str, Finding]]) -> None:
    found = gpu()
    assert [(name, finding.level, finding.found) for name, finding in found.items()] == [
        ("driver", "fact", "Tensor 9000, driver 550.54"),
        (
            "clocks",
            "fact",
            "345 MHz now, at most 1980 MHz; not held by an applications setting, "
            "and NVML does not tell whether they are locked",
        ),
        ("slowdown", "good", "nothing holds the clocks down now"),
        ("persistence", "good", "on"),
        ("users", "good", "no other compute process; 0 % busy"),
        ("power cap", "good", "700 W, the default"),
        ("ECC", "fact", "on"),
        ("temperature", "good", "35 C; it slows down at 90 C"),
        ("energy", "good", "NVML counts it: 5000 kJ since the driver was loaded"),
    ]
    assert found["clocks"].do == (
        "Lock them for a run: `sudo nvidia-smi -i 0 --lock-gpu-clocks=1500,1500`, "
        "and free them after it: `sudo nvidia-smi -i 0 --reset-gpu-clocks`."
    )


@pytest.mark.parametrize(
    ("told", "name", "level", "found", "do"),
    [
        (
            {"GetDefaultApplicationsClock": NVMLError("Not Supported")},
            "clocks",
            "fact",
            "345 MHz now, at most 1980 MHz",
            "--lock-gpu-clocks=1980,1980`",
        ),
        ({"GetCurrentClocksThrottleReasons": 0x2}, "clocks", "good", "held by a setting", ""),
        (
            {"GetCurrentClocksThrottleReasons": 0x44},
            "slowdown",
            "unfit",
            "power cap, too hot (hardware)",
            "`nvidia-smi -i 0 -q -d PERFORMANCE,TEMPERATURE,POWER`",
        ),
        ({"GetPersistenceMode": 0}, "persistence", "warning", "off", "`sudo nvidia-smi -i 0 --persistence-mode=1`"),
        (
            {"GetComputeRunningProcesses": [SimpleNamespace(pid=2**30, usedGpuMemory=3 * 2**20)]},
            "users",
            "warning",
            f"pid {2**30} (3 MiB); 0 % busy",
            "`nvidia-smi -i 0`",
        ),
        (
            {"GetComputeRunningProcesses": [SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)]},
            "users",
            "good",
            "no other compute process; 0 % busy",
            "",
        ),
        (
            {"GetUtilizationRates": SimpleNamespace(gpu=80)},
            "users",
            "unfit",
            "no process that NVML shows; 80 % busy",
            "`nvidia-smi -i 0`",
        ),
        (
            {
                "GetUtilizationRates": NVMLError("Not Supported"),
                "GetComputeRunningProcesses": [SimpleNamespace(pid=2**30, usedGpuMemory=None)],
            },
            "users",
            "warning",
            f"pid {2**30}; how busy it is cannot be read",
            "`nvidia-smi -i 0`",
        ),
        (
            {"GetPowerManagementLimit": 500_000},
            "power cap",
            "warning",
            "500 W; the default is 700 W",
            "`sudo nvidia-smi -i 0 --power-limit=700`",
        ),
        ({"GetEccMode": [0, 1]}, "ECC", "fact", "off, changes at the next restart", ""),
        ({"GetTemperature": 85}, "temperature", "warning", "85 C", "`nvidia-smi -i 0 -q -d TEMPERATURE`"),
        ({"GetTemperatureThreshold": NVMLError("Not Supported")}, "temperature", "fact", "35 C", ""),
        (
            {"GetTotalEnergyConsumption": NVMLError("Not Supported")},
            "energy",
            "fact",
            "cannot be read: NVML's nvmlDeviceGetTotalEnergyConsumption (Not Supported)",
            "",
        ),
        (
            {"GetPersistenceMode": NVMLError("Not Supported")},
            "persistence",
            "fact",
            "cannot be read: NVML's nvmlDeviceGetPersistenceMode (Not Supported)",
            "",
        ),
    ],
)
def test_gpu_checks(
    gpu: Callable[..., dict[str, Finding]], told: dict[str, Any], name: str, level: str, found: str, do: str
) -> None:
    finding = gpu(**told)[name]
    assert finding.level == level
    assert found in finding.found
    assert (do in finding.do) if do else not finding.do


def test_every_gpu_is_looked_at(gpu: Callable[..., dict[str, Finding]]) -> None:
    found = gpu(count=2, GetPersistenceMode=0)
    assert len(found) == 2 * len(doctor_gpu.CHECKS)
    assert "`sudo nvidia-smi -i 1 --persistence-mode=1`" in found["GPU 1 persistence"].do


def test_no_gpu_is_one_fact(gpu: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(each.level, each.found) for each in gpu(count=0).values()] == [("fact", "none: NVML counts no GPU")]
    monkeypatch.setattr(doctor_gpu, "load", lambda: None)
    (finding,) = doctor_gpu.findings()
    assert (finding.level, finding.found) == ("fact", "not looked at: nvidia-ml-py is not installed")
    assert finding.do == "Where there is one: `pip install nvidia-ml-py`."


def test_nvml_without_a_driver_is_one_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NVMLError("NVML Shared Library Not Found")

    monkeypatch.setattr(doctor_gpu, "load", lambda: SimpleNamespace(NVMLError=NVMLError, nvmlInit=fail))
    (finding,) = doctor_gpu.findings()
    assert (finding.level, finding.found) == ("fact", "none: NVML says NVML Shared Library Not Found")


def test_nvml_is_found_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert doctor_gpu.load() is nvml
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert doctor_gpu.load() is None


# --- what is printed


def test_text_is_aligned_and_says_why_only_where_it_matters() -> None:
    found = [
        Finding("a", "bad", "broken", "It matters.", "Mend it: `mend a`."),
        Finding("long name", "fact", "there", "It is known."),
        Finding("b", "good", "fine", "It could matter."),
    ]
    assert doctor.text(found) == (
        "1 bad, 1 fact, 1 good\n"
        "bad      a          broken\n"
        "                    why: It matters.\n"
        "                    do:  Mend it: `mend a`.\n"
        "fact     long name  there\n"
        "good     b          fine"
    )
    assert doctor.text([]) == "nothing was looked at"


def test_a_command_is_never_broken_over_lines() -> None:
    command = "`sudo nvidia-smi --lock-gpu-clocks=1500,1500 " + "and more " * 8 + "`"
    lines = doctor.text([Finding("a", "bad", "x", "y.", f"{'Some words ' * 12}{command} {'and so on ' * 12}.")])
    assert sum(command in line for line in lines.splitlines()) == 1
    assert max(len(line) for line in lines.splitlines() if command not in line) <= 110


def test_a_check_turns_trouble_into_a_fact() -> None:
    def trouble(error: Exception) -> Answer:
        raise error

    check = Check("name", "Why.", trouble)
    assert check.finding(Unread("/x (gone)"), "GPU 1 ") == Finding(
        "GPU 1 name", "fact", "cannot be read: /x (gone)", "Why."
    )
    assert check.finding(OSError("no load")).found == "cannot be read: no load"
    assert check.finding(ValueError("bad 1")).found == "cannot be read: its content is not as expected (bad 1)"
    with pytest.raises(ZeroDivisionError):
        check.finding(ZeroDivisionError())


def test_an_interruption_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", interrupt)
    done = CliRunner().invoke(main, ["doctor"])
    assert (done.exit_code, done.output) == (130, "interrupted\n")
