"""Long Range Arena's tables beside a run that trains encoders at its lengths."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import rows

from attnbench.reports.findings import lra
from attnbench.reports.findings.run import Run, load
from attnbench.reports.pages import run_report
from attnbench.reports.tables import lra as table

LINEAR = rows.Series("linear", "own", at_1024_ns=1e6, exponent=1.0)
OWN = rows.Series("truncated", "blockwise", {"left": 64, "right": 64}, endings={4096: rows.OOM})
PLAN = rows.Plan(
    (rows.FULL, LINEAR, OWN), (512, 1024, 2048, 4096), ("training",), level="layer", process_sd=0, value_sd=0
)


def encoder(folder: Path, plan: rows.Plan = PLAN) -> Run:
    """A run whose cases are those of an encoder of two layers."""
    run = load(rows.write(folder, plan))
    run.frame["level"] = "encoder(layers=2)"
    run.scaling["level"] = "encoder(layers=2)"
    return run


def values(numbers: Sequence[lra.Number]) -> list[tuple[float, float]]:
    return [each[:2] for each in numbers]


def test_published_numbers_and_their_ratios() -> None:
    told = lra.published()
    assert len(told) == 11
    performer = told["performer"]
    assert values(performer.steps_per_s)[0] == pytest.approx((9.5, 9.5 / 8.1))
    assert values(performer.steps_per_s)[3] == pytest.approx((8.0, 8.0 / 1.4))
    assert values(performer.peak_bytes)[3] == pytest.approx((1.06e9, 1.06 / 9.48))
    assert performer.score == pytest.approx((18.01 + 65.40 + 53.82 + 42.77 + 77.05) / 5)
    assert told["bigbird"].score == pytest.approx(55.01, abs=0.01)
    assert all(number.value != number.value for number in told["longformer"].steps_per_s), "it was not measured"


def test_each_row_stands_beside_its_published_one(tmp_path: Path) -> None:
    (arena,) = encoder(tmp_path).arenas
    assert [(each.name, each.published) for each in arena.rows[:5]] == [
        ("full/sdpa", False),
        ("transformer", True),
        ("linear/own", False),
        ("linear_transformer", True),
        ("truncated(left=64, right=64)/blockwise", False),
    ]
    assert {each.name for each in arena.rows if each.published} == set(lra.published())
    own = arena.rows[2]
    ours = values(own.steps_per_s)
    assert ours[0] == pytest.approx((1e9 / 3e6, 2.0))
    assert ours[1] == pytest.approx((1e9 / 6e6, 4.0))
    assert ours[2] == pytest.approx((float("nan"), float("nan")), nan_ok=True), "there is no length of 3,000"
    assert ours[3] == pytest.approx((1e9 / 12e6, 8.0))
    assert values(own.peak_bytes)[1] == (2**23, 1.0)


def test_the_table_has_its_layout(tmp_path: Path) -> None:
    told = [line.strip("| ").split(" | ") for line in table.markdown(encoder(tmp_path)).splitlines() if "|" in line]
    assert told[0][0] == "1K steps/s"
    assert told[0][3:5] == ["4K steps/s", "1K memory"]
    by_name = {line[0]: line[1:] for line in told[2:]}
    assert by_name["*transformer*"] == [
        *("8.1 (1.0x)", "4.9 (1.0x)", "2.3 (1.0x)", "1.4 (1.0x)"),
        *("0.85 GB (1.0)", "2.65 GB (1.0)", "5.51 GB (1.0)", "9.48 GB (1.0)", "54.4"),
    ]
    assert by_name["linear/own"][:4] == ["330 (2.0x)", "170 (4.0x)", "-", "83 (8.0x)"]
    assert by_name["truncated(left=64, right=64)/blockwise"][2:4] == ["-", "OOM"]


def test_lengths_of_thousands_count_too(tmp_path: Path) -> None:
    (arena,) = encoder(tmp_path, replace(PLAN, lengths=(1000, 2000, 3000, 4000))).arenas
    assert [each.value for each in arena.rows[0].steps_per_s] == pytest.approx([174.8, 43.7, 19.4, 10.9], abs=0.1)


def test_without_full_attention_there_are_no_ratios(tmp_path: Path) -> None:
    (arena,) = encoder(tmp_path, replace(PLAN, baseline="linear/own")).arenas
    assert all(each.ratio != each.ratio for each in arena.rows[2].steps_per_s)


@pytest.mark.parametrize("plan", [replace(PLAN, directions=("forward",)), replace(PLAN, lengths=(512, 8192))])
def test_other_runs_have_no_such_table(tmp_path: Path, plan: rows.Plan) -> None:
    assert encoder(tmp_path, plan).arenas == ()
    assert load(rows.write(tmp_path / "layer", PLAN)).arenas == ()


def test_the_report_has_it_and_a_file_of_its_own(tmp_path: Path) -> None:
    run = encoder(tmp_path)
    text = run_report.write(run).read_text(encoding="utf-8")
    assert "## Long Range Arena" in text
    assert (tmp_path / "table_lra.md").read_text(encoding="utf-8").rstrip("\n") in text
    run_report.write(load(rows.write(tmp_path / "layer", PLAN)))
    assert not (tmp_path / "layer" / "table_lra.md").exists()
