"""What represents a process is a word in the run's data: a run is read with its own, two runs with the older one's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows

from attnbench.reports.compare.between_runs import compare
from attnbench.reports.findings.run import Run, load
from attnbench.reports.pages.run_report import report
from attnbench.reports.tables import tables
from attnbench.suites.schema.limits import QUANTILES, Estimate, Measure

PLAN = replace(rows.QUIET, value_sd=0.05, processes=4)


def run(folder: Path, estimate: Estimate | None, started: str = "2026-01-02T03:04:05+00:00", seed: int = 0) -> Run:
    """A run that names its estimate, or none, as version 0.1 did."""
    plan = replace(PLAN, seed=seed)
    meta: dict[str, Any] = {**rows.meta(plan), "started": started}
    if estimate:
        meta["suite"]["measure"]["estimate"] = estimate
    folder.mkdir()
    return load(rows.write_rows(folder, meta, list(rows.rows(plan))))


def by_hand(folder: Path, quantile: float) -> np.ndarray:
    """The time of the first case in each process."""
    told = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    timed = [each["values_ns"] for each in told if each.get("values_ns") and each["case"] == told[0]["case"]]
    return np.array([np.quantile(np.log(each), quantile) for each in timed])


@pytest.mark.parametrize("estimate", sorted(QUANTILES))
def test_a_run_is_read_with_its_own(estimate: Estimate, tmp_path: Path) -> None:
    found = run(tmp_path / "run", estimate)
    assert found.estimate == estimate
    assert found.log_ns[0] == pytest.approx(by_hand(tmp_path / "run", QUANTILES[estimate]))
    assert f"{estimate} of its" in report(found, tables.markdown(found))


def test_one_that_names_none_is_read_by_its_medians(tmp_path: Path) -> None:
    found = run(tmp_path / "run", None)
    assert found.estimate == "median"
    assert found.log_ns[0] == pytest.approx(by_hand(tmp_path / "run", 0.5))


@pytest.mark.parametrize("swapped", [False, True])
def test_two_runs_are_compared_by_the_older_ones(swapped: bool, tmp_path: Path) -> None:
    old = run(tmp_path / "old", None)
    new = run(tmp_path / "new", "minimum", "2026-02-02T03:04:05+00:00", seed=1)
    like = run(tmp_path / "like", "median", "2026-02-02T03:04:05+00:00", seed=1)
    pair, same = ((new, old), (like, old)) if swapped else ((old, new), (old, like))
    found, expected = compare(*pair), compare(*same)
    assert found.frame["ratio"].tolist() == expected.frame["ratio"].tolist()
    assert "median of its values" in found.how
    assert "median of its values" not in expected.how


def test_the_same_run_twice_is_alike_whatever_the_estimate(tmp_path: Path) -> None:
    old, new = run(tmp_path / "old", "quartile"), run(tmp_path / "new", "minimum", "2026-02-02T03:04:05+00:00")
    assert compare(old, new).frame["ratio"].tolist() == pytest.approx([1.0] * len(old.frame))


def test_a_new_suite_takes_the_minimum() -> None:
    assert Measure().estimate == "minimum"
