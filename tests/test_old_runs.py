"""Runs that version 0.1 wrote: they are read, resumed, compared and checked as before, with the same keys.

`tests/data/runs` holds what it left, and the tables that it made of that: a part of `quick`, the same once more, the
comparison of both, and a comparison of two revisions.
"""

import json
import tarfile
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import bench

from attnbench.reports.compare import between_revisions
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.findings.run import load
from attnbench.runner.execution import engine, resuming
from attnbench.runner.execution.progress import Quiet
from attnbench.suites import Case

DATA = Path(__file__).parent / "data" / "runs"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of the runs, each in a folder of its own."""
    for packed in DATA.glob("*.tar.gz"):
        with tarfile.open(packed) as archive:
            archive.extractall(tmp_path / packed.name.removesuffix(".tar.gz"), filter="data")
    return tmp_path


def same(found: pd.DataFrame, written: Path) -> None:
    """The columns that a table had hold what they held, and no row is missing."""
    before = pd.read_csv(written, keep_default_na=False, na_values=[""])
    now = pd.read_csv(StringIO(found[list(before.columns)].to_csv(index=False)), keep_default_na=False, na_values=[""])
    assert len(now) == len(before)
    for name in before.columns:
        if before[name].dtype == np.float64:
            np.testing.assert_allclose(now[name], before[name], rtol=1e-12, err_msg=name)
        else:
            pd.testing.assert_series_equal(now[name], before[name])


@pytest.mark.parametrize("name", ["quick", "again"])
def test_its_table_is_the_same(runs: Path, name: str) -> None:
    same(load(runs / name).frame, runs / name / "table.csv")


def test_its_cases_have_the_same_keys(runs: Path) -> None:
    told = json.loads((runs / "quick" / "run.json").read_text())["cases"]
    assert len(told) == 12
    assert [Case.from_json(each).key for each in told] == [each["key"] for each in told]


def test_it_is_resumed_and_nothing_is_measured_twice(runs: Path) -> None:
    stopped = resuming.read(runs / "quick")
    assert (stopped.begun, stopped.processes, len(stopped.kept.probes)) == (3, 3, 12)
    before = (runs / "quick" / "samples.jsonl").read_bytes()
    engine.resume(runs / "quick", Quiet(), anyway=True)
    assert (runs / "quick" / "samples.jsonl").read_bytes() == before


def test_two_are_compared_as_before(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    found = compare(load(Path("quick")), load(Path("again")))
    same(found.worst_first, runs / "compared" / "comparison.csv")
    before = json.loads((runs / "compared" / "comparison.json").read_text())
    assert found.counts() == before["counts"]
    assert found.how == before["how"]


def test_one_is_checked_against_another_and_against_a_baseline(runs: Path) -> None:
    assert bench("check", runs / "again", "--baseline", runs / "quick")[0] == 0
    store = runs / "baselines"
    assert bench("baseline", "save", "old", runs / "quick", "--store", store)[0] == 0
    assert bench("check", runs / "again", "--baseline", "old", "--store", store)[0] == 0


def test_a_comparison_of_revisions_is_the_same(runs: Path) -> None:
    same(between_revisions.load(runs / "ab").worst_first, runs / "ab" / "comparison.csv")
