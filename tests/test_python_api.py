"""`attnbench.runner.run` and `attnbench.reports.load`, and the page about them."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from scipy import stats
from test_engine import Machine, passed

import attnbench.reports
import attnbench.runner
from attnbench.reports.data.reading import RunError
from attnbench.runner.execution import engine
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Plain, Quiet
from attnbench.runner.execution.task import Finished
from attnbench.suites import Case, Probe
from attnbench.suites.schema.load import from_dict, parse

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

SUITE = """
name: tiny
question: Does it run from Python?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, local_window: {window: 3}]
measure: {processes: 3, values: 2}
"""


def answered(case: Case) -> Probe:
    """A probe with the numbers that a report shows."""
    return replace(
        passed(case),
        allowed_pairs=64,
        computed_pairs=64,
        flops=4096,
        peak_bytes=1024,
        prepared_bytes=0,
        max_abs_error=0.0,
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A machine whose workers answer at once, and an empty folder to be in."""
    it, measure = Machine(answered), engine.run

    def fake(*given: Any, **named: Any) -> Finished:
        return measure(*given, **named, executor=Local(it.start, it.now))

    monkeypatch.setattr(engine, "run", fake)
    monkeypatch.chdir(tmp_path)
    return it


def test_a_run_returns_its_table(machine: Machine, tmp_path: Path) -> None:
    found = attnbench.runner.run(parse(SUITE), tmp_path / "out", progress=Quiet())
    assert found.folder == tmp_path / "out"
    assert list(found.frame["status"]) == ["passed"] * 4
    assert list(found.frame["time_ns"]) == pytest.approx([5e6] * 4)
    assert (tmp_path / "out" / "report.md").is_file()
    assert attnbench.reports.load(str(found.folder)).frame.equals(found.frame)
    assert machine.alive == 0


def test_a_run_without_a_folder_goes_to_runs(machine: Machine, tmp_path: Path) -> None:
    found = attnbench.runner.run(parse(SUITE), progress=Quiet(), report=False)
    assert found.folder.parent == Path("runs")
    assert found.folder.name.startswith("tiny-")
    assert sorted(os.listdir(found.folder)) == ["run.json", "samples.jsonl"]
    assert json.loads((found.folder / "run.json").read_text())["command"].startswith("python ")


def test_some_cases_of_a_suite(machine: Machine, tmp_path: Path) -> None:
    suite = parse(SUITE)
    found = attnbench.runner.run(suite, tmp_path / "out", cases=suite.cases()[:1], progress=Quiet(), report=False)
    assert list(found.frame["case"]) == [suite.cases()[0].key]


def test_a_notebook_gets_plain_lines(machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that draws over itself where stderr is no terminal."""
    attnbench.runner.run(parse(SUITE), tmp_path / "out", report=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 7
    assert "\r" not in told.err
    assert "\x1b" not in told.err


def test_a_folder_in_use_is_one_error(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "any.txt").touch()
    with pytest.raises(FolderError, match="expected a new or empty folder"):
        attnbench.runner.run(parse(SUITE), tmp_path, progress=Quiet())


def test_an_interruption_closes_the_display(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Stopped(Plain):
        def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
            raise KeyboardInterrupt

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        attnbench.runner.run(parse(SUITE), tmp_path / "out", progress=Stopped())
    assert closed == [True]
    assert machine.alive == 0
    assert (tmp_path / "out" / "run.json").is_file()


def test_an_interval_is_that_of_the_table(tmp_path: Path) -> None:
    run = attnbench.reports.load(rows.write(tmp_path / "run", rows.QUICK))
    row = run.frame.index[run.frame["label"].str.startswith("bigbird")][0]
    found = attnbench.reports.interval(np.exp(run.log_ns[row]))
    assert found == pytest.approx(tuple(run.frame.loc[row, ["time_ns", "time_low_ns", "time_high_ns"]]))
    ratio = attnbench.reports.interval(np.exp(run.log_ns[run.baseline_rows[row]] - run.log_ns[row]))
    assert ratio == pytest.approx(tuple(run.frame.loc[row, ["speedup", "speedup_low", "speedup_high"]]))


def test_an_interval_is_students_on_logarithms() -> None:
    numbers = [2.0, 3.0, 5.0, math.nan]
    logs = np.log(numbers[:3])
    half = stats.t.ppf(0.975, 2) * logs.std(ddof=1) / math.sqrt(3)
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    assert attnbench.reports.interval(numbers) == pytest.approx(tuple(expected))
    value, low, high = attnbench.reports.interval([2.0, 8.0])
    assert value == pytest.approx(4.0)
    assert math.isnan(low)
    assert math.isnan(high)
    with pytest.raises(ValueError, match="expected positive numbers, one per process, found 0"):
        attnbench.reports.interval([1.0, 0.0])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((1234.5, 1180, 1290), "1,230"),
        ((3.14159, 3.1, 3.18), "3.14"),
        ((0.0123, math.nan, math.nan), "0.012"),
        ((0, -1, 1), "0"),
        ((2, -math.inf, math.inf), "2.0"),
    ],
)
def test_a_number_is_rounded_to_what_its_interval_bears(given: tuple[float, float, float], told: str) -> None:
    assert attnbench.reports.rounded(*given) == told


def test_no_run_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a run"):
        attnbench.reports.load(tmp_path)


def test_a_suite_made_in_python_stands_in_its_report(machine: Machine, tmp_path: Path) -> None:
    made = from_dict(parse(SUITE).to_json())
    assert made.source == ""
    found = attnbench.runner.run(made, tmp_path / "out", progress=Quiet())
    text = (found.folder / "report.md").read_text(encoding="utf-8")
    again = parse(text.split("## Suite\n\n```yaml\n")[1].split("```")[0])
    assert [case.key for case in again.cases()] == [case.key for case in made.cases()]


def test_importing_the_runner_stays_light() -> None:
    code = "import sys, attnbench.runner, attnbench.reports; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.slow
def test_the_page_runs_as_a_script_without_a_guard(tmp_path: Path) -> None:
    """All its blocks, one after another, with real workers."""
    usual, fewer = "{processes: 3, values: 3, value_ms: 1}", "{processes: 1, values: 3, value_ms: 1}"
    assert sum(usual in block for block in BLOCKS) == 1
    (tmp_path / "script.py").write_text("print('begun')\n" + "\n".join(BLOCKS).replace(usual, fewer))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begun") == 1, "no worker ran the script again"
    assert "5 cases: local_window(window=5)/native N=64 float32 cpu forward" in done.stdout
    assert "# mine" in done.stdout
    assert "took the least time at N = 128" in done.stdout
    assert done.stderr.count("passed ") == 6
    assert sorted(os.listdir(tmp_path)) == ["mine", "script.py"]


def test_the_folder_of_a_stored_run(tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "run", rows.QUICK)
    assert len(attnbench.reports.load(folder).frame) == 48
