"""The machine's roofs: measured, carried in samples, and held against the cases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rows
import torch
from test_reports_tables import EXACT

from attnbench.reports.findings.run import load
from attnbench.reports.tables import tables
from attnbench.runner.worker.call import roof


def clock(*times_ns: float) -> Callable[[Callable[[], object], int], float]:
    """A clock that calls, and says the next of the given times, the last one for ever."""
    left = list(times_ns)

    def value(call: Callable[[], object], calls: int) -> float:
        assert calls == 1
        call()
        return left.pop(0) if len(left) > 1 else left[0]

    return value


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roofs_are_the_best_of_their_values(dtype: str) -> None:
    found = roof.measure(dtype, "cpu", clock(9e9, 3e6, 2e6, 4e6, 9e9, 8e6, 5e6, 4e6))
    assert found is not None
    assert found.flops_per_s == pytest.approx(2 * 1024**3 / 2e-3)
    assert found.copy_bytes_per_s == pytest.approx(2 * 2**25 / 4e-3)


@pytest.mark.parametrize("float32_ns", [1e6, 3e6])
def test_a_cpu_may_multiply_16_bit_numbers_as_float32(float32_ns: float) -> None:
    found = roof.measure("bfloat16", "cpu", clock(9e9, 3e6, 2e6, 4e6, 9e9, 9e6, float32_ns, 9e6, 5e6))
    assert found is not None
    assert found.flops_per_s == pytest.approx(2e9 * 1024**3 / min(2e6, float32_ns))


def test_where_there_is_no_room_there_is_no_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*sizes: int, device: str) -> torch.Tensor:
        raise RuntimeError(f"can't allocate memory for {sizes} on {device}")

    monkeypatch.setattr(torch, "randn", refuse)
    assert roof.measure("float32", "cpu", clock(1.0)) is None


def test_roofs_are_fields_of_a_sample() -> None:
    assert roof.fields(roof.Roofs(5.4, 7.0)) == {"roof_flops_per_s": 5, "copy_bytes_per_s": 7}
    assert roof.fields(None) == {"roof_flops_per_s": None, "copy_bytes_per_s": None}


def test_a_case_is_held_against_the_roof_of_its_processes(tmp_path: Path) -> None:
    frame = load(rows.write(tmp_path, replace(rows.QUICK, roof_flops_per_s=1e13))).frame
    assert np.allclose(frame["roof_flops_per_s"], 1e13)
    assert np.allclose(frame["roof_share"], frame["flops_per_s"] / 1e13)
    assert (frame["roof_share_low"] < frame["roof_share"]).all()
    assert not frame["flags"].str.contains("above_roof").any()


def test_faster_than_the_roof_is_an_error_of_ours(tmp_path: Path) -> None:
    frame = load(rows.write(tmp_path / "true", rows.QUICK)).frame
    slowest = float(frame["flops_per_s"].min())
    run = load(rows.write(tmp_path / "low", replace(rows.QUICK, roof_flops_per_s=slowest)))
    flagged = run.frame["flags"].str.contains("above_roof")
    assert (flagged == (run.frame["roof_share_low"] > 1.05)).all()
    assert flagged.any()
    assert "| above_roof |" in tables.markdown(run)


def test_what_is_faster_than_the_roof_is_never_the_fastest(tmp_path: Path) -> None:
    cheat = rows.Series("local_window", "flex", {"window": 129}, at_1024_ns=1e3)
    plan = replace(EXACT, series=(*EXACT.series, cheat), roof_flops_per_s=1e13)
    run = load(rows.write(tmp_path / "some", plan))
    (results,) = run.results
    assert (run.frame["flags"].str.contains("above_roof") == (run.frame["implementation"] == "flex")).all()
    assert results.fastest is not None
    assert results.fastest.name in results.leading[results.compared_at]
    assert not any("flex" in name for names in results.leading.values() for name in [results.fastest.name, *names])
    assert not results.implementations
    alone = load(rows.write(tmp_path / "all", replace(plan, series=(cheat,), baseline=None))).results[0].fastest
    assert alone is not None
    assert alone.name.endswith("/flex")


def test_without_a_roof_there_is_no_share(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    assert run.frame[["roof_flops_per_s", "roof_share", "roof_share_low"]].isna().all(axis=None)
    assert not run.frame["flags"].str.contains("above_roof").any()
