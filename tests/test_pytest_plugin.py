"""The pytest plugin, in sessions of pytest of their own: what it measures, replays, checks and refuses."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = ROOT / "tests/variants"

SUITE = """
name: tiny
question: Does it run in pytest?
shape: {heads: 2, head_dim: 16, seq_len: [32, 64]}
variants:
  - full
  - local_window: {window: 17}
measure: {processes: 3, values: 3, value_ms: 1}
"""
TITLES = [
    f"{name} N={n} float32 cpu forward" for n in (32, 64) for name in ("full/sdpa", "local_window(window=17)/native")
]

FAULTS = """
name: faults
question: Does each ending get its outcome?
shape: {heads: 2, head_dim: 16, seq_len: [64, 8192]}
variants:
  - full: {implementation: [sdpa, eager]}
  - local_window: {window: 65, edges: slide}
  - wrong
  - raising
  - crashing_late
exclude:
  - {variant: [wrong, raising, crashing_late], seq_len: 8192}
  - {variant: full, implementation: sdpa, seq_len: 8192}
  - {variant: local_window, seq_len: 8192}
measure: {processes: 1, values: 2, value_ms: 1}
budget: {memory: 200MB}
"""

PLAIN = """
import sys

def test_nothing_of_ours_is_loaded():
    assert "attnbench.runner.pytest_plugin" in sys.modules
    assert not {"torch", "numpy", "pandas", "pydantic", "yaml"} & set(sys.modules)
"""

CONFTEST = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def once(request):
    return request.module.__name__

@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    return request.param

def pytest_generate_tests(metafunc):
    if "seq_len" in metafunc.fixturenames:
        metafunc.parametrize("seq_len", [1, 2])
"""


def run_pytest(
    *words: str | Path, cwd: Path, plugins: tuple[str, ...] = ("pytest_benchmark.plugin",)
) -> subprocess.CompletedProcess[str]:
    """A session of pytest with no plugin but ours and these."""
    if cwd != ROOT:
        (cwd / "pytest.ini").touch()  # so that no configuration above the folder is taken for its own
    named = [word for name in (*plugins, "attnbench.runner.pytest_plugin") for word in ("-p", name)]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *named, *map(str, words)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "250"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """How each test ended and why, by its name, of a session that ran with -rA."""
    lines = re.findall(r"^(PASSED|FAILED|ERROR) [^:\n]+::(.+)$", done.stdout, re.MULTILINE)
    return {told.partition(" - ")[0]: f"{outcome} {told.partition(' - ')[2]}".strip() for outcome, told in lines}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a session measured tiny.bench.yaml and kept everything."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.bench.yaml").write_text(SUITE)
    words = ("-W", "error", "-rA", "--benchmark-only", "--benchmark-json=out.json", "--bench-out=kept")
    done = run_pytest(*words, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(done) == dict.fromkeys(TITLES, "PASSED")
    assert done.stdout.count("2 tests") == 2, "a table for each length"
    return folder


def test_a_benchmark_replays_the_values_of_its_case(measured: Path) -> None:
    found = {each["name"]: each for each in read(measured / "out.json")["benchmarks"]}
    assert list(found) == TITLES
    rows = [json.loads(line) for line in (measured / "kept/tiny.bench/samples.jsonl").read_text().splitlines()]
    for name, each in found.items():
        samples = [row for row in rows if row["kind"] == "sample" and row["case"] == each["extra_info"]["case"]]
        values_s = [ns / 1e9 for row in sorted(samples, key=lambda row: row["replicate"]) for ns in row["values_ns"]]
        assert len(values_s) == 9
        assert each["stats"]["data"] == pytest.approx(values_s, rel=1e-12)
        assert {row["calls"] for row in samples} == {each["stats"]["iterations"]}
        assert each["fullname"] == f"tiny.bench.yaml::{name}"
        assert each["group"] == name.partition(" ")[2]
        assert each["options"]["timer"] == "attnbench"
        assert each["params"]["seq_len"] == int(name.partition("N=")[2].split()[0])
        extra = each["extra_info"]
        assert extra["time_low_ns"] <= extra["time_ns"] <= extra["time_high_ns"]
        assert extra["processes"] == 3
        assert extra["flops"] > 0
        assert extra["peak_bytes"] > 0
        assert isinstance(extra["flags"], list)


def test_an_export_of_the_run_is_what_pytest_wrote(measured: Path) -> None:
    command = [sys.executable, "-m", "attnbench.runner", "export", "kept/tiny.bench", "--format", "pytest-benchmark"]
    done = subprocess.run(command, cwd=measured, capture_output=True, text=True, check=True)
    exported, written = json.loads(done.stdout), read(measured / "out.json")
    assert set(exported) == set(written)
    for ours, theirs in zip(exported["benchmarks"], written["benchmarks"], strict=True):
        assert set(ours) == set(theirs)
        assert set(ours["stats"]) == set(theirs["stats"])
        for name in ("name", "group", "params", "param", "extra_info"):
            assert ours[name] == theirs[name]
        for name, value in theirs["stats"].items():
            if name == "data" or not isinstance(value, str | list):
                assert ours["stats"][name] == pytest.approx(value, rel=1e-9)


def test_a_file_is_measured_once_and_only_what_is_selected(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/tiny.bench.yaml").write_text(SUITE.replace("processes: 3", "processes: 1"))
    words = ("-s", "-k", "local_window", "--benchmark-only", "--benchmark-json", "out.json", "--bench-out", "kept")
    done = run_pytest(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 2 deselected" in done.stdout
    assert "timed in process 1 of 1" in done.stderr, "-s shows how far it is"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["sub"]
    meta = read(tmp_path / "kept/sub/tiny.bench/run.json")
    assert [case["variant"] for case in meta["cases"]] == ["local_window"] * 2
    assert meta["command"].startswith("pytest ")
    assert meta["command"].endswith(shlex.join(words))
    samples = (tmp_path / "kept/sub/tiny.bench/samples.jsonl").read_text().splitlines()
    assert len(samples) == 2 + 2 * 1
    assert [each["name"] for each in read(tmp_path / "out.json")["benchmarks"]] == TITLES[1::2]
    again = run_pytest("--benchmark-only", "--bench-out=kept", cwd=tmp_path)
    assert again.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--bench-out kept: expected a new or empty folder, found sub in it; name another" in again.stderr
    assert "Traceback" not in again.stderr


def check_faults(done: subprocess.CompletedProcess[str], crash: str) -> None:
    told = outcomes(done)
    assert told.pop("full/sdpa N=64 float32 cpu forward") == "PASSED"
    assert told.pop("full/eager N=64 float32 cpu forward") == "PASSED"
    assert told.pop("wrong/own N=64 float32 cpu forward").startswith("FAILED Failed: wrong: ")
    assert told.pop("raising/own N=64 float32 cpu forward").startswith("FAILED Failed: failed: ")
    assert told.pop("crashing_late/own N=64 float32 cpu forward").startswith(crash)
    assert not told
    assert "out_of_memory: predicted" in done.stdout
    assert "unsupported: " in done.stdout
    assert "2 skipped" in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in "".join(line for line in done.stdout.splitlines() if "SKIPPED" not in line)


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    (tmp_path / "faults.bench.yaml").write_text(FAULTS)
    return tmp_path


def test_what_did_not_pass_fails_or_skips_its_test(faults: Path) -> None:
    words = ("-W", "error", "-rA", "--benchmark-only", "--benchmark-json=out.json", f"--bench-variants={VARIANTS}")
    done = run_pytest(*words, cwd=faults)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    check_faults(done, "FAILED Failed: crashed: ")
    names = [each["name"] for each in read(faults / "out.json")["benchmarks"]]
    assert names == [f"full/{how} N=64 float32 cpu forward" for how in ("sdpa", "eager")]


def test_what_the_suites_time_does_not_reach_fails(tmp_path: Path) -> None:
    (tmp_path / "tiny.bench.yaml").write_text(SUITE + "budget: {suite_s: 0.001}\n")
    done = run_pytest("-W", "error", "-rA", "--benchmark-only", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    told = outcomes(done)
    assert all(each.startswith("FAILED Failed: skipped: ") for each in told.values()), told
    assert told[TITLES[-1]].endswith("the suite's 0.001 s (budget.suite_s) were spent")


def test_what_ends_a_run_is_told_by_each_of_its_tests(faults: Path) -> None:
    (faults / "conftest.py").write_text(
        """
from attnbench.runner.execution import engine
from attnbench.runner.execution.journal import FolderError

def full(*given, **named):
    raise FolderError("no space left")

engine.run = full
"""
    )
    done = run_pytest("-rA", "--benchmark-only", f"--bench-variants={VARIANTS}", cwd=faults)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert set(outcomes(done).values()) == {"FAILED Failed: no space left"}
    assert "Traceback" not in done.stdout


def test_disabled_each_case_is_checked_once_and_nothing_is_timed(faults: Path) -> None:
    words = ("-W", "error", "-rA", "--benchmark-disable", "--bench-out=kept", f"--bench-variants={VARIANTS}")
    done = run_pytest(*words, cwd=faults)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    check_faults(done, "PASSED")
    assert list((faults / "kept").iterdir()) == [], "no run"


def test_fixtures_of_others_do_not_mind(tmp_path: Path) -> None:
    (tmp_path / "tiny.bench.yaml").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_functions = check_*\ncollect_imported_tests = false\n")
    one = f"tiny.bench.yaml::{TITLES[1]}"
    done = run_pytest("-rA", "--strict-markers", "--benchmark-disable", one, cwd=tmp_path)
    assert outcomes(done) == {TITLES[1]: "PASSED"}, done.stdout + done.stderr


NO_WORKER = """
from attnbench.runner.workers.worker import NotStarted
from attnbench.runner.workers.prober import Prober

def probe(self, case):
    raise NotStarted("no process is left; raise ulimit -u")

Prober.probe = probe
"""


def test_a_worker_that_the_system_refuses_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "tiny.bench.yaml").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(NO_WORKER)
    done = run_pytest("-rA", "--benchmark-disable", f"tiny.bench.yaml::{TITLES[1]}", cwd=tmp_path)
    assert outcomes(done)[TITLES[1]] == (
        "FAILED Failed: no worker could be started: no process is left; raise ulimit -u"
    )
    assert "Prober" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_mistakes_of_a_suite_are_errors_of_collection_in_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "tiny.bench.yaml").write_text(SUITE.replace("full", "fall").replace("heads: 2", "heads: two"))
    done = run_pytest("--benchmark-only", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    lines = [line for line in done.stdout.splitlines() if line.startswith("tiny.bench.yaml:")]
    assert [line.split(": ")[0] for line in lines] == ["tiny.bench.yaml:4:16", "tiny.bench.yaml:6:5"]
    assert 'did you mean "full"?' in lines[1]
    assert "Traceback" not in done.stdout + done.stderr
    assert "pytest_plugin.py" not in done.stdout


def test_without_pytest_benchmark_a_suite_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "tiny.bench.yaml").write_text(SUITE)
    done = run_pytest(cwd=tmp_path, plugins=())
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    said = "tiny.bench.yaml: expected pytest-benchmark, found none; pip install pytest-benchmark"
    assert said in done.stdout.splitlines()
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("plugins", [(), ("pytest_benchmark.plugin",)])
def test_a_session_without_suites_loads_nothing(tmp_path: Path, plugins: tuple[str, ...]) -> None:
    (tmp_path / "test_plain.py").write_text(PLAIN)
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = run_pytest(cwd=tmp_path, plugins=plugins)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_folder_of_variants_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run_pytest("--bench-variants=none", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip() == "ERROR: --bench-variants none: expected a folder of variants, found none"


@pytest.mark.parametrize(("factor", "regressed"), [(1e-3, True), (1e3, False)])
def test_compare_fail_compares_our_values(measured: Path, tmp_path: Path, factor: float, regressed: bool) -> None:
    stored = read(measured / "out.json")
    for each in stored["benchmarks"]:
        each["stats"]["median"] *= factor
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    suite = SUITE.replace("processes: 3", "processes: 1").replace("[32, 64]", "32")
    (tmp_path / "tiny.bench.yaml").write_text(suite)
    compared = ("--benchmark-compare=stored.json", "--benchmark-compare-fail=median:200%")
    done = run_pytest("--benchmark-only", "-k", "full", *compared, cwd=tmp_path)
    assert "1 selected" in done.stdout, done.stdout + done.stderr
    assert (done.returncode != 0) is regressed
    assert ("Performance has regressed" in done.stderr) is regressed


@pytest.mark.slow
def test_the_benchmarks_of_the_project_pass_as_tests() -> None:
    done = run_pytest(
        "tests/benchmarks", "--benchmark-disable", cwd=ROOT, plugins=("pytest_benchmark.plugin", "pytest_timeout")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 passed" in done.stdout


def test_the_benchmarks_of_the_project_are_run_only_by_name() -> None:
    words = ("tests", "--ignore-glob=tests/test_*", "--collect-only")
    done = run_pytest(*words, cwd=ROOT, plugins=("pytest_benchmark.plugin", "pytest_timeout"))
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


@pytest.mark.slow
def test_the_page_about_pytest_is_true(tmp_path: Path) -> None:
    """The suite of docs/pytest.md, and the commands after it one by one."""
    page = (ROOT / "docs/pytest.md").read_text()
    (suite,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "tests/benchmarks"
    folder.mkdir(parents=True)
    usual, fewer = "{processes: 3, values: 3}", "{processes: 1, values: 3, value_ms: 1}"
    assert usual in suite
    (folder / "attention.bench.yaml").write_text(suite.replace(usual, fewer))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    lines = [line for line in page.splitlines() if line.startswith("pytest -")]
    assert len(lines) == 5
    for line in lines:
        done = run_pytest("-rA", *shlex.split(line, comments=True)[1:], cwd=tmp_path)
        assert done.returncode == 0, line + done.stdout + done.stderr
        assert len(outcomes(done)) == (4 if "-k" in line else 8)
        (shown,) = (each.strip() for each in page.splitlines() if each.startswith("    tests/benchmarks/"))
        assert f"PASSED {shown}" in done.stdout.splitlines()
