"""Spread, flags and memory of a case: against closed forms, SciPy and simulated truth."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rows
from scipy import stats

from attnbench.reports.data import derived, flags
from attnbench.reports.findings.run import load
from attnbench.reports.findings.summary import GRAVEST_FIRST
from attnbench.reports.pages import run_report
from attnbench.reports.stats import spread
from attnbench.reports.stats.statistics import FloatArray, interval
from attnbench.reports.tables import tables
from attnbench.reports.text import outcomes
from attnbench.suites import Sample, Status
from attnbench.variants import Direction

QUIET = rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), process_sd=0.003, value_sd=0.003, processes=9)
FAULTY = replace(QUIET, series=(rows.FULL, replace(rows.LOCAL, predicted=0.8)), drift=0.05)


def normal(sd: float, *shape: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(0, sd, shape)


def one_way(logs: list[FloatArray]) -> tuple[float, float]:
    """The components of one case by the textbook: groups may differ in size."""
    sizes = np.array([len(each) for each in logs])
    number, grand = sizes.sum(), np.concatenate(logs).mean()
    within = sum(((each - each.mean()) ** 2).sum() for each in logs) / (number - len(logs))
    across = sum(len(each) * (each.mean() - grand) ** 2 for each in logs) / (len(logs) - 1)
    size = (number - (sizes**2).sum() / number) / (len(logs) - 1)
    return np.sqrt(within), np.sqrt(max((across - within) / size, 0))


def test_components_are_those_of_the_textbook_whatever_the_sizes() -> None:
    rng = np.random.default_rng(7)
    cases = [[rng.normal(rng.normal(0, 0.1), 0.05, n) for n in sizes] for sizes in ((3, 3, 3), (1, 5, 2, 9), (4, 1))]
    values = [np.exp(each).tolist() for case in cases for each in case]
    owner = np.repeat(np.arange(3), [len(case) for case in cases])
    shuffled = rng.permutation(len(values))
    found = spread.components([values[i] for i in shuffled], owner[shuffled], 3)
    assert np.transpose(found) == pytest.approx(np.array([one_way(case) for case in cases]), rel=1e-9)


@pytest.mark.parametrize(("within", "between"), [(0.05, 0.02), (0.01, 0.1)])
def test_components_find_the_simulated_truth(within: float, between: float) -> None:
    logs = normal(between, 400, 8, 1) + normal(within, 400, 8, 5, seed=2)
    found = spread.components(np.exp(logs).reshape(-1, 5).tolist(), np.repeat(np.arange(400), 8), 400)
    assert np.sqrt((found.within**2).mean()) == pytest.approx(within, rel=0.05)
    assert np.sqrt((found.between**2).mean()) == pytest.approx(between, rel=0.1)


def test_a_negative_component_is_zero() -> None:
    alike = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]
    found = spread.components(alike, np.zeros(3, np.int64), 1)
    assert found.between[0] == 0
    assert found.within[0] == pytest.approx(np.log(2) / np.sqrt(2))


def test_components_that_the_values_do_not_tell() -> None:
    values = [[3.0], [4.0], [1.0, 2.0]]
    found = spread.components(values, np.array([0, 0, 1]), 3)
    assert np.isnan(found.within).tolist() == [True, False, True]
    assert np.isnan(found.between).all()
    assert spread.components([], np.array([], np.int64), 2).within.shape == (2,)


def test_drift_is_the_line_of_least_squares() -> None:
    y = normal(0.02, 5, 7) + np.linspace(0, 0.1, 7)
    found = spread.drift(y)
    for row, change, p_value in zip(y, *found, strict=True):
        expected = stats.linregress(np.arange(7), row)
        assert (change, p_value) == pytest.approx((expected.slope * 6, expected.pvalue), rel=1e-9)


def test_drift_keeps_the_places_of_the_processes_that_are_there() -> None:
    y = np.array([[np.nan, 1.0, 1.3, np.nan, 1.4, np.nan], [1.0, np.nan, np.nan, 2.0, np.nan, np.nan]])
    found = spread.drift(y)
    expected = stats.linregress([1, 2, 4], [1.0, 1.3, 1.4])
    assert (found.change[0], found.p_value[0]) == pytest.approx((expected.slope * 3, expected.pvalue), rel=1e-9)
    assert np.isnan([found.change[1], found.p_value[1]]).all(), "two processes show no drift"
    assert spread.drift(np.empty((3, 0))).change.shape == (3,)


def test_drift_without_noise() -> None:
    found = spread.drift(np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]))
    assert found.change == pytest.approx([0, 2])
    assert found.p_value == pytest.approx([1, 0], abs=1e-6)


def test_drift_is_rarely_seen_where_there_is_none() -> None:
    found = spread.drift(normal(0.05, 4000, 6))
    assert 0.005 < (found.p_value < flags.DRIFT_LEVEL).mean() < 0.015


@pytest.mark.parametrize("sd", [0, 0.002, 0.01, 0.03, 0.2])
def test_needed_processes_are_the_fewest_that_do(sd: float) -> None:
    y = np.array([[-sd, 0.0, sd, np.nan]])
    (needed,) = spread.needed_processes(y)
    half = [stats.t.ppf(0.975, p - 1) * sd / np.sqrt(p) for p in (needed, needed - 1)]
    assert half[0] <= np.log(1.01)
    assert needed == 3 or half[1] > np.log(1.01)


def test_needed_processes_want_three() -> None:
    assert np.isnan(spread.needed_processes(np.array([[1.0, 1.1, np.nan], [np.nan] * 3]))).all()


def test_noisy_is_half_an_interval_above_five_percent() -> None:
    y = normal(1.0, 1, 6)
    half = interval(y).high - interval(y).mean
    narrow, wide = (interval(y / half * np.log(each)) for each in (1.0499, 1.0501))
    assert (flags.noisy(narrow)[0], flags.noisy(wide)[0]) == (False, True)
    assert not flags.noisy(interval(np.array([[1.0, 9.0]])))[0], "without an interval"


def test_drifting_is_significant_and_large() -> None:
    found = spread.Drift(np.log([1.03, 1.03, 1.019, 1 / 1.03, np.nan]), np.array([0.009, 0.011, 1e-9, 0.001, np.nan]))
    assert flags.drifting(found).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("processes", [10, 14, 20, 40])
@pytest.mark.parametrize(("freedom", "most"), [(np.inf, 0.012), (3, 0.02)])
def test_one_mode_is_rarely_called_two(processes: int, freedom: float, most: float) -> None:
    y = stats.t.rvs(freedom, size=(3000, processes), random_state=processes)
    assert flags.bimodal(y).mean() < most


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_two_modes_are_found(share: float) -> None:
    rng = np.random.default_rng(3)
    modes = np.where(np.arange(12) < round(12 * share), 0.5, 0.0)
    y = rng.permuted(modes + rng.normal(0, 0.04, (500, 12)), axis=1)
    assert flags.bimodal(y).mean() > 0.95


def test_what_is_no_second_mode() -> None:
    tight = np.linspace(0, 0.01, 10)
    outlier, few, small = tight.copy(), np.repeat([0.0, 1.0], [4, 5]), np.repeat([0.0, 0.019], 5)
    outlier[-1] = 1.0
    assert not flags.bimodal(outlier[None])[0], "a lone outlier"
    assert not flags.bimodal(few[None])[0], "nine processes"
    assert not flags.bimodal(small[None])[0], "too small to matter"
    two = np.append(np.where(np.arange(10) < 2, 1.0, tight), np.nan)
    assert flags.bimodal(two[None])[0]


def test_memory_off_by_more_than_a_tenth_either_way() -> None:
    peaks, predicted = np.array([109.0, 111, 91, 89, np.nan, 5]), np.array([100.0, 100, 100, 100, 100, np.nan])
    assert flags.memory_off(peaks, predicted).tolist() == [False, True, False, True, False, False]


def test_a_case_carries_its_flags_in_order() -> None:
    raised = {"memory_off": np.array([True, False, True]), "noisy": np.array([True, False, False])}
    told = flags.words(raised, 3)
    assert told == ["noisy memory_off", "", "memory_off"]
    frame = pd.DataFrame({"flags": told})
    assert flags.carrying(frame, "memory_off").index.tolist() == [0, 2]


def test_columns_of_a_run(tmp_path: Path) -> None:
    frame = load(rows.write(tmp_path, QUIET)).frame
    added = "within_sd,between_sd,drift,drift_p,processes_for_1_percent,flags,gross_bytes,net_bytes"
    assert f",peak_fraction,{added}," in ",".join(frame.columns)
    assert frame["within_sd"].between(0.001, 0.006).all()
    assert (frame["between_sd"] >= 0).all()
    assert frame["processes_for_1_percent"].between(3, 6).all()
    assert (frame["flags"] == "").all()


def test_cases_that_did_not_pass_have_none_of_it(tmp_path: Path) -> None:
    plan = replace(QUIET, series=(replace(rows.FULL, endings={512: rows.OOM}, predicted=9.0),))
    frame = load(rows.write(tmp_path, plan)).frame.set_index("seq_len")
    numbers = ["within_sd", "between_sd", "drift", "drift_p", "processes_for_1_percent", "gross_bytes", "net_bytes"]
    assert frame.loc[512, numbers].isna().all()
    assert frame["flags"].tolist() == ["", "memory_off"]


def test_two_processes_give_no_interval_and_no_verdict_on_noise(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(FAULTY, process_sd=0.5, processes=2)))
    assert run.frame[["time_low_ns", "drift", "processes_for_1_percent"]].isna().all(axis=None)
    assert set(run.frame["flags"]) == {"", "memory_off"}
    assert "±" not in tables.markdown(run).partition("### Flags")[0]


@pytest.mark.parametrize("replicates", [(0,), (8,), (2, 3)])
def test_one_unsteady_replicate_flags_the_case(tmp_path: Path, replicates: tuple[int, ...]) -> None:
    frame = load(rows.write(tmp_path, replace(QUIET, unsteady=replicates))).frame
    assert set(frame["flags"]) == {"not_steady"}


def test_one_throttled_sample_flags_the_case(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, QUIET))
    told = [
        (i, Sample("a case", Status.PASSED, "", p, 1, (5.0,), throttled=i == 2 and p == 1))
        for i in range(4)
        for p in (0, 1)
    ]
    derived.add(run.frame, run.log_ns, told, {})
    assert run.frame["flags"].tolist() == ["", "", "throttled", ""]


def test_rows_of_older_runs_count_as_steady(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, QUIET)
    path = folder / "samples.jsonl"
    path.write_text(re.sub(r', "steady": \w+, "order": \d+', "", path.read_text()))
    assert "steady" not in path.read_text()
    assert set(load(folder).frame["flags"]) == {""}


def test_many_processes_of_two_kinds_are_bimodal(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL,), (512,), processes=12, process_sd=0.004)
    probe, *told = rows.rows(plan)
    pace = [1.0, 1.3] * 6
    slowed = [
        replace(each, values_ns=tuple(v * pace[each.replicate] for v in each.values_ns))
        for each in told
        if isinstance(each, Sample)
    ]
    frame = load(rows.write_rows(tmp_path, rows.meta(plan), [probe, *slowed])).frame
    assert frame["flags"].tolist() == ["noisy bimodal"]


def test_flags_are_shown_and_nothing_is_dropped(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, FAULTY))
    assert set(run.frame["flags"]) == {"drifting", "drifting memory_off"}
    assert run.frame["time_ns"].notna().all()
    markdown = tables.markdown(run)
    body = markdown.split("### Flags\n\n", 1)[1].split("\n\n", 1)[0].splitlines()
    assert len(body) == 4
    assert body[2].startswith("| drifting | 4 | time changed by more than 2 % over the run")
    assert body[3].endswith("| local_window(window=129)/blockwise at N = 512, 1024 |")
    line = "Flagged: 4 of 4 (drifting 4, memory_off 2). For drifting: see bench doctor (clocks, heat, load); run again."
    assert line in outcomes.lines(run.outcomes)
    assert "### Flags\n\n| flag | cases |" in run_report.report(run, markdown)


def test_a_run_without_flags_says_so_in_its_table_alone(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, QUIET))
    assert "### Flags\n\nNo case is flagged." in tables.markdown(run)
    assert not [each for each in outcomes.lines(run.outcomes) if "lagged" in each]


def test_trust_is_the_gravest_doubt(tmp_path: Path) -> None:
    def trust(**more: Any) -> list[str]:
        found = load(rows.write(tmp_path, replace(QUIET, **({"proved": 1.0} | more)))).summary
        assert found is not None
        return [row.trust for row in found.rows]

    assert trust() == ["sound"] * 2
    assert trust(processes=2) == ["2 processes"] * 2
    assert trust(processes=1) == ["1 process"] * 2
    assert trust(unsteady=(1,)) == ["not steady"] * 2
    assert trust(unsteady=(1,), drift=0.1) == ["drifting"] * 2
    assert trust(proved=0.5) == ["proved in part"] * 2
    assert trust(proved=None) == ["proof unknown"] * 2
    assert {*GRAVEST_FIRST} == {*flags.MEANINGS}, "every flag has its place"


@pytest.mark.parametrize(
    ("direction", "dtype", "kv_heads", "given", "returned"),
    [
        ("forward", "float32", 8, 3 * 4, 4),
        ("forward", "bfloat16", 2, 1.5 * 2, 2),
        ("training", "float32", 8, 4 * 4, 3 * 4),
        ("backward", "float64", 4, 3 * 8, 2 * 8),
    ],
)
def test_gross_and_net_memory(
    tmp_path: Path, direction: Direction, dtype: str, kv_heads: int, given: float, returned: int
) -> None:
    plan = rows.Plan((rows.FULL,), (512,), (direction,), dtype=dtype)
    meta = rows.meta(plan)
    meta["cases"][0]["kv_heads"] = kv_heads
    row = load(rows.write_rows(tmp_path, meta, rows.rows(plan))).frame.iloc[0]
    numbers = 8 * 512 * 64
    assert row["gross_bytes"] == row["peak_bytes"] + row["prepared_bytes"] + given * numbers
    assert row["net_bytes"] == row["peak_bytes"] - returned * numbers
