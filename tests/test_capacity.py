"""The longest sequence that a memory budget holds: what calls need at other lengths, and what follows from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
from settings import case_of
from stages import unheard
from test_reports_tables import cells

from attnbench.reports.data import capacity
from attnbench.reports.findings.run import load
from attnbench.reports.stats.statistics import parabola
from attnbench.reports.tables import tables
from attnbench.runner.worker import admission, probe
from attnbench.runner.worker import capacity as needs
from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import input_bytes
from attnbench.suites import Probe, Sample, Status
from attnbench.variants import Shape

BUDGET = 2**34
LENGTHS = (512, 1024, 2048, 4096)
PLAN = rows.Plan((rows.FULL, rows.LOCAL), LENGTHS, process_sd=0, value_sd=0)


def table(tmp_path: Path, plan: rows.Plan, *extra: Probe | Sample, budget: int | None = BUDGET) -> pd.DataFrame:
    meta = rows.meta(plan) | {"budget_bytes": budget}
    return load(rows.write_rows(tmp_path, meta, [*rows.rows(plan), *extra])).frame


def test_a_parabola_is_found_and_no_part_is_below_0() -> None:
    x = np.array([256.0, 512.0, 1024.0, 2048.0])
    assert parabola(x, 7e5 + 3e3 * x + 2 * x**2) == pytest.approx([7e5, 3e3, 2])
    assert parabola(x, 5e3 * x) == pytest.approx([0, 5e3, 0], abs=1e-6)
    assert (parabola(x, 1e6 * np.sqrt(x)) >= 0).all()


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_what_was_measured_grows_on(tmp_path: Path, exponent: float) -> None:
    """Inputs are 3 tensors of 8 heads of 64 float32; the rest of what a call needs grows as N or N^2."""
    series = replace(rows.LOCAL, memory_exponent=exponent, bytes_at_1024=2**22)
    frame = table(tmp_path, replace(PLAN, series=(rows.FULL, series)))
    (found,) = frame[frame["label"] != "full"]["fits_up_to"].unique()

    def needed(n: float) -> float:
        return float(2**22 * (n / 1024) ** exponent + 4096 + 3 * 8 * 64 * 4 * n)

    assert needed(found - 2) <= BUDGET < needed(found * 1.001)
    assert set(frame["budget_bytes"]) == {BUDGET}


def test_predictions_are_taken_if_there_are_any(tmp_path: Path) -> None:
    told: list[Probe | Sample] = []
    for series, each in rows.cases(PLAN):
        n = each.setting.shape.seq_len
        short = ((m, 600 * m + m**2, 400 * m) for m in (n // 4, n // 2, n))
        needed = (*short, (2 * n, 1200 * n + 4 * n**2, None))
        told.append(replace(rows.probe(each, series, Status.PASSED, ""), needed_bytes=needed, budget_bytes=10**9))
    frame = table(tmp_path, PLAN, *told)
    longest = frame["fits_up_to"].iloc[0]
    assert 1000 * longest + longest**2 <= 1e9 < 1000 * (longest + 2) + (longest + 2) ** 2
    assert set(frame["fits_source"]) == {capacity.PREDICTION}
    assert set(frame["budget_bytes"]) == {10**9}


@pytest.mark.parametrize(
    ("plan", "budget", "why"),
    [
        (PLAN, None, capacity.NO_BUDGET),
        (replace(PLAN, devices=("cuda",)), BUDGET, capacity.NO_BUDGET),
        (replace(PLAN, lengths=(512, 1024)), BUDGET, capacity.TOO_FEW),
        (replace(PLAN, directions=("backward",)), BUDGET, capacity.NO_FORWARD),
    ],
)
def test_why_it_is_unknown(tmp_path: Path, plan: rows.Plan, budget: int | None, why: str) -> None:
    frame = table(tmp_path, plan, budget=budget)
    assert frame["fits_up_to"].isna().all()
    assert set(frame["fits_source"]) == {why}


def test_what_did_not_pass_has_none(tmp_path: Path) -> None:
    plan = replace(PLAN, series=(replace(rows.FULL, endings={4096: rows.OOM}), rows.LOCAL))
    frame = table(tmp_path, plan)
    failed = frame[frame["status"] != "passed"]
    assert len(failed) == 1
    assert failed["fits_up_to"].isna().all()
    assert (failed["fits_source"] == "").all()
    assert frame[frame["status"] == "passed"]["fits_up_to"].notna().all()


def test_a_length_that_passed_fits_and_none_is_longer_than_a_suite_may_have(tmp_path: Path) -> None:
    assert set(table(tmp_path, PLAN, budget=1)["fits_up_to"]) == {4096}
    assert set(table(tmp_path, PLAN, budget=2**50)["fits_up_to"]) == {2**24}


def test_it_is_in_the_table(tmp_path: Path) -> None:
    meta = rows.meta(PLAN) | {"budget_bytes": BUDGET}
    run = load(rows.write_rows(tmp_path, meta, rows.rows(PLAN)))
    assert run.scaling["fits_up_to"].tolist() == pytest.approx([1677721, 1198372], abs=2)
    found = cells(tables.markdown(run), "forward, float32, cpu: peak memory (fraction of full/sdpa)")
    assert found[""][-1] == "fits 16.0 GiB up to N"
    assert [row[-1] for row in found.values()][1:] == ["1,700,000", "1,200,000"]


@pytest.mark.parametrize("level", ["attention", "layer"])
@pytest.mark.parametrize("implementation", ["blockwise", "sdpa_masked"])
def test_a_probe_says_what_a_call_needs_at_other_lengths(implementation: str, level: str) -> None:
    window = {"window": 17, "dilation": 1, "edges": "clip", "causal": False, "sinks": 0}
    made = case_of("local_window", window, implementation, Shape(1, 2, 2, 256, 16)).changed(level=level)
    found = probe.probe(made, 2**24, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.budget_bytes == 2**24
    lengths = [n for n, *_ in found.needed_bytes]
    assert lengths[:3] == [64, 128, 256]
    assert lengths[3:] == [512 * 2**i for i in range(len(lengths) - 3)]
    for n, needed, held in found.needed_bytes:
        like = made.changed(shape=made.setting.shape.at(n))
        peak = admission.admit(like, 2**40)
        assert peak is not None
        assert needed == peak + input_bytes(like.setting, dout=False)
        if n > 256:
            assert held is None
            continue
        program = programs.build(like)
        weights = sum(each.nbytes for each in program.weights)
        assert (weights > 0) is (level == "layer")
        assert held == weights + program.prepared_bytes
    assert (found.prepared_bytes or 0) >= (256**2 if implementation == "sdpa_masked" else 1)


def test_longer_lengths_are_asked_for_until_they_no_longer_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused kernel has other workspaces at short lengths: what a long call needs does not follow from them."""
    made = case_of("full", {"causal": False}, "sdpa", Shape(1, 2, 2, 64, 16))
    monkeypatch.setattr(needs, "_PATIENCE_S", 1e9)
    *fitting, last = needs.needed_bytes(made, programs.build(made), 1, 2**26)
    assert all(needed <= 2**26 for _, needed, _ in fitting)
    assert last[1] > 2**26
    assert last[0] == 2 * fitting[-1][0]
    monkeypatch.setattr(needs, "_PATIENCE_S", 0.0)
    assert [n for n, *_ in needs.needed_bytes(made, programs.build(made), 1, 2**26)] == [16, 32, 64]


def test_without_a_prediction_a_probe_says_what_the_call_needed() -> None:
    made = case_of("linformer", {"projected": 16}, "own", Shape(1, 2, 2, 256, 16))
    found = probe.probe(made, 2**32, unheard)
    assert found.peak_bytes is not None
    assert found.needed_bytes == ((256, found.peak_bytes + 3 * 2 * 256 * 16 * 4, 2 * 16 * 256 * 4),)
    assert needs.needed_bytes(made.changed(direction="backward"), programs.build(made), 1, 2**32) == ()
