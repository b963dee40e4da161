"""Exports of runs whose truth is known, read back by the tools that they are for."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import rows
from click.testing import CliRunner, Result
from pytest_benchmark.stats import Stats

from attnbench.reports import export
from attnbench.reports.data import frame, reading
from attnbench.reports.export.formats import pytest_benchmark
from attnbench.reports.findings.run import judged, load
from attnbench.reports.tables import tables
from attnbench.runner.cli import main
from attnbench.suites import Status
from attnbench.suites.case import names, settings

PLAN = rows.Plan(
    (
        rows.FULL,
        replace(rows.LOCAL, endings={512: rows.OOM}),
        replace(rows.LOCAL, implementation="sdpa_masked", endings={1024: (Status.WRONG, "off")}),
    ),
    (256, 512, 1024),
    values=4,
)
FAILED = (
    "local_window(window=129)/blockwise N=512 float32 cpu forward",
    "local_window(window=129)/sdpa_masked N=1024 float32 cpu forward",
)
BENCHMARK_KEYS = {"group", "name", "fullname", "params", "param", "extra_info", "options", "stats"}

SMALLER_IS_BETTER: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number", "exclusiveMinimum": 0},
            "range": {"type": "string", "minLength": 1},
            "extra": {"type": "string", "minLength": 1},
        },
    },
}
"""What the README of github-action-benchmark says of files for `customSmallerIsBetter`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return rows.write(tmp_path / "run", PLAN)


def exported(folder: Path, form: str) -> str:
    kept = reading.read(folder)
    return export.load(form).write(judged(folder, kept), kept)


def strict(text: str) -> Any:
    """JSON as every reader takes it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def bench(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


def compare(*words: str | Path, cwd: Path) -> str:
    """What the real `pytest-benchmark compare` prints."""
    command = [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# pytest-benchmark


def test_pytest_benchmark_has_its_keys_and_the_values_of_the_cases_that_passed(folder: Path) -> None:
    told = strict(exported(folder, "pytest-benchmark"))
    assert set(told) == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    kept, run = reading.read(folder), load(folder)
    passed = [each for each in kept.planned if each.case.title not in FAILED]
    assert [each["name"] for each in told["benchmarks"]] == [each.case.title for each in passed]
    for each, planned in zip(told["benchmarks"], passed, strict=True):
        assert set(each) == BENCHMARK_KEYS
        assert set(each["stats"]) == {*Stats.fields, "data", "iterations"}
        samples = kept.samples[planned.key]
        assert each["stats"]["data"] == [ns / 1e9 for replicate in range(5) for ns in samples[replicate].values_ns]
        assert each["fullname"] == f"synthetic::{each['name']}"
        assert each["group"] == f"N={planned.case.setting.shape.seq_len} float32 cpu forward"
        assert each["params"]["variant"] == planned.case.label
        assert each["params"]["seq_len"] == planned.case.setting.shape.seq_len
        row = run.frame[run.frame["case"] == planned.key].iloc[0]
        for name in ("case", "time_ns", "time_low_ns", "time_high_ns", "processes", "flops", "peak_bytes"):
            assert each["extra_info"][name] == row[name]
        assert each["extra_info"]["flags"] == row["flags"].split()


def test_too_few_processes_have_no_interval(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, replace(PLAN, processes=2))
    for each in strict(exported(folder, "pytest-benchmark"))["benchmarks"]:
        assert each["extra_info"]["time_low_ns"] is None
    assert all("range" not in each for each in strict(exported(folder, "github-action-benchmark")))


def theirs(values: list[float]) -> dict[str, Any]:
    """What pytest-benchmark makes of values; its classes are not typed."""
    kind: Any = Stats
    found = kind()
    for value in values:
        found.update(value)
    told: dict[str, Any] = found.as_dict()
    return told


@pytest.mark.parametrize("count", [*range(1, 14), 50])
def test_statistics_are_those_of_pytest_benchmark(count: int) -> None:
    chance = random.Random(count)
    for values in (
        [chance.lognormvariate(-7, 0.5) for _ in range(count)],
        [0.1] * count,
        [*[0.1] * (count - 1), 9.0],
        [float(chance.randint(1, 3)) for _ in range(count)],
    ):
        expected = theirs(values)
        found = pytest_benchmark.rounds(values)
        assert list(found) == list(Stats.fields)
        assert found.pop("outliers") == expected.pop("outliers")
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_pytest_benchmark_compares_two_exports(tmp_path: Path) -> None:
    for name, seed in (("old", 1), ("new", 2)):
        folder = rows.write(tmp_path / name, replace(PLAN, seed=seed))
        assert bench(folder, "--format", "pytest-benchmark", "--out", tmp_path / f"{name}.json").exit_code == 0
    table = compare("old.json", "new.json", "--group-by=fullname", "--columns=min,median,rounds,outliers", cwd=tmp_path)
    assert table.count("2 tests") == 7, "each case that passed beside its other self"
    assert "full/sdpa N=256 float32 cpu forward (new)" in table
    assert "full/sdpa N=256 float32 cpu forward (old)" in table
    assert FAILED[0] not in table
    by_length = compare("new.json", "--group-by=param:seq_len", "--csv=out.csv", cwd=tmp_path)
    assert [f"seq_len={n}" in by_length for n in (256, 512, 1024)] == [True] * 3
    assert len(pd.read_csv(tmp_path / "out.csv")) == 7


# github-action-benchmark


def test_github_action_benchmark_has_times_in_ns_and_peaks_in_bytes(folder: Path) -> None:
    told = strict(exported(folder, "github-action-benchmark"))
    jsonschema.validate(told, SMALLER_IS_BETTER)
    assert len({each["name"] for each in told}) == len(told) == 14
    table = load(folder).frame
    passed = table[table["status"] == "passed"]
    assert [each["value"] for each in told if each["unit"] == "ns"] == passed["time_ns"].tolist()
    assert [each["value"] for each in told if each["unit"] == "bytes"] == passed["peak_bytes"].tolist()
    first, peak = told[:2]
    assert first["name"] == "full/sdpa N=256 float32 cpu forward"
    assert first["range"].startswith("±")
    assert "5 processes\n95 % interval" in first["extra"]
    assert peak["name"] == "full/sdpa N=256 float32 cpu forward, peak memory"


# Tables


def test_csv_and_markdown_are_the_tables_of_the_report(folder: Path) -> None:
    run = load(folder)
    assert exported(folder, "csv") == tables.csv(run.frame)
    assert exported(folder, "markdown") == tables.markdown(run)


def test_json_has_the_table_with_null_where_there_is_no_number(folder: Path) -> None:
    told = strict(exported(folder, "json"))
    run = load(folder)
    assert {"name", "command", "environment", "cases"} <= set(told)
    assert [each["case"] for each in told["cases"]] == list(run.frame["case"])
    assert {tuple(each) for each in told["cases"]} == {frame.COLUMNS}
    for each in told["cases"]:
        assert (each["time_ns"] is None) == (each["status"] != "passed")
        assert isinstance(each["parameters"], dict)
        assert isinstance(each["flags"], list)
    times = [each["time_ns"] for each in told["cases"] if each["status"] == "passed"]
    assert times == run.frame["time_ns"].dropna().tolist()


# The command line


@pytest.mark.parametrize("form", export.names())
def test_an_export_goes_to_the_terminal_or_into_a_file(folder: Path, tmp_path: Path, form: str) -> None:
    shown = bench(folder, "--format", form)
    written = bench(folder, "--format", form, "--out", tmp_path / "out.txt")
    assert shown.exit_code == written.exit_code == 0
    assert shown.stdout == (tmp_path / "out.txt").read_text(encoding="utf-8") == exported(folder, form)
    assert written.stdout == ""
    left_out = "left out: 2 of 9 cases, which did not pass\n" if export.load(form).PASSED_ONLY else ""
    assert shown.stderr == written.stderr == left_out


@pytest.mark.parametrize("form", export.names())
def test_a_run_where_no_case_passed_is_told_by_the_exit_code(tmp_path: Path, form: str) -> None:
    folder = rows.write(tmp_path, replace(PLAN, series=(replace(rows.FULL, endings={256: rows.OOM}),), lengths=(256,)))
    assert bench(folder, "--format", form).exit_code == 5


def test_what_cannot_be_exported_is_one_line(folder: Path, tmp_path: Path) -> None:
    nothing = bench(tmp_path / "nothing", "--format", "csv")
    assert nothing.exit_code == 2
    assert nothing.stderr.count("\n") == 1
    assert "expected the folder of a run, found none" in nothing.stderr
    unwritable = bench(folder, "--format", "csv", "--out", tmp_path / "no" / "out.csv")
    assert unwritable.exit_code == 2
    assert unwritable.stderr.endswith("expected a file that can be written, found: No such file or directory\n")
    unknown = bench(folder, "--format", "xml")
    assert unknown.exit_code == 2
    assert "'pytest-benchmark'" in unknown.stderr


# Names


def test_a_name_is_the_title_where_that_tells_cases_apart() -> None:
    every = [case for _, case in rows.cases(rows.QUICK)]
    points = [{"label": case.label, **case.flat()} for case in every]
    assert names(points) == [case.title for case in every]
    assert settings(points)[0] == "N=256 float32 cpu forward"


def test_a_name_tells_what_else_cases_differ_by() -> None:
    every = [case for _, case in rows.cases(replace(PLAN, threads=(1, 2)))]
    points = [{"label": case.label, **case.flat()} for case in every]
    told = names(points)
    assert len(set(told)) == len(told) == 18
    assert told[0] == "full/sdpa N=256 float32 cpu forward threads=1"
