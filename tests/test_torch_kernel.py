"""Which kernel of torch ran, and whether a suite takes more threads than there are cores."""

import json
from dataclasses import replace
from pathlib import Path

import commands
import pytest
import rows
from settings import case_of
from stages import unheard as step

from attnbench.reports import load
from attnbench.reports.export.formats import json as as_json
from attnbench.reports.tables import tables
from attnbench.runner.machine import environment
from attnbench.runner.worker.probe import probe
from attnbench.suites import Probe, Sample
from attnbench.variants import Shape
from attnbench.variants.kernels import _peak

SUITE = """
name: mine
question: Which kernel is it?
shape: {batch: 1, heads: 1, head_dim: 8, seq_len: 32}
threads: [1, 3, auto]
variants: [full]
"""


@pytest.mark.parametrize(
    ("operators", "kernel"),
    [
        (["aten::mm", "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::add"], "flash"),
        (["aten::_scaled_dot_product_flash_attention"], "flash"),
        (["aten::_scaled_dot_product_flash_attention_for_cpu_backward"], "flash"),
        (["aten::_scaled_dot_product_efficient_attention"], "efficient"),
        (["aten::_scaled_dot_product_cudnn_attention"], "cudnn"),
        (["aten::_scaled_dot_product_attention_math"], "math"),
        (["aten::_scaled_dot_product_attention_math", "aten::_scaled_dot_product_flash_attention"], "flash+math"),
        (["aten::scaled_dot_product_attention", "aten::_flash_attention_forward"], None),
        ([], None),
    ],
)
def test_the_kernel_is_in_the_names_of_operators(operators: list[str], kernel: str | None) -> None:
    assert _peak.torch_kernel(operators) == kernel


@pytest.mark.parametrize(
    ("implementation", "direction", "kernel"),
    [
        ("sdpa", "forward", "flash"),
        ("sdpa", "backward", "flash"),
        ("sdpa_math", "training", "math"),
        ("eager", "forward", None),
    ],
)
def test_a_probe_says_which_kernel_ran(implementation: str, direction: str, kernel: str | None) -> None:
    case = case_of("full", {}, implementation, Shape(1, 2, 2, 32, 8), "float32", "cpu", direction, 1)
    assert probe(case, 2**32, step).torch_kernel == kernel


def test_the_table_has_the_kernel_and_older_runs_have_none(tmp_path: Path) -> None:
    told = [replace(row, torch_kernel="flash") if isinstance(row, Probe) else row for row in rows.rows(rows.QUICK)]
    run = load(rows.write_rows(tmp_path / "new", rows.meta(rows.QUICK), told))
    assert set(run.frame["torch_kernel"]) == {"flash"}
    old = load(rows.write(tmp_path / "old", rows.QUICK))
    assert old.frame["torch_kernel"].isna().all()
    assert {row["torch_kernel"] for row in as_json.cases(old)} == {None}
    assert "torch_kernel" in tables.csv(old.frame).splitlines()[0].split(",")
    assert json.dumps(as_json.cases(run)[0])


def test_more_threads_than_cores_are_flagged(tmp_path: Path) -> None:
    plan = replace(rows.QUICK, threads=(1, 2, 3, "auto"))
    frame = load(rows.write_on(tmp_path / "two", plan)).frame
    assert set(frame.loc[frame["flags"].str.contains("oversubscribed"), "threads"]) == {"3"}, "of two cores"
    run = load(rows.write_on(tmp_path / "one", plan, affinity=[5]))
    flagged = run.frame["flags"].str.contains("oversubscribed")
    assert set(run.frame.loc[flagged, "threads"]) == {"2", "3"}, "the process may use one"
    assert "| oversubscribed |" in tables.markdown(run)
    unknown = load(rows.write_on(tmp_path / "unknown", plan, cores=None))
    assert not unknown.frame["flags"].str.contains("oversubscribed").any()


def test_cores_are_those_of_the_part_that_timed_a_case(tmp_path: Path) -> None:
    plan = replace(rows.QUICK, threads=(2,))
    meta = rows.meta(plan)
    part = {"started": "2026-01-02T03:04:05+00:00", "processes": 5, "environment": {"cores": 1}, "changed": {}}
    meta |= {"resumed": [part]}
    told = [replace(row, part=1) if isinstance(row, Sample) else row for row in rows.rows(plan)]
    for name, each in (("first", rows.rows(plan)), ("second", told)):
        frame = load(rows.write_rows(tmp_path / name, meta, each)).frame
        assert frame["flags"].str.contains("oversubscribed").all() == (name == "second")


def test_a_suite_with_more_threads_than_cores_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cores", lambda: 2)
    (tmp_path / "mine.yaml").write_text(SUITE)
    code, said = commands.bench("validate", tmp_path / "mine.yaml")
    line = "1 of 3 cases use more threads than this process may use cores (threads: 3; cores: 2)"
    assert (code, said.count(line)) == (0, 1)
    (tmp_path / "mine.yaml").write_text(SUITE.replace("3, ", ""))
    assert "more threads" not in commands.bench("validate", tmp_path / "mine.yaml")[1]


def test_a_run_and_its_plan_tell_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cores", lambda: 2)
    (tmp_path / "mine.yaml").write_text(SUITE.replace("[1, 3, auto]", "3"))
    code, said = commands.bench("run", tmp_path / "mine.yaml", "--dry-run")
    assert (code, said.count("1 of 1 cases use more threads")) == (0, 1)
    code, said = commands.bench("run", tmp_path / "mine.yaml", "--dry-run", "--json")
    assert (code, "more threads" in said) == (0, False)


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("64", "found 64; take 63 or 65"),
        ("[5, 6]", "found 6; take 5 or 7"),
        ("0", "found 0"),
        ("-2", "found -2"),
        ("five", 'found "five"'),
    ],
)
def test_an_even_window_is_answered_with_its_odd_neighbours(tmp_path: Path, window: str, told: str) -> None:
    (tmp_path / "mine.yaml").write_text(SUITE.replace("[full]", f"[longformer: {{window: {window}}}]"))
    code, said = commands.bench("validate", tmp_path / "mine.yaml")
    assert code == 2
    assert said.endswith(f"expected an odd integer from 1 to 2147483647, {told}\n"), said
