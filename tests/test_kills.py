"""Runs killed at random moments and resumed: no unit is lost or measured twice, nothing is left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killing import SUITE, UNITS, Found, kill, left_of
from test_run import FIGURES, FILES, bench, rows

from attnbench.reports.findings.run import load
from attnbench.suites.schema.load import parse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TRAINED = """
name: trained
question: Is a training lost, or done twice?
level: {task: {data: {mqar: {pairs: 2, symbols: 4, train: 64, test: 50}}, layers: 1, steps: 40}}
shape: {batch: 16, heads: 2, head_dim: 8}
direction: training
threads: 1
variants: [full, identity]
measure: {processes: 3}
"""
KILLS = 5
"""Half of them anywhere in a run, the others soon after a unit: the benchmark of kills makes hundreds."""


def test_nothing_is_lost_however_a_run_is_killed(tmp_path: Path) -> None:
    found = Found()
    kill(found, tmp_path, KILLS, random.Random(0))
    assert found.wrong == []
    assert (found.lost, found.twice, found.unreadable, found.left_behind) == (0, 0, 0, 0)
    assert found.kills == KILLS
    for number in range(found.runs):
        out = tmp_path / f"run-{number}"
        assert len((out / "samples.jsonl").read_text().splitlines()) == UNITS
        assert sorted(path.name for path in out.iterdir()) == FILES
        assert sorted(path.name for path in (out / "figures").iterdir()) == FIGURES
        run = load(out).frame
        assert set(run["status"]) == {"passed"}
        assert set(run["processes"]) == {2}


def test_a_run_that_grows_may_be_killed(tmp_path: Path) -> None:
    new_rows = 7
    grown = SUITE.replace("[64, 96]", "[64, 96, 128]").replace("{window: 9}", "{window: [9, 17]}")
    (tmp_path / "killed.yaml").write_text(SUITE)
    assert bench("run", "killed.yaml", "--out", "run", "--quiet", cwd=tmp_path).returncode == 0
    (tmp_path / "killed.yaml").write_text(grown)
    before = (tmp_path / "run" / "samples.jsonl").read_bytes()
    command = [sys.executable, "-m", "attnbench.runner", "run", "killed.yaml", "--resume", "run", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    while len(rows(tmp_path / "run")) < UNITS + new_rows:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert left_of(process.pid) == []
    done = bench("run", "--resume", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = rows(tmp_path / "run")
    assert (tmp_path / "run" / "samples.jsonl").read_bytes().startswith(before)
    own = [(row["case"], row.get("replicate", -1)) for row in told if not row.get("again")]
    assert sorted(own) == sorted((case.key, at) for case in parse(grown).cases() for at in range(-1, 2))
    table = load(tmp_path / "run").frame
    assert set(table["status"]) == {"passed"}
    assert table["speedup"].notna().all()


def test_trainings_that_were_killed_are_done_again_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "trained.yaml").write_text(TRAINED)
    assert bench("run", "trained.yaml", "--out", "whole", "--quiet", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "attnbench.runner", "run", "trained.yaml", "--out", "run", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "run" / "samples.jsonl").exists() or len(rows(tmp_path / "run")) < 4:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert left_of(process.pid) == []
    before = (tmp_path / "run" / "samples.jsonl").read_bytes()
    done = bench("run", "--resume", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "samples.jsonl").read_bytes().startswith(before)
    told, whole = (
        {(row["case"], row["replicate"]): row["score"] for row in rows(folder) if row["kind"] == "score"}
        for folder in (tmp_path / "run", tmp_path / "whole")
    )
    assert told == whole
    assert len(rows(tmp_path / "run")) == 2 * (1 + 3)
    assert "step 40 of 40" in (tmp_path / "run" / "training.log").read_text()
