"""What reports say of the proofs: the share that was looked at, what they took, and which errors can be compared."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rows import QUIET, meta, write

from attnbench.reports.compare.between_runs import compare
from attnbench.reports.data.derived import PROOF as COLUMNS
from attnbench.reports.findings.outcomes import outcomes
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.reports.text.outcomes import in_part, price
from attnbench.runner.cli import main

PROVED = replace(QUIET, proved=1.0)


def test_what_proofs_took_is_told_with_its_share_of_the_run(tmp_path: Path) -> None:
    run = load(write(tmp_path / "run", PROVED))
    assert run.frame["proof_s"].tolist() == pytest.approx([0.25 + 10 * 0.05] * 4)
    assert price(run.outcomes) == "Proving took 3.0 s, 1% of the run."
    assert "Proving took 3.0 s" in run_report.write(run).read_text()
    resumed = {**run.meta, "resumed": [{}]}
    assert price(outcomes(run.frame, resumed)) == "Proving took 3.0 s.", "nobody knows how long a part of it waited"


def test_an_old_run_tells_nothing_of_proofs(tmp_path: Path) -> None:
    run = load(write(tmp_path / "run", QUIET))
    assert run.frame[list(COLUMNS)].isna().all(axis=None)
    assert price(outcomes(run.frame, meta(QUIET))) == ""
    assert in_part(run.outcomes) == ""


def test_a_report_says_where_not_every_element_was_looked_at(tmp_path: Path) -> None:
    assert in_part(load(write(tmp_path / "whole", PROVED)).outcomes) == ""
    run = load(write(tmp_path / "part", replace(QUIET, proved=0.12)))
    told = in_part(run.outcomes)
    assert told is not None
    assert "4 cases" in told
    assert "12%" in told
    assert told in run_report.write(run).read_text()


def test_errors_of_different_shares_are_incomparable_and_fail_no_check(tmp_path: Path) -> None:
    old, new = (write(tmp_path / name, plan) for name, plan in (("old", QUIET), ("new", PROVED)))
    assert set(compare(load(old), load(new)).frame["error"]) == {"incomparable"}
    assert set(compare(load(new), load(new)).frame["error"]) == {"unchanged"}
    checked = CliRunner().invoke(main, ["check", str(new), "--baseline", str(old)])
    assert checked.exit_code == 0, checked.output
