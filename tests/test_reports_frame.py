"""A run read back: statuses, numbers with known truth, broken files."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rows

from attnbench.reports.data import columns
from attnbench.reports.data import frame as frames
from attnbench.reports.data.parameters import with_parameters
from attnbench.reports.data.reading import RunError
from attnbench.reports.findings.run import Run, load
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables
from attnbench.suites import Probe, Sample, Status
from attnbench.variants import AXES

SPECIFIED = (
    "case,variant,parameters,implementation,device,dtype,direction,batch,heads,kv_heads,seq_len,head_dim,layout,"
    "threads,status,reason,time_ns,time_low_ns,time_high_ns,peak_bytes,allowed_pairs,computed_pairs,flops,flops_per_s,speedup,"
    "baseline,max_abs_error,label,"
)

EXACT = rows.Plan(
    (rows.FULL, replace(rows.LOCAL, at_1024_ns=0.8e6, exponent=1.0)), (256, 512, 1024, 2048), process_sd=0, value_sd=0
)


def one(run: Run, label: str, n: int | None = None) -> pd.Series:
    """The row of a label, at a length."""
    table = run.scaling if n is None else run.frame[run.frame["seq_len"] == n]
    found = table[table["label"].str.startswith(label)]
    assert len(found) == 1
    return found.iloc[0]


def test_columns_in_their_order(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    assert ",".join(run.frame.columns).startswith(SPECIFIED)
    assert tuple(run.frame.columns[: len(frames.COLUMNS)]) == frames.COLUMNS
    assert len(run.frame) == 48


def test_parameters_are_columns_of_their_own(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    own = list(run.frame.columns[len(frames.COLUMNS) :])
    assert sorted(own) == sorted({name for told in run.frame["parameters"] for name in json.loads(told)})
    assert {"left", "right", "window", "globals", "block", "edges", "causal"} <= set(own)
    for name in own:
        for told, value in zip(run.frame["parameters"], run.frame[name], strict=True):
            expected = json.loads(told).get(name)
            assert pd.isna(value) if expected is None else value == expected
    assert str(run.frame["window"].dtype) == "Int64"
    assert str(run.frame["causal"].dtype) == "boolean"
    assert run.frame.query("window == 129 and seq_len == 256")["variant"].unique().tolist() == [
        "local_window",
        "longformer",
    ]
    again = pd.read_csv(StringIO(tables.csv(run.frame)))
    assert again["window"].dropna().unique().tolist() == [129, 3]


def test_a_parameter_never_takes_the_column_of_another_number() -> None:
    given = [{"status": 3, "left": 8}, {"parameter_status": 4}, {"parameter_parameter_status": 5}]
    frame = with_parameters(pd.DataFrame({"status": ["passed"] * 3}), given)
    assert list(frame["status"]) == ["passed"] * 3
    assert list(frame.columns) == [
        "status",
        "parameter_status",
        "left",
        "parameter_parameter_status",
        "parameter_parameter_parameter_status",
    ]
    assert frame["parameter_status"].dropna().tolist() == [3]
    assert frame["parameter_parameter_status"].dropna().tolist() == [4]


def test_a_parameter_never_takes_a_name_of_another_column() -> None:
    given = [{"time": 3, "N": 8}, {"peak_memory": 4}]
    frame = with_parameters(pd.DataFrame({"status": ["passed"] * 2}), given)
    assert list(frame.columns) == ["status", "parameter_time", "parameter_N", "parameter_peak_memory"]


def test_every_column_has_names_of_its_own_and_the_kind_of_its_cells(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    listed = [each for found in columns.groups(run.frame).values() for each in found]
    assert sorted(each.name for each in listed) == sorted(map(str, run.frame))
    assert sum(len(each.names) for each in listed) == len(columns.named(run.frame))
    known = {each.name for found in columns.GROUPS.values() for each in found} | {*AXES}
    assert {*frames.COLUMNS} <= known
    for each in listed:
        cells = run.frame[each.name]
        is_number = pd.api.types.is_numeric_dtype(cells) and not columns.is_flag(cells)
        assert bool(each.unit) is is_number, each.name


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        pytest.param([None, True, False], "boolean", [True, False], id="yes-or-no"),
        pytest.param([1, 2, None], "Int64", [1, 2], id="whole"),
        pytest.param([1, 0.5, None], "float64", [1.0, 0.5], id="numbers"),
        pytest.param([7, [7, 5], None], "str", ["7", "7x5"], id="a-size-and-a-pair"),
        pytest.param([True, "down", 4], "str", ["true", "down", "4"], id="several-types"),
        pytest.param([2**70, 1, None], "str", [str(2**70), "1"], id="a-number-that-does-not-fit"),
        pytest.param(["<b>", None, "a,b"], "str", ["<b>", "a,b"], id="text"),
    ],
)
def test_a_parameter_of_two_variants_has_a_type_that_holds_both(values: list[Any], kind: str, told: list[Any]) -> None:
    given = [{"other": 1} if each is None else {"it": each} for each in values]
    column = with_parameters(pd.DataFrame(index=range(len(values))), given)["it"]
    assert str(column.dtype) == kind
    assert column.dropna().tolist() == told


def test_numbers_without_noise(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, EXACT))
    row = one(run, "local_window", 2048)
    assert row["label"] == "local_window(window=129)"
    assert json.loads(row["parameters"]) == {
        "window": 129,
        "dilation": 1,
        "edges": "clip",
        "causal": False,
        "sinks": 0,
    }
    assert row["time_ns"] == pytest.approx(1.6e6)
    assert row["time_low_ns"] == pytest.approx(row["time_high_ns"]) == pytest.approx(1.6e6)
    assert row["speedup"] == pytest.approx(8e6 / 1.6e6)
    assert row["baseline"] == "full/sdpa"
    pairs = 8 * (2048 * 129 - 64 * 65)
    assert row["allowed_pairs"] == pairs
    assert row["bound_speedup"] == pytest.approx(8 * 2048**2 / pairs)
    assert row["realised"] == pytest.approx(5 / row["bound_speedup"])
    assert row["waste"] == pytest.approx(1.2, abs=1e-4)
    assert row["flops_per_s"] == pytest.approx(4 * pairs * 64 / 1.6e-3)
    assert row["peak_fraction"] == 2
    assert row["processes"] == 5


def test_the_baseline_is_one_times_itself(tmp_path: Path) -> None:
    row = one(load(rows.write(tmp_path, rows.QUICK.__class__((rows.FULL,), (512,)))), "full", 512)
    assert (row["speedup"], row["speedup_low"], row["speedup_high"], row["realised"]) == (1, 1, 1, 1)


def test_exponents_and_crossover_without_noise(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, EXACT))
    local = one(run, "local_window")
    assert local["time_exponent"] == pytest.approx(1)
    assert local["memory_exponent"] == pytest.approx(1)
    assert one(run, "full")["time_exponent"] == pytest.approx(2)
    assert local["crossover"] == "crosses"
    assert local["crossover_seq_len"] == pytest.approx(0.4 * 1024)
    assert (one(run, "full")["crossover"], one(run, "full")["crossover_reason"]) == ("", "the baseline")


def test_exponents_and_crossover_through_noise(tmp_path: Path) -> None:
    inside = {"exponent": 0, "crossover": 0}
    for seed in range(20):
        run = load(rows.write(tmp_path, replace(EXACT, process_sd=0.05, value_sd=0.03, seed=seed)))
        local = one(run, "local_window")
        inside["exponent"] += local["time_exponent_low"] <= 1 <= local["time_exponent_high"]
        inside["crossover"] += local["crossover_low"] <= 409.6 <= local["crossover_high"]
    assert min(inside.values()) >= 16


@pytest.mark.parametrize(
    ("at_1024_ns", "exponent", "crossover"), [(1e4, 1.0, "always"), (1e8, 1.0, "never"), (2e6, 2.0, "unclear")]
)
def test_other_crossovers(tmp_path: Path, at_1024_ns: float, exponent: float, crossover: str) -> None:
    local = replace(rows.LOCAL, at_1024_ns=at_1024_ns, exponent=exponent)
    run = load(rows.write(tmp_path, rows.Plan((rows.FULL, local), (256, 512, 1024), processes=9)))
    row = one(run, "local_window")
    assert row["crossover"] == crossover
    assert np.isnan(row["crossover_seq_len"])


def test_speedups_are_paired_by_replicate(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, rows.LOCAL), (512,), process_sd=0, value_sd=0)
    (_, base), (_, own) = rows.cases(plan)
    told: list[Probe | Sample] = [rows.probe(each, series, Status.PASSED, "") for series, each in rows.cases(plan)]
    pace = {0: 1.0, 1: 3.0, 2: 9.0}
    told += [Sample(base.key, Status.PASSED, "", p, 1, (2e6 * pace[p],)) for p in pace]
    told += [Sample(own.key, Status.PASSED, "", p, 1, (1e6 * pace[p],)) for p in pace]
    told += [Sample(own.key, Status.PASSED, "", 7, 1, (1.0,))]
    row = one(load(rows.write_rows(tmp_path, rows.meta(plan), told)), "local_window", 512)
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == pytest.approx((2, 2, 2))
    assert row["processes"] == 4


def test_the_roof_of_processes_that_share_a_sequence_is_that_of_all(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL,), (512,), process_sd=0, value_sd=0, threads=(1,))
    ((series, alone),) = rows.cases(plan)
    both = [alone, alone.changed(world=2)]
    meta = {**rows.meta(plan), "cases": [{"key": each.key, "baseline": None, **each.flat()} for each in both]}
    told: list[Probe | Sample] = [rows.probe(each, series, Status.PASSED, "") for each in both]
    told += [
        Sample(each.key, Status.PASSED, "", p, 1, (1e6,), roof_flops_per_s=1e13) for each in both for p in range(3)
    ]
    frame = load(rows.write_rows(tmp_path, meta, told)).frame
    one, two = (frame[frame["world"] == world].iloc[0] for world in ("1", "2"))
    assert two["roof_flops_per_s"] == pytest.approx(2 * one["roof_flops_per_s"])
    assert two["roof_share"] == pytest.approx(one["roof_share"] / 2)


def test_what_another_part_of_a_run_has_timed_is_not_paired(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, rows.LOCAL), (512,), process_sd=0, value_sd=0)
    (_, base), (_, own) = rows.cases(plan)
    told: list[Probe | Sample] = [rows.probe(each, series, Status.PASSED, "") for series, each in rows.cases(plan)]
    told += [Sample(base.key, Status.PASSED, "", p, 1, (2e6,), roof_flops_per_s=1e13) for p in range(3)]
    told += [Sample(own.key, Status.PASSED, "", p, 1, (1e6,), part=p, roof_flops_per_s=1e13) for p in range(3)]
    run = load(rows.write_rows(tmp_path, rows.meta(plan), told))
    row = one(run, "local_window", 512)
    assert row["speedup"] == pytest.approx(2)
    assert np.isnan(row["speedup_low"]), "one process is shared"
    assert (row["processes"], row["time_low_ns"]) == (3, pytest.approx(1e6))
    assert row["roof_share_low"] == pytest.approx(row["roof_share"])
    assert run.log_ns.shape == (2, 5)


def test_a_replicate_of_several_parts_tells_nothing_across_lengths(tmp_path: Path) -> None:
    later = {case.key for _, case in rows.cases(EXACT) if case.setting.shape.seq_len > 512}
    told: list[Probe | Sample] = [
        replace(row, part=1) if isinstance(row, Sample) and row.replicate == 0 and row.case in later else row
        for row in rows.rows(EXACT)
    ]
    run = load(rows.write_rows(tmp_path, rows.meta(EXACT), told))
    local = one(run, "local_window")
    assert (local["crossover"], local["processes"]) == ("crosses", 5), "each length is compared by itself"
    assert local["time_exponent"] == pytest.approx(1)
    assert set(run.frame["processes"]) == {5}
    assert run.frame["speedup"].notna().all()


def test_rows_of_older_runs_are_of_one_part(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, rows.QUICK)
    whole = load(folder).frame
    path = folder / "samples.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    for row in told:
        row.pop("part", None)
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    assert load(folder).frame.equals(whole)


def test_no_baseline(tmp_path: Path) -> None:
    frame = load(rows.write(tmp_path, replace(rows.QUICK, baseline=None))).frame
    assert frame["speedup"].isna().all()
    assert (frame["baseline"] == "").all()
    assert frame["time_ns"].notna().all()


def test_a_failed_baseline_gives_no_speedup(tmp_path: Path) -> None:
    plan = rows.Plan((replace(rows.FULL, endings={1024: rows.OOM}), rows.LOCAL), (512, 1024))
    row = one(load(rows.write(tmp_path, plan)), "local_window", 1024)
    assert row["baseline"] == "full/sdpa"
    assert np.isnan(row[["speedup", "bound_speedup", "realised", "peak_fraction"]].astype(float)).all()
    assert row["time_ns"] > 0


NUMBERS = ["time_ns", "peak_bytes", "allowed_pairs", "flops", "speedup", "max_abs_error", "waste", "prepare_ns"]


def told(tmp_path: Path, *extra: Callable[[str], Probe | Sample], drop: int = 0, processes: int = 3) -> pd.Series:
    """The row of a run of one case."""
    plan = rows.Plan((rows.FULL,), (512,), processes=processes)
    key = rows.cases(plan)[0][1].key
    folder = rows.write(tmp_path, plan, *(make(key) for make in extra), drop=drop)
    return load(folder).frame.iloc[0]


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.PASSED])
def test_a_failed_probe_has_no_numbers(tmp_path: Path, status: Status) -> None:
    row = told(tmp_path, lambda key: Probe(key, status, "because"))
    assert (row["status"], row["reason"]) == (status.value, "because")
    assert row[NUMBERS].isna().all()


def test_one_failed_replicate_is_a_finding(tmp_path: Path) -> None:
    row = told(tmp_path, lambda key: Sample(key, Status.CRASHED, "signal 11", 2))
    assert (row["status"], row["reason"]) == ("crashed", "signal 11")
    assert row[NUMBERS].isna().all()


def test_a_replicate_skipped_for_time_is_not(tmp_path: Path) -> None:
    row = told(tmp_path, lambda key: Sample(key, Status.SKIPPED, "the suite's time was spent", 3))
    assert (row["status"], row["reason"], row["processes"]) == ("passed", "", 3)


def test_all_replicates_skipped(tmp_path: Path) -> None:
    row = told(tmp_path, lambda key: Sample(key, Status.SKIPPED, "the suite's time was spent", 0), processes=0)
    assert (row["status"], row["reason"]) == ("skipped", "the suite's time was spent")


def test_not_reached_and_not_timed(tmp_path: Path) -> None:
    assert told(tmp_path, drop=4)["reason"] == "not reached"
    assert told(tmp_path, drop=3)["reason"] == frames.NOT_TIMED
    assert told(tmp_path, drop=3)["status"] == "skipped"


def test_the_last_row_counts(tmp_path: Path) -> None:
    def timed(replicate: int) -> Callable[[str], Sample]:
        return lambda key: Sample(key, Status.PASSED, "", replicate, 1, (5.0,))

    again = told(
        tmp_path,
        lambda key: Probe(key, Status.PASSED, "", peak_bytes=77),
        *(timed(p) for p in range(3)),
    )
    assert (again["peak_bytes"], again["time_ns"], again["processes"]) == (77, pytest.approx(5), 3)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, rows.QUICK)
    path = folder / "samples.jsonl"
    whole = load(folder).frame
    text = path.read_bytes()
    for torn in (b'{"kind": "sample", "case": "4\xc3', b"{", b'{"kind": "probe"}'):
        path.write_bytes(text + torn)
        assert load(folder).frame.equals(whole)


PROBE = '{"kind": "probe", "case": "KEY", "status": "passed", "reason": "", '
SAMPLE = '{"kind": "sample", "case": "KEY", "status": "passed", "reason": "", '


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "expected a row of JSON, found no valid JSON"),
        ("[1]", "expected a mapping, found .1."),
        ("3", "expected a mapping, found 3"),
        ('{"kind": "sample"}', "case: expected a value, found none"),
        ('{"kind": "other", "case": "a"}', 'kind: expected one of probe, sample, score, found "other"'),
        ('{"case": "a"}', "kind: expected one of probe, sample, score, found nothing"),
        ('{"kind": "probe", "case": "KEY", "status": "fine", "reason": ""}', "status: expected 'passed', .* \"fine\""),
        ('{"kind": "probe", "case": "KEY", "status": "passed", "reason": "why"}', 'reason: expected nothing .* "why"'),
        ('{"kind": "probe", "case": "KEY", "status": "failed", "reason": ""}', "reason: expected why"),
        ('{"kind": "probe", "case": "nobody", "status": "passed", "reason": ""}', 'case: expected .* found "nobody"'),
        (PROBE + '"peak_bytes": "12 MB"}', 'peak_bytes: expected an integer from 0 .* found "12 MB"'),
        (PROBE + '"peak_bytes": -1}', "peak_bytes: expected an integer from 0 .* found -1"),
        (PROBE + '"peak_bytes": 1.5}', "peak_bytes: expected an integer from 0 .* found 1.5"),
        (PROBE + '"peak_bytes": true}', "peak_bytes: expected an integer from 0 .* found true"),
        (PROBE + f'"peak_bytes": 1{"0" * 400}}}', "peak_bytes: expected an integer from 0 .* found 10+..."),
        (PROBE + '"max_abs_error": Infinity}', "max_abs_error: expected a number from 0 .* found Infinity"),
        (PROBE + '"predicted": 1}', "predicted: expected true or false, found 1"),
        (SAMPLE + '"replicate": 0}', "values_ns: expected the times of a case that passed, found none"),
        (SAMPLE + '"replicate": "x"}', 'replicate: expected an integer from 0 .* found "x"'),
        (SAMPLE + '"replicate": 0, "values_ns": [1], "part": "x"}', 'part: expected an integer from 0 .* found "x"'),
        (SAMPLE + '"replicate": 0, "values_ns": [1, 0]}', r"values_ns.1.: expected a number from 0.001 .* found 0"),
        (
            SAMPLE + '"replicate": 0, "values_ns": [1e-320]}',
            r"values_ns.0.: expected a number from 0.001 .* found 1e-320",
        ),
        (SAMPLE + '"replicate": 0, "values_ns": [1, NaN]}', r"values_ns.1.: expected a number from 0.001 .* found NaN"),
        (SAMPLE + '"replicate": 0, "values_ns": ["1"]}', r'values_ns.0.: expected a number from 0.001 .* found "1"'),
        (SAMPLE + '"replicate": 0, "values_ns": 3}', "values_ns: expected a list, found 3"),
        (SAMPLE + '"replicate": 0, "values_ns": [1], "steady": "yes"}', 'steady: expected true or false, found "yes"'),
    ],
)
def test_an_unreadable_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    plan = rows.Plan((rows.FULL,), (512,))
    folder = rows.write(tmp_path, plan)
    lines = (folder / "samples.jsonl").read_text().splitlines()
    lines.insert(2, line.replace("KEY", rows.cases(plan)[0][1].key))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=problem) as error:
        load(folder)
    assert str(error.value).startswith(f"{folder / 'samples.jsonl'}:3: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 3}, "expected format 1 or 2, found 3"),
        ({"cases": {}}, "cases: expected a list"),
        ({"name": None}, "name: expected a text of at most 1000 .*, found nothing"),
        ({"cases": [{"key": "a"}]}, r"cases.0.: variant: expected a value, found none"),
        ({"cases": [3]}, r"cases.0.: expected a mapping, found 3"),
        ({"environment": {"memory_bytes": "16 GB"}}, 'environment.memory_bytes: expected an integer .* "16 GB"'),
        ({"name": "a\x07b"}, r"name: expected .* no control characters among them, found \"a.u0007b\""),
        ({"environment": {"commit": 3}}, "environment.commit: expected a text"),
        ({"suite": {"check": {"time": 5}}}, "suite.check.time: expected a mapping"),
        ({"suite": {"check": {"time": {"relative": "much"}}}}, "suite.check.time.relative: expected text of the form"),
        ({"resumed": [{}]}, r"resumed.0..started: expected a value, found none"),
        ({"seed": float("nan")}, "expected JSON, found a mistake: NaN"),
        ({"patterns": [{"label": "full", "n": 0, "rows": []}]}, r"patterns.0..n: expected an integer from 1"),
        ({"patterns": [{"label": "full", "n": 16, "rows": ["ffff"]}]}, "1 rows of .2. bytes for n = 16"),
        ({"patterns": [{"label": "full", "n": 2, "rows": ["zz", "ff"]}]}, "patterns.0.: "),
        ({"patterns": [None]}, "patterns.0.: "),
    ],
)
def test_a_wrong_run_json(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    meta = rows.meta(rows.QUICK) | change
    with pytest.raises(RunError, match=problem):
        load(rows.write_rows(tmp_path, meta, []))


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nothing.run\.json: expected the folder of a run"):
        load(tmp_path / "nothing")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: expected JSON"):
        load(tmp_path)


def test_a_run_without_rows_or_cases(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, rows.QUICK)
    (folder / "samples.jsonl").unlink()
    assert (load(folder).frame["status"] == "skipped").all()
    empty = load(rows.write_rows(tmp_path, rows.meta(rows.QUICK) | {"cases": []}, []))
    assert list(empty.frame.columns) == list(frames.COLUMNS)
    assert empty.frame.empty
    assert empty.scaling.empty


def test_a_variant_that_is_not_installed_here(tmp_path: Path) -> None:
    meta = rows.meta(rows.Plan((rows.LOCAL,), (512,), baseline=None))
    meta["cases"][0] |= {"variant": "from_elsewhere", "parameters": {"reach": 3, "wrap": True}}
    assert load(rows.write_rows(tmp_path, meta, [])).frame["label"][0] == "from_elsewhere(reach=3, wrap=true)"


def test_what_a_gpu_adds_is_over_processes(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL,), (256,), devices=("cuda",), processes=3, process_sd=0, value_sd=0)
    (case,) = (each for _, each in rows.cases(plan))
    conditions: list[dict[str, Any]] = [
        {"hot_values_ns": (2e5, 4e5, 3e5), "host_ns": 1e3, "launch_bound": False, "throttled": False},
        {"hot_values_ns": (3e5,), "host_ns": 9e3, "launch_bound": True, "throttled": False},
        {"hot_values_ns": (3e5,), "host_ns": 2e3, "launch_bound": False, "throttled": False},
    ]
    samples = [Sample(case.key, Status.PASSED, "", p, 1, (5e5,), **told) for p, told in enumerate(conditions)]
    probe = replace(rows.probe(case, rows.FULL, Status.PASSED, ""), reserved_bytes=2**21)
    run = load(rows.write_rows(tmp_path, rows.meta(plan), [probe, *samples]))
    row = run.frame.iloc[0]
    assert row["time_ns"] == pytest.approx(5e5)
    assert row["hot_time_ns"] == pytest.approx(3e5)
    assert row["host_ns"] == 2e3
    assert row["launch_bound"]
    assert not row["throttled"]
    assert row["reserved_bytes"] == 2**21


def test_what_only_a_gpu_has_is_empty_on_a_cpu(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, EXACT))
    only = ["hot_time_ns", "host_ns", "launch_bound", "throttled", "reserved_bytes"]
    assert run.frame[only].isna().all(axis=None)


def test_a_label_stays_as_it_was_where_it_ran(tmp_path: Path) -> None:
    """A variant of one's own need not be there when its report is made again."""
    meta = rows.meta(rows.QUICK)
    for each in meta["cases"]:
        each["label"] = f"mine({each['variant']})"
    found = load(rows.write_rows(tmp_path / "told", meta, rows.rows(rows.QUICK))).frame
    assert (found["label"] == "mine(" + found["variant"] + ")").all()
    for label in (3, ["mine"]):
        meta["cases"][0]["label"] = label
        with pytest.raises(RunError, match=r"cases.0.: label: expected a text"):
            load(rows.write_rows(tmp_path / str(label), meta, []))


def test_half_of_a_surrogate_pair_in_a_reason_is_read(tmp_path: Path) -> None:
    """It stands for a byte that is no text, in the path that an error names."""
    folder = rows.write(tmp_path, rows.Plan((replace(rows.FULL, endings={512: rows.OOM}),), (512, 1024)))
    text = (folder / "samples.jsonl").read_text()
    (folder / "samples.jsonl").write_text(text.replace("needs 16.0 GiB", "no such file \\udcff"))
    assert load(folder).frame["reason"].iloc[0].startswith("no such file \udcff")
    assert "no such file ?" in run_report.write(load(folder)).read_text()
