"""A run as an array of jobs, submitted to this machine in place of SLURM."""

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from attnbench.reports.data import reading
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.executor import ExecutorError
from attnbench.runner.execution.progress import Quiet
from attnbench.suites.schema.load import parse
from attnbench.suites.selection import SelectionError

pytest.importorskip("submitit")

from attnbench.runner.cluster import slurm
from attnbench.runner.cluster.slurm import Jobs

SUITE = """
name: in_jobs
question: Do two jobs measure what one command does?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
direction: [forward, training]
threads: 1
measure: {processes: 2, values: 2, value_ms: 1}
"""


def lines(folder: Path) -> Counter[tuple[str, str, int | None]]:
    told = reading.rows(folder / "samples.jsonl", dict)
    return Counter((each["kind"], each["case"], each.get("replicate")) for each in told)


@pytest.mark.slow
def test_jobs_measure_what_one_command_does(tmp_path: Path) -> None:
    suite, folder = parse(SUITE, "in_jobs.yaml"), tmp_path / "run"
    jobs = Jobs(2, {"timeout_min": 10}, place="local")
    finished = slurm.run(suite, folder, Quiet(), jobs=jobs, command=("bench", "run"), look_s=0.5)
    engine.run(suite, tmp_path / "alone", Quiet())
    assert lines(folder) == lines(tmp_path / "alone")
    assert not finished.out_of_time
    assert {row.part for row in finished.rows if hasattr(row, "part")} == {0, 1}
    assert [part.shard for part in load(folder).parts] == ["1/2", "2/2"]
    assert run_report.write(load(folder)).exists()


@pytest.mark.slow
def test_the_same_command_again_continues_jobs_that_were_interrupted(tmp_path: Path) -> None:
    suite, folder = parse(SUITE, "in_jobs.yaml"), tmp_path / "run"
    shards = tmp_path / "run.shards"
    jobs = Jobs(2, {"timeout_min": 10}, place="local")
    slurm.run(suite, folder, Quiet(), jobs=jobs, look_s=0.5)
    first = shards / "1" / "samples.jsonl"
    rows = first.read_text().splitlines(keepends=True)
    first.write_text("".join(rows[:-2]))
    again = tmp_path / "again"
    shards.rename(tmp_path / "again.shards")
    slurm.run(suite, again, Quiet(), jobs=jobs, look_s=0.5)
    assert lines(again) == lines(folder)
    kept = (tmp_path / "again.shards" / "2" / "samples.jsonl").read_text()
    assert [json.loads(line) for line in kept.splitlines()], "finished jobs keep their rows"


def test_options_are_checked_before_anything_is_submitted(tmp_path: Path) -> None:
    suite = parse(SUITE, "in_jobs.yaml")
    assert Jobs.read(2, ["partition=gpu", "gpus_per_node=1"]).options == {"partition": "gpu", "gpus_per_node": 1}
    for wrong in ("partition", "=gpu", "a b=c"):
        with pytest.raises(ExecutorError, match="--slurm: expected KEY=VALUE"):
            Jobs.read(2, [wrong])
    with pytest.raises(SelectionError, match="at most 2"):
        slurm.run(suite, tmp_path / "many", Quiet(), jobs=Jobs(3, {}, place="local"))
    with pytest.raises(ExecutorError, match="found one that is none"):
        slurm.run(suite, tmp_path / "wrong", Quiet(), jobs=Jobs(2, {"partitoin": "gpu"}, place="local"))


def test_without_slurm_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "in_jobs.yaml"
    path.write_text(SUITE)
    given = ["run", str(path), "--executor", "slurm", "--shards", "2", "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(main, given)
    assert found.exit_code == 2
    assert "expected srun" in found.output


@pytest.mark.parametrize(
    "options",
    [
        ["--shards", "2"],
        ["--slurm", "partition=gpu"],
        ["--address", "here:1"],
        ["--on", "gpu=H100"],
        ["--executor", "slurm"],
        ["--executor", "ray", "--shards", "2"],
        ["--executor", "slurm", "--shards", "2", "--profile"],
        ["--executor", "ray", "--shard", "1/2"],
    ],
)
def test_options_without_effect_are_refused(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "in_jobs.yaml"
    path.write_text(SUITE)
    found = CliRunner().invoke(main, ["run", str(path), "--out", str(tmp_path / "run"), *options])
    assert found.exit_code == 2
    assert "expected" in found.output
    assert not (tmp_path / "run").exists()
