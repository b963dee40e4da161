"""`bench run` for real: small suites through real workers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from killing import left_of

HERE = Path(__file__).parent

SUITE = """
name: tiny
question: Does it run?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: [64, 128]}
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: 17}
  - longformer: {window: 17}
measure: {processes: 3, values: 3, value_ms: 1}
"""

FAULTS = """
name: faults
question: Does each fault get its status?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: [64, 128]}
variants: [full, wrong, crashing, crashing_late, huge, sleeping, raising]
measure: {processes: 2, values: 3, value_ms: 1}
budget: {case_s: 5}
"""

RUDE = {
    "exits": "sys.exit(3)",
    "exits_late": "late and sys.exit(3)",
    "interrupts": "raise KeyboardInterrupt",
    "interrupts_late": "if late: raise KeyboardInterrupt",
    "leaves": "os._exit(0)",
    "prints": "os.write(1, b'chatter ' * 12_500)",
    "forks": "os.fork()",
    "forks_late": "late and os.fork()",
    "starts": "subprocess.Popen(['sleep', '600'])",
    "threads": "threading.Thread(target=threading.Event().wait, name='mine').start()",
    "threads_late": "late and threading.Thread(target=threading.Event().wait, name='mine').start()",
}
"""What kernels do before they compute, `late`: once the garbage collector is off, as it is while values are taken."""
RUDE_VARIANT = '''
"""Full attention by somebody who is rude."""

import gc
import os
import subprocess
import sys
import threading

from attnbench.variants import Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program, sdpa


def build(pattern, setting):
    kernel = sdpa.build(pattern, setting)
    def attend(q, k, v):
        late = not gc.isenabled()
        BODY
        return kernel.call(q, k, v)
    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
'''

REPORT_WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError(name)

sys.meta_path.insert(0, NoTorch())
from attnbench.runner.cli import main
main(["report", "out"])
"""
FILES = ["figures", "report.html", "report.md", "run.json", "samples.jsonl", "table.csv", "table.md"]
FIGURES = [f"{name}.{kind}" for name in ("memory", "patterns", "speedup", "time") for kind in ("png", "svg")]


def bench(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attnbench.runner", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A folder in which the suite was measured into `out`, and what that said."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.yaml").write_text(SUITE)
    done = bench("run", "tiny.yaml", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_measures_every_case_and_leaves_exactly_its_files(
    measured: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, done = measured
    assert sorted(path.name for path in (folder / "out").iterdir()) == FILES
    assert sorted(path.name for path in (folder / "out" / "figures").iterdir()) == FIGURES
    table = pd.read_csv(folder / "out" / "table.csv")
    assert len(table) == 8
    assert set(table.status) == {"passed"}
    assert (table.time_low_ns <= table.time_ns).all()
    assert (table.time_ns <= table.time_high_ns).all()
    assert (table.peak_bytes > 0).all()
    assert done.stderr.count("passed") == 8, "one plain line a case where there is no terminal"
    assert "out/report.md" in done.stdout
    samples = [row for row in rows(folder / "out") if row["kind"] == "sample"]
    for replicate in range(3):
        assert [row["order"] for row in samples if row["replicate"] == replicate] == list(range(8))
    assert all(type(row["steady"]) is bool and row["warmup_calls"] >= 3 for row in samples)
    environment = json.loads((folder / "out" / "run.json").read_text())["environment"]
    assert environment["affinity"]
    assert environment["wait_policy"] == "PASSIVE"


@pytest.mark.slow
def test_a_quick_run_has_two_processes_and_no_interval(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("[64, 128]", "64"))
    done = bench("run", "tiny.yaml", "--out", "out", "--quick", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    meta = json.loads((tmp_path / "out" / "run.json").read_text())
    assert meta["suite"]["measure"]["processes"] == 2
    assert meta["command"] == "bench run tiny.yaml --out out --quick"
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert set(table.processes) == {2}
    assert table[["time_low_ns", "time_high_ns", "speedup_low"]].isna().all(axis=None)
    assert "±" not in done.stdout
    assert "With fewer than 3 processes nothing can be shown to be faster." in " ".join(done.stdout.split())


def test_a_report_is_rebuilt_from_the_rows_alone(
    measured: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(measured[0] / "out", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".csv", ".md", ".svg")}
    for path in before:
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", REPORT_WITHOUT_TORCH], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_every_fault_gets_its_status_and_the_others_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(FAULTS)
    done = bench("run", "faults.yaml", "--variants", HERE / "variants", "--out", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    told = {name: list(rows.status) for name, rows in table.sort_values("seq_len").groupby("variant")}
    assert told == {
        "full": ["passed", "passed"],
        "wrong": ["wrong", "wrong"],
        "crashing": ["crashed", "crashed"],
        "crashing_late": ["crashed", "crashed"],
        "huge": ["out_of_memory", "skipped"],
        "sleeping": ["timed_out", "skipped"],
        "raising": ["failed", "failed"],
    }
    passed = table[table.status == "passed"]
    assert passed.time_ns.notna().all()
    others = table[table.status != "passed"]
    assert others.reason.str.len().gt(0).all()
    assert others[["time_ns", "peak_bytes", "flops", "max_abs_error"]].isna().all(axis=None)
    reasons = dict(zip(others.variant, others.reason, strict=True))
    assert "SIGABRT" in reasons["crashing_late"]
    assert "ValueError: cannot do" in reasons["raising"]
    assert "differs from the oracle" in reasons["wrong"]


@pytest.mark.slow
def test_a_rude_kernel_ends_its_own_case_alone(tmp_path: Path) -> None:
    (tmp_path / "rude").mkdir()
    for name, body in RUDE.items():
        (tmp_path / "rude" / f"{name}.py").write_text(RUDE_VARIANT.replace("BODY", body))
    suite = SUITE.partition("variants")[0].replace("[64, 128]", "64") + f"variants: [full, {', '.join(RUDE)}]\n"
    (tmp_path / "rude.yaml").write_text(suite + "measure: {processes: 1, values: 3, value_ms: 1}\n")
    done = bench("run", "rude.yaml", "--variants", "rude", "--out", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv", keep_default_na=False)
    told = {row.variant: (row.status, row.reason) for row in table.itertuples()}
    process, thread = "it left a process running", "it left a thread running: mine"
    assert told == {
        "full": ("passed", ""),
        "prints": ("passed", ""),
        "exits": ("failed", "at N=1: SystemExit: 3"),
        "exits_late": ("failed", "SystemExit: 3"),
        "interrupts": ("failed", "at N=1: KeyboardInterrupt"),
        "interrupts_late": ("failed", "KeyboardInterrupt"),
        "leaves": ("crashed", "its process ended with exit code 0"),
        "forks": ("failed", process),
        "forks_late": ("failed", process),
        "starts": ("failed", process),
        "threads": ("failed", thread),
        "threads_late": ("failed", thread),
    }
    assert "chatter" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_device_that_is_not_there_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # where there is one, it is hidden
    suite = SUITE.replace("[64, 128]", "64").replace("processes: 3", "processes: 1")
    (tmp_path / "tiny.yaml").write_text(suite + "device: [cpu, cuda]\n")
    done = bench("run", "tiny.yaml", "--out", "out", "--quiet", "-k", "sdpa", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "report: out/report.md\n", "quiet says only where the report is"
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert set(table[table.device == "cuda"].status) == {"unsupported"}
    assert set(table[table.device == "cpu"].status) == {"passed"}
    (tmp_path / "cuda.yaml").write_text(suite + "device: cuda\n")
    assert bench("run", "cuda.yaml", "--out", "cuda", "-k", "sdpa", cwd=tmp_path).returncode == 5, (
        "nothing was measured"
    )


@pytest.mark.slow
def test_a_case_predicted_not_to_fit_is_not_tried(tmp_path: Path) -> None:
    suite = SUITE.replace("[64, 128]", "[64, 4096]").replace("processes: 3", "processes: 1")
    (tmp_path / "tiny.yaml").write_text(suite + "budget: {memory: 200MB}\n")
    done = bench("run", "tiny.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, "a prediction is a finding"
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    eager = table[(table.implementation == "eager") & (table.seq_len == 4096)].iloc[0]
    assert eager.status == "out_of_memory"
    assert "predicted" in eager.reason


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_finished(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "attnbench.runner", "run", "tiny.yaml", "--out", "out"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs these tests in the background has all of its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        for _ in range(5):
            assert process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted; finished results are kept" in err
    assert len(rows(tmp_path / "out")) >= 5
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert "not reached" in (tmp_path / "out" / "report.md").read_text()
    assert "out/report.md" in out


def test_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "attnbench.runner", "run", "tiny.yaml", "--out", "out"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for _ in range(4):
            assert process.stderr.readline()
        process.kill()
        # The pipe of the standard error closes when the last process that holds it is gone.
        process.stderr.read()
    assert left_of(process.pid) == []
    assert all(row["case"] for row in rows(tmp_path / "out"))
