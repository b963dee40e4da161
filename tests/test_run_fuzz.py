"""Run folders by other hands: whatever stands in them, a verb does its work or says in one line what is wrong."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rows
from benchmarks import fuzz_runs

from attnbench.reports.drawing import saving
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.suites import Probe

MUTANTS = 40


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fuzz_runs.originals(tmp_path_factory.mktemp("originals"))


def test_what_is_not_changed_ends_well(sources: list[Path], tmp_path: Path) -> None:
    for words in fuzz_runs.commands(random.Random(0), sources[2], sources[2], tmp_path):
        assert fuzz_runs.problem(words) == ""


@pytest.mark.parametrize("part", range(4))
def test_mutants_end_well(sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(saving, "_METADATA", {"svg": {"Date": None, "Creator": None}})
    for index in range(part, MUTANTS, 4):
        told, found = fuzz_runs.problems(f"test:{index}", sources, tmp_path / str(index))
        assert found == [], told


def test_the_same_seed_makes_the_same_mutant(sources: list[Path], tmp_path: Path) -> None:
    told = [fuzz_runs.mutate("7", sources[0], tmp_path / name) for name in "ab"]
    assert told[0] == told[1]
    for name in fuzz_runs.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert any(
            fuzz_runs.mutate(str(seed), sources[0], tmp_path / "c") != told[0]
            and (tmp_path / "c" / name).read_bytes() != (sources[0] / name).read_bytes()
            for seed in range(20)
        )


def probed(folder: Path, change: Callable[[dict[str, Any]], object], plan: rows.Plan) -> Path:
    """A run's folder with its probes changed."""
    rows.write(folder, plan)
    path = folder / "samples.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    for row in told:
        if row["kind"] == "probe":
            change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


ONE_LENGTH = rows.Plan((rows.FULL, rows.LOCAL), (256,), processes=3, values=1)
LENGTHS = rows.Plan((rows.FULL, rows.LOCAL), (256, 512, 1024), processes=3, values=1)


@pytest.mark.parametrize("plan", [ONE_LENGTH, LENGTHS])
@pytest.mark.parametrize("some", [False, True])
def test_a_peak_of_zero_has_no_place_on_a_logarithmic_axis(tmp_path: Path, plan: rows.Plan, some: bool) -> None:
    """Quietly: every warning is an error here."""
    keys = [case.key for _, case in rows.cases(plan)]

    def nothing(row: dict[str, Any]) -> None:
        if not some or row["case"] == keys[0]:
            row["peak_bytes"] = 0

    run = load(probed(tmp_path, nothing, plan))
    assert (run.frame["peak_bytes"] == 0).sum() == (1 if some else len(keys))
    assert run_report.write(run).exists()


@pytest.mark.parametrize("plan", [ONE_LENGTH, LENGTHS])
def test_no_pairs_make_no_ratios(tmp_path: Path, plan: rows.Plan) -> None:
    def nothing(row: dict[str, Any]) -> None:
        row |= {"allowed_pairs": 0, "computed_pairs": 0, "flops": 0}

    run = load(probed(tmp_path, nothing, plan))
    assert run.frame[["bound_speedup", "realised", "waste", "roof_share"]].isna().all(axis=None)
    assert (run.frame["allowed_pairs"] == 0).all()
    assert run_report.write(run).exists()


@pytest.mark.parametrize("pairs", [None, 0])
def test_a_sweep_leaves_out_what_has_no_pairs(tmp_path: Path, pairs: int | None) -> None:
    widths = (replace(rows.LOCAL, parameters={"window": 2 * width + 1}) for width in (8, 16, 32, 64))
    plan = rows.Plan((rows.FULL, *widths), (256,), processes=3, values=1)
    left_out = rows.cases(plan)[1][1].key

    def nothing(row: dict[str, Any]) -> None:
        if row["case"] == left_out:
            row["allowed_pairs"] = pairs

    run = load(probed(tmp_path, nothing, plan))
    (results,) = run.results
    (swept,) = results.sweeps
    assert left_out not in list(swept.frame["case"])
    assert run_report.write(run).exists()


def test_what_a_worker_says_is_checked_too() -> None:
    row = {"kind": "probe", "case": "a", "status": "passed", "reason": ""}
    assert Probe.from_json({**row, "peak_bytes": 5, "unknown": 3}).peak_bytes == 5
    with pytest.raises(ValueError, match=r"^computed_pairs: expected an integer from 0 .*, found 1.5$"):
        Probe.from_json({**row, "computed_pairs": 1.5})


@pytest.mark.parametrize("place", ["HOME", "MPLCONFIGDIR"])
def test_a_home_that_cannot_be_written_is_no_matter(tmp_path: Path, place: str) -> None:
    folder = rows.write(tmp_path / "run", ONE_LENGTH)
    (tmp_path / "file").touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPLCONFIG"))}
    environment = {**usual, place: str(tmp_path / "file"), "TMPDIR": str(temporary)}
    words = [sys.executable, "-m", "attnbench.runner", "report", str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(temporary.iterdir()) == [], "nothing is left behind"


def test_a_folder_that_the_user_has_set_stays(tmp_path: Path) -> None:
    code = "import os, attnbench.reports.drawing.saving; print(os.environ['MPLCONFIGDIR'])"
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "mine")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (str(tmp_path / "mine"), "")
