"""`bench run`: how the command line sets the number of processes, with an engine that only takes notes."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.task import Finished
from attnbench.suites.schema.suite import Suite

SUITE = """
name: tiny
question: How many processes?
shape: {heads: 1, head_dim: 8, seq_len: 16}
variants: [full]
measure: {processes: 7, values: 2}
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Suite]:
    """The suites that the engine is asked to run, from a folder that holds tiny.yaml."""
    suites: list[Suite] = []

    def run(suite: Suite, folder: Path, *args: Any, **named: Any) -> Finished:
        suites.append(suite)
        return Finished((), (), out_of_time=False)

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE)
    return suites


@pytest.mark.parametrize(
    ("words", "processes"),
    [([], 7), (["--processes", "3"], 3), (["--quick"], 2), (["--rigorous"], 20), (["--processes", "1000"], 1000)],
)
def test_the_number_of_processes(asked: list[Suite], words: list[str], processes: int) -> None:
    done = CliRunner().invoke(main, ["run", "tiny.yaml", "--quiet", *words])
    assert done.output == ""
    assert done.exit_code == 5, "the engine was asked, and measured nothing"
    (suite,) = asked
    assert suite.measure.processes == suite.to_json()["measure"]["processes"] == processes
    assert suite.measure.values == 2
    assert suite.source == SUITE, "the file as it was written"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--quick", "--rigorous"], "--quick and --rigorous"),
        (["--rigorous", "--processes", "3"], "--processes and --rigorous"),
        (["--quick", "--processes", "2", "--rigorous"], "--processes and --quick and --rigorous"),
    ],
)
def test_they_exclude_each_other(asked: list[Suite], words: list[str], found: str) -> None:
    done = CliRunner().invoke(main, ["run", "tiny.yaml", *words])
    assert done.exit_code == 2
    error = done.output.splitlines()[-1]
    assert error == f"Error: expected one of --processes, --quick, --rigorous, found {found}; leave one"
    assert not asked


@pytest.mark.parametrize("processes", ["0", "1001", "two"])
def test_other_numbers_are_refused(asked: list[Suite], processes: str) -> None:
    done = CliRunner().invoke(main, ["run", "tiny.yaml", "--processes", processes])
    assert done.exit_code == 2
    assert processes in done.output.splitlines()[-1]
    assert not asked
