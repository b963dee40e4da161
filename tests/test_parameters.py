"""Learned numbers: how many a case has, and suites that want them equal."""

from dataclasses import replace
from pathlib import Path

import pytest
import rows
from definitions import label
from settings import case_of

from attnbench import variants
from attnbench.reports import load
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import recall
from attnbench.suites import Probe, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Direction, Shape, levels

PROJECTIONS = 4 * 16 * 16 + 4 * 16
BLOCK = PROJECTIONS + 2 * 2 * 16 + 2 * 32 * 16 + 32 + 16
HEAD = 256 * 16 + 61 * 16 + 2 * 16 + 2 * 16 + 2


@pytest.mark.parametrize(
    ("name", "parameters", "level", "many"),
    [
        ("full", {}, "attention", 0),
        ("linformer", {"projected": 3}, "attention", 2 * 3 * 61),
        ("performer", {"features": 8}, "attention", 0),
        ("full", {}, "layer", PROJECTIONS),
        ("linformer", {"projected": 3}, "layer(positions=learned)", PROJECTIONS + 2 * 3 * 61 + 61 * 16),
        ("conv1d", {"kernel": 3}, "layer", 3 * 16 * 16 + 16),
        ("full", {}, "encoder", HEAD + 2 * BLOCK),
        ("linformer", {"projected": 3}, "encoder(layers=3)", HEAD + 3 * (BLOCK + 2 * 3 * 61)),
        ("identity", {}, "encoder(positions=sinusoidal)", HEAD - 61 * 16 + 2 * (BLOCK - PROJECTIONS)),
    ],
    ids=label,
)
def test_learned_numbers_are_counted(
    name: str, parameters: dict[str, int], level: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "look", lambda *_: None)  # as in test_levels.py
    how = "sdpa" if name == "full" else "own"
    made = case_of(name, parameters, how, Shape(1, 2, 2, 61, 8), direction="forward").changed(level=level)
    assert levels.learned(variants.load(name), made.parameters, made.setting) == many
    assert sum(each.numel() for each in all_weights(made) if each.requires_grad) == many
    assert probe(made, 2**32, lambda *_, **__: None).parameter_count == many


def test_a_run_that_did_not_count_has_no_number(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL,), (512,))
    frame = load(rows.write_rows(tmp_path, rows.meta(plan), rows.rows(plan))).frame
    assert frame["parameter_count"].isna().all()


@pytest.mark.parametrize(
    ("level", "direction", "inputs", "returned"),
    [
        ("layer", "forward", 8 * 512 * 64 * 4, 8 * 512 * 64 * 4),
        ("layer(positions=rotary)", "training", 2 * 8 * 512 * 64 * 4, 8 * 512 * 64 * 4 + 1000 * 4),
        ("encoder", "forward", 8 * 513, 4),
        ("encoder(layers=3)", "training", 8 * 513 + 4, 1000 * 4),
    ],
)
def test_gross_and_net_memory_of_levels(
    tmp_path: Path, level: str, direction: Direction, inputs: int, returned: int
) -> None:
    plan = rows.Plan((rows.FULL,), (512,), (direction,))
    meta = rows.meta(plan)
    meta["cases"][0]["level"] = level
    told = [replace(each, parameter_count=1000) if isinstance(each, Probe) else each for each in rows.rows(plan)]
    row = load(rows.write_rows(tmp_path, meta, told)).frame.iloc[0]
    assert row["gross_bytes"] == row["peak_bytes"] + row["prepared_bytes"] + inputs
    assert row["net_bytes"] == row["peak_bytes"] - returned


SUITE = """\
name: equal
question: Are they as large?
level: [layer, attention]
shape: {heads: 2, head_dim: 8, seq_len: [32, 64]}
equal_parameters: EQUAL
variants: [full, {linformer: {projected: PROJECTED}}, lstm]
exclude: [{variant: lstm, level: attention}, {variant: linformer, level: attention}]
"""


def test_variants_that_are_not_as_large_are_told() -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.replace("EQUAL", "10%").replace("PROJECTED", "1"), "mine.yaml")
    (problem,) = caught.value.problems
    of_lstm = 8 * 16 * 16 + 8 * 16
    assert (problem.file, problem.line) == ("mine.yaml", 5)
    assert "expected numbers of parameters within 10%" in str(problem)
    assert f"{1088 + 128:,} of linformer(projected=1)/own N=64" in str(problem)
    assert f"{of_lstm:,} of lstm/own N=32" in str(problem)
    assert "instead of 1,088 of full, +100.0%" in str(problem)
    assert "\n" not in str(problem)


def test_variants_that_are_as_large_pass() -> None:
    suite = parse(SUITE.replace("EQUAL", "100%").replace("PROJECTED", "2"))
    assert suite.equal_parameters == "100%"
    assert from_dict(suite.to_json()).equal_parameters == "100%"
    assert parse(SUITE.replace("EQUAL", "null").replace("PROJECTED", "64")).equal_parameters is None
    with pytest.raises(SuiteError, match="equal_parameters: expected numbers of parameters within 10%, found 1,216 of"):
        from_dict(suite.to_json() | {"equal_parameters": "10%"})


@pytest.mark.parametrize("wrong", ["10", "0.1", "-1%", "ten%"])
def test_what_is_no_percentage_is_one_error(wrong: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.replace("EQUAL", wrong).replace("PROJECTED", "1"))
    (problem,) = caught.value.problems
    assert "percentage" in str(problem)
