"""`bench history`: which runs it takes, what it finds in them, how often it errs, and what it writes."""

import csv
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from commands import bench
from rows import FULL, LOCAL, OOM, Plan, Series

from attnbench.reports import history as package
from attnbench.reports.compare import baselines
from attnbench.reports.history import badge, change_points, changes, finding, page, tables
from attnbench.reports.history.changes import BASELINE, STATUS, Change, Changes
from attnbench.reports.history.history import RATIO, TIME, history
from attnbench.runner.machine import environment

TRUNCATED = Series("truncated", "blockwise", {"left": 64, "right": 64}, at_1024_ns=0.9e6)
PLAN = Plan((FULL, LOCAL, TRUNCATED), (512, 1024), process_sd=0.02, processes=4, values=3, name="followed")


@dataclass(frozen=True)
class Made:
    """A run of a history: what differs from `PLAN`, from its environment, and from its `run.json`."""

    factors: Mapping[str, float] = field(default_factory=dict)
    """The times of variants as multiples."""
    plan: Plan = PLAN
    environment: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


def commit(number: int) -> str:
    return f"{number:012x}"


def write(folder: Path, made: Sequence[Made]) -> Path:
    """Runs of successive commits, a day apart, in folders whose names say nothing about their order."""
    for number, each in enumerate(made):
        rng = np.random.default_rng([number, 7])
        series = tuple(
            replace(one, at_1024_ns=one.at_1024_ns * each.factors.get(one.variant, 1) * np.exp(rng.normal(0, 0.02)))
            for one in each.plan.series
        )
        plan = replace(each.plan, series=series, seed=number)
        run = rows.meta(plan)
        run["revision"] = {"commit": commit(number), "date": f"2026-03-{number + 1:02}T12:00:00+00:00"}
        run["environment"] |= each.environment
        rows.write_rows(folder / f"{(number * 7) % 31:02}", {**run, **each.meta}, rows.rows(plan))
    return folder


def find(folder: Path, **options: Any) -> Changes:
    found = history(*finding.ordered(finding.paths([str(folder)]), options.get("suite"), options.get("last")))
    assert found is not None
    return changes.find(found)


def told(seen: Changes, metric: str = "") -> list[tuple[str, Change]]:
    """Every change with the name of its case, the most severe first."""
    titles = seen.history.cases["title"]
    every = [(str(titles[each.case]), each) for group in seen.groups for each in group.changes]
    return [(name, each) for name, each in every if not metric or each.metric == metric]


SLOWER = [Made({"local_window": 1.3 if number >= 8 else 1.0}) for number in range(14)]


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of `SLOWER`."""
    return write(tmp_path_factory.mktemp("slower"), SLOWER)


def test_a_slower_kernel_is_found_with_its_commits(slower: Path) -> None:
    seen = find(slower)
    (group,) = seen.groups
    assert (seen.history.label(group.before), seen.history.label(group.after)) == (commit(7), commit(8))
    assert sorted(name for name, _ in told(seen)) == [
        "local_window(window=129)/blockwise N=1024",
        "local_window(window=129)/blockwise N=512",
    ]
    for _, each in told(seen):
        assert each.metric == RATIO
        assert each.worse
        assert each.low < 1.3 < each.high
        assert each.low < each.factor < each.high
    assert group.worse == 2
    assert group.software == {}


def test_the_files_and_the_terminal(slower: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed = bench("history", slower, "--out", out)
    assert code == 0
    lines = printed.splitlines()
    assert lines[0].startswith(f"followed: 14 runs of 6 cases on 1 machine, {commit(0)} to {commit(13)}")
    assert lines[2] == f"2 cases got worse between {commit(7)} and {commit(8)} (2026-03-09)"
    assert lines[3].split()[0] == "slower"
    assert json.loads((out / "badge.json").read_text()) == {
        "schemaVersion": 1,
        "label": "followed",
        "message": f"2 cases worse since {commit(8)}",
        "color": "red",
    }
    with (out / "history.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == tables.COLUMNS
    assert len({row["run"] for row in table}) == 14
    ratios = [row for row in table if row["metric"] == RATIO]
    assert len(ratios) == 14 * 4
    assert all(float(row["low"]) < float(row["value"]) < float(row["high"]) for row in ratios)
    assert all(row["low"] == "" for row in table if row["metric"] == "peak_bytes")
    assert "slower" in (out / "history.md").read_text()
    assert bench("history", slower, "--out", out)[0] == 0


def test_the_terminal_has_at_most_40_lines(tmp_path: Path) -> None:
    """Every run differs from the one before in memory, and many are left out."""
    made = [
        replace(SLOWER[number], plan=replace(PLAN, series=(FULL, replace(LOCAL, bytes_at_1024=2.0 ** (10 + number)))))
        for number in range(14)
    ]
    write(tmp_path, made)
    for number in range(20):
        (tmp_path / f"broken{number}").mkdir()
        (tmp_path / f"broken{number}" / "run.json").write_text("{")
    seen = find(tmp_path)
    assert len(seen.groups) > 10
    lines = tables.terminal(seen)
    assert len(lines) <= 40
    assert sum(line.startswith("left out: ") for line in lines) == 5
    assert any(line.startswith("Changes at ") for line in lines)


def test_runs_are_ordered_by_the_date_of_their_commit(tmp_path: Path) -> None:
    """Commits were measured from the last to the first, and one date has another time zone."""
    made = [
        Made(meta={"started": f"2026-05-{28 - number:02}T00:00:00+00:00"}, plan=replace(PLAN, processes=2))
        for number in range(4)
    ]
    made[2] = replace(made[2], meta={"revision": {"commit": "zone", "date": "2026-03-02T11:00:00-05:00"}})
    seen = find(write(tmp_path, made))
    assert [seen.history.label(run) for run in range(4)] == [commit(0), commit(1), "zone", commit(3)]


def test_runs_without_a_revision_are_ordered_by_their_start(tmp_path: Path) -> None:
    made = [
        Made(
            meta={"revision": None, "started": f"2026-05-{28 - number:02}T00:00:00+00:00"},
            plan=replace(PLAN, processes=2),
        )
        for number in range(3)
    ]
    seen = find(write(tmp_path, made))
    assert [seen.history.label(run) for run in range(3)] == ["14", "07", "00"]


def test_stored_baselines_are_runs_too(slower: Path, tmp_path: Path) -> None:
    for each in sorted(slower.iterdir()):
        baselines.save(each, each.name, tmp_path / "store")
    seen, stored = find(slower), find(tmp_path / "store")
    assert [each for _, each in told(stored)] == [each for _, each in told(seen)]
    assert [each.name for each in stored.history.runs] == [each.name for each in seen.history.runs]


def test_runs_are_named_by_folder_by_pattern_or_one_by_one(slower: Path) -> None:
    everything = finding.paths([str(slower)])
    assert len(everything) == 14
    assert finding.paths([str(slower / "*")]) == everything
    assert finding.paths([*map(str, everything), str(slower)]) == everything


def test_other_suites_and_broken_runs_are_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, SLOWER[:3])
    write(tmp_path / "o", [Made(plan=replace(PLAN, name="other"))])
    shutil.move(tmp_path / "o" / "00", tmp_path / "other")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text('{"format": 1}')
    (tmp_path / "store.tar.gz").write_bytes(b"no archive")
    shutil.copytree(tmp_path / "00", tmp_path / "rows")
    (tmp_path / "rows" / "samples.jsonl").write_text("[]\n[]\n")
    code, printed = bench("history", tmp_path)
    assert code == 0
    assert "3 runs of 6 cases" in printed
    lines = [line for line in printed.splitlines() if line.startswith("left out: ")]
    for name, why in {
        "broken": "expected",
        "store.tar.gz": "expected a baseline, found something else",
        "other": "another suite, other",
        "rows": "samples.jsonl:1",
    }.items():
        assert sum(f"/{name}" in line and why in line for line in lines) == 1, name
    code, printed = bench("history", tmp_path, "--suite", "other")
    assert code == 0
    assert printed.startswith("other: 1 run of 6 cases")


def test_nothing_to_show_is_code_5_and_a_wrong_path_code_2(tmp_path: Path) -> None:
    code, printed = bench("history", tmp_path)
    assert (code, printed) == (5, f"{tmp_path}: expected runs of a suite, found none; name another folder\n")
    write(tmp_path, SLOWER[:1])
    assert bench("history", tmp_path, "--suite", "none")[0] == 5
    code, printed = bench("history", tmp_path / "absent*")
    assert code == 2
    assert printed.count("\n") == 1
    assert "found nothing" in printed


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "installed", lambda: False)
    code, printed = bench("history", tmp_path)
    assert code == 2
    assert "pip install 'attnbench[html,history]'" in printed
    assert printed.count("\n") == 1


def test_only_the_last_runs(slower: Path) -> None:
    seen = find(slower, last=5)
    assert len(seen.history.runs) == 5
    assert seen.history.left_out == ("9 older runs",)
    assert seen.groups == ()
    assert tables.sight(seen).startswith("Times were not compared: this takes 6 runs")
    assert json.loads(badge.badge(seen))["message"] == "too few runs"


def test_if_all_cases_change_alike_it_is_their_baseline(tmp_path: Path) -> None:
    made = [Made({"full": 1.4 if number >= 6 else 1.0}) for number in range(12)]
    seen = find(write(tmp_path, made))
    assert sorted(name for name, _ in told(seen)) == ["full/sdpa N=1024", "full/sdpa N=512"]
    for _, each in told(seen):
        assert each.metric == BASELINE
        assert each.worse
        assert each.low < 1.4 < each.high


def test_if_all_cases_but_the_baseline_change_they_are_named(tmp_path: Path) -> None:
    made = [Made({"local_window": 1.4, "truncated": 1.4} if number >= 6 else {}) for number in range(12)]
    seen = find(write(tmp_path, made))
    assert {name.partition("(")[0] for name, _ in told(seen)} == {"local_window", "truncated"}
    assert {each.metric for _, each in told(seen)} == {RATIO}


def test_without_a_baseline_times_are_compared(tmp_path: Path) -> None:
    plan = replace(PLAN, baseline=None)
    seen = find(write(tmp_path, [replace(each, plan=plan) for each in SLOWER]))
    assert {each.metric for _, each in told(seen)} == {TIME}
    assert {name.partition("(")[0] for name, _ in told(seen)} == {"local_window"}


def test_of_several_baselines_each_case_keeps_one(tmp_path: Path) -> None:
    """In half of the runs another baseline is the fastest; the ratios to it would be 0.7 times as large."""
    native = replace(FULL, implementation="native", at_1024_ns=FULL.at_1024_ns * 1.4)
    made = []
    for number in range(12):
        other = replace(native, at_1024_ns=FULL.at_1024_ns / 1.4) if number >= 6 else native
        made.append(Made(plan=replace(PLAN, series=(FULL, other, LOCAL), baseline=["full/sdpa", "full/native"])))
    seen = find(write(tmp_path, made))
    assert {name.partition(" ")[0] for name, _ in told(seen)} == {"full/native"} | {
        name.partition(" ")[0] for name, each in told(seen) if each.metric == RATIO
    }
    ratios = seen.history.values[RATIO].value
    of_native = seen.history.cases.index[seen.history.cases["implementation"] == "native"]
    assert np.isnan(ratios[of_native]).all()


def test_memory_work_error_and_lost_cases_change_exactly(tmp_path: Path) -> None:
    ended = replace(TRUNCATED, endings={1024: OOM})
    plans = [PLAN] * 2 + [replace(PLAN, series=(FULL, replace(LOCAL, bytes_at_1024=2**23 + 8), TRUNCATED))] * 2
    plans += [replace(PLAN, series=(FULL, replace(LOCAL, waste=1.1), ended))]
    seen = find(write(tmp_path, [Made(plan=plan) for plan in plans]))
    (lost,) = told(seen, STATUS)
    assert lost[0] == "truncated(left=64, right=64)/blockwise N=1024"
    assert (lost[1].was, lost[1].now, lost[1].worse, lost[1].before, lost[1].after) == (
        "passed",
        "out_of_memory",
        True,
        3,
        4,
    )
    assert told(seen)[0] == lost
    memory = [each for _, each in told(seen, "peak_bytes")]
    assert sorted((each.before, each.after, each.worse) for each in memory) == [(1, 2, True)] * 2 + [(3, 4, False)] * 2
    work = [each for _, each in told(seen, "computed_pairs")]
    assert [(each.after, each.worse) for each in work] == [(4, False)] * 2
    assert work[0].factor == pytest.approx(1.1 / 1.2, rel=1e-3)
    lines = tables.terminal(seen)
    assert any("lost" in line and "passed to out_of_memory" in line for line in lines)


def test_what_a_run_did_not_try_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path, [Made()] * 3)
    journal = tmp_path / "14" / "samples.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: len(lines) // 3]))
    seen = find(tmp_path)
    assert "" in seen.history.status[2].to_list(), "some cases were not reached"
    assert not told(seen, STATUS)


def test_memory_is_compared_with_equal_software_only(tmp_path: Path) -> None:
    """Machines take turns. Each sees the new peak, and it is told once."""
    more = replace(PLAN, series=(FULL, replace(LOCAL, bytes_at_1024=2**24), TRUNCATED))
    made = [
        Made(plan=more if number >= 3 else PLAN, environment={"cpu_capability": "AVX2" if number % 2 else "AVX512"})
        for number in range(6)
    ]
    seen = find(write(tmp_path / "turns", made))
    assert [(each.before, each.after) for _, each in told(seen, "peak_bytes")] == [(1, 3)] * 2
    made = [Made(plan=more if number else PLAN, environment={"torch": f"2.{number}"}) for number in range(2)]
    assert told(find(write(tmp_path / "upgrade", made)), "peak_bytes") == []


def test_an_error_counts_if_it_more_than_doubles(tmp_path: Path) -> None:
    folder = write(tmp_path, [Made(plan=replace(PLAN, processes=2)) for _ in range(3)])
    for name, factor in (("07", 1.5), ("14", 100.0)):
        path = folder / name / "samples.jsonl"
        path.write_text(path.read_text().replace('"max_abs_error": 2.5e-07', f'"max_abs_error": {2.5e-7 * factor}'))
    assert {(each.before, each.after, each.worse) for _, each in told(find(folder), "max_abs_error")} == {(1, 2, True)}


def test_an_upgrade_at_the_change_is_named(tmp_path: Path) -> None:
    made = [replace(each, environment={"torch": "2.14" if n >= 8 else "2.13"}) for n, each in enumerate(SLOWER)]
    seen = find(write(tmp_path, made))
    (group,) = seen.groups
    assert group.software == {"torch": ("2.13", "2.14")}
    assert tables.summary(group, seen.history).endswith("; also torch 2.13 to 2.14")


def test_a_change_within_one_commit_is_not_by_its_code(tmp_path: Path) -> None:
    same = {"revision": {"commit": "abc", "date": "2026-03-01T00:00:00+00:00"}}
    made = [
        replace(each, meta={**same, "started": f"2026-03-{n + 1:02}T00:00:00+00:00"}) for n, each in enumerate(SLOWER)
    ]
    seen = find(write(tmp_path, made))
    (group,) = seen.groups
    assert "between two runs of abc, so not by its code" in tables.summary(group, seen.history)


def test_a_change_together_with_the_machine_is_not_told_but_one_within_is(tmp_path: Path) -> None:
    made = [replace(each, environment={"cores": 4 if n >= 8 else 2}) for n, each in enumerate(SLOWER)]
    assert find(write(tmp_path / "switch", made)).groups == ()
    made = [replace(each, environment={"cores": 4 if n % 2 else 2}) for n, each in enumerate(SLOWER)]
    seen = find(write(tmp_path / "turns", made))
    assert [group.after for group in seen.groups] == [8]
    assert "on 2 machines" in tables.headline(seen)


def test_all_runs_have_the_estimate_of_the_latest(tmp_path: Path) -> None:
    """Half of the values of the older runs are three times as large; their minimum is not."""
    folder = write(tmp_path, [Made() for _ in range(12)])
    for path in sorted(folder.glob("*/run.json")):
        run = json.loads(path.read_text())
        run["suite"]["measure"]["estimate"] = "minimum" if run["revision"]["commit"] == commit(11) else "median"
        path.write_text(json.dumps(run))
        samples = [json.loads(line) for line in (path.parent / "samples.jsonl").read_text().splitlines()]
        for row in samples:
            if "values_ns" in row and run["revision"]["commit"] < commit(6) and "local" not in row["case"]:
                row["values_ns"] = [row["values_ns"][0], *(3 * value for value in row["values_ns"][1:])]
        (path.parent / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    seen = find(folder)
    values = seen.history.values[TIME].value
    assert np.all(np.abs(np.log(values[:, :6].mean(axis=1) / values[:, 6:].mean(axis=1))) < 0.1)


def test_a_case_that_was_added_later_has_the_baseline_of_its_own_part(tmp_path: Path) -> None:
    """The second part took three times as long, for the case that was added and for its baseline, timed again."""
    folder = write(tmp_path, [Made()]) / "00"
    run = json.loads((folder / "run.json").read_text())
    part = {"started": run["started"], "processes": 4, "environment": run["environment"], "changed": {}}
    (folder / "run.json").write_text(json.dumps({**run, "resumed": [part]}))
    full, local = (
        {each["key"] for each in run["cases"] if each["variant"] == name} for name in ("full", "local_window")
    )
    told = []
    for row in map(json.loads, (folder / "samples.jsonl").read_text().splitlines()):
        later = {**row, "part": 1, "values_ns": [3 * value for value in row.get("values_ns", [])]}
        told += [later] if row["kind"] == "sample" and row["case"] in local else [row]
        told += [{**later, "again": True}] if row["kind"] == "sample" and row["case"] in full else []
    before = find(tmp_path).history
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    after = find(tmp_path).history
    np.testing.assert_allclose(after.values[RATIO].value, before.values[RATIO].value, rtol=1e-9)
    assert not np.allclose(after.values[TIME].value, before.values[TIME].value)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "<b>|x|</b> @all \u202e"
    made = [replace(each, meta={"name": name}) for each in SLOWER[:2]]
    seen = find(write(tmp_path, made))
    text = tables.markdown(seen)
    assert "<b>" not in text
    assert "@all" not in text
    assert json.loads(badge.badge(seen))["label"].startswith("<b>")


def test_a_badge_tells_the_latest_change(tmp_path: Path) -> None:
    steady = find(write(tmp_path / "steady", [Made() for _ in range(10)]))
    seen = max(steady.detectable.values())
    assert json.loads(badge.badge(steady))["message"] == f"no change above {seen:.0%} in 10 runs"
    faster = [Made({"local_window": 0.7 if number >= 5 else 1.0}) for number in range(10)]
    told = json.loads(badge.badge(find(write(tmp_path / "faster", faster))))
    assert (told["message"], told["color"]) == (f"2 cases better since {commit(5)}", "green")


def test_a_revision_is_that_of_the_folder(tmp_path: Path) -> None:
    assert environment.revision(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    (tmp_path / "a").write_text("a")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-qm", "a", "--date", "2020-01-01T00:00:00+00:00"]):
        subprocess.run([*git, *words], check=True, env={"GIT_COMMITTER_DATE": "2021-02-03T04:05:06+01:00"})
    (tmp_path / "inside").mkdir()
    found = environment.revision(tmp_path / "inside")
    assert found is not None
    assert found["date"] == "2021-02-03T04:05:06+01:00"
    assert len(found["commit"]) == 12
    (tmp_path / "a").write_text("b")
    assert environment.revision(tmp_path) == {**found, "commit": f"{found['commit']}+"}


# The promises on arrays.


def signals(
    y: np.ndarray, machine: np.ndarray | None = None, half: np.ndarray | None = None
) -> list[change_points.Signal]:
    """Signals of log values `[cases, runs]`, with half-intervals `[runs]`."""
    runs = y.shape[1]
    machine = np.zeros(runs, np.int64) if machine is None else machine
    half = np.full(runs, np.nan) if half is None else half
    return [change_points.signal(each, each - half, each + half, machine) for each in y]


def noise(seed: int, cases: int, runs: int, sd: float = 0.03) -> np.ndarray:
    """Log ratios of cases to one baseline, whose noise they share."""
    rng = np.random.default_rng(seed)
    return np.asarray(sd * np.sqrt(0.5) * (rng.standard_normal((1, runs)) + rng.standard_normal((cases, runs))))


@pytest.mark.parametrize(("cases", "runs"), [(1, 10), (1, 40), (12, 10), (12, 40)])
def test_false_alarms_are_rare(cases: int, runs: int) -> None:
    alarms = sum(
        any(each.steps for each in change_points.find(signals(noise(seed, cases, runs)))) for seed in range(150)
    )
    assert alarms / 150 <= 0.05


@pytest.mark.parametrize(
    ("runs", "after", "step", "least"), [(20, 10, 0.10, 0.9), (20, 3, 0.15, 0.8), (10, 5, 0.3, 0.95)]
)
def test_a_step_is_found_where_it_is(runs: int, after: int, step: float, least: float) -> None:
    found = others = 0
    for seed in range(100):
        y = noise(seed, 12, runs)
        y[0, -after:] += np.log1p(step)
        first, *rest = change_points.find(signals(y))
        found += any(abs(each.at - (runs - after)) <= 1 for each in first.steps)
        others += any(each.steps for each in rest)
    assert found >= least * 100
    assert others <= 5


def test_a_step_of_many_needs_less() -> None:
    cases = 12
    found = dict.fromkeys((1, cases), 0)
    for seed in range(100):
        for many in found:
            y = noise(seed, cases, 12)
            y[:many, 6:] += np.log1p(0.1)
            found[many] += bool(change_points.find(signals(y))[0].steps)
    assert found[cases] >= found[1] + 15


def test_a_transient_change_has_two_steps() -> None:
    y = noise(1, 3, 30, 0.01)
    y[0, 10:20] += np.log(1.2)
    found = change_points.find(signals(y))
    assert [step.at for step in found[0].steps] == [10, 20]
    assert [round(float(np.exp(step.change)), 1) for step in found[0].steps] == [1.2, 0.8]
    assert all(not each.steps for each in found[1:])


def test_one_or_two_odd_runs_are_no_change() -> None:
    y = noise(2, 3, 30, 0.01)
    y[0, 12:14] += np.log(1.3)
    y[1, -1] += 1.0
    assert all(not each.steps for each in change_points.find(signals(y)))


def test_imprecise_runs_count_less() -> None:
    found = dict.fromkeys((True, False), 0)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        half = np.where(rng.random(24) < 0.25, 0.4, 0.02)
        y = (0.01 + half / 2) * rng.standard_normal((1, 24))
        y[:, 12:] += np.log1p(0.08)
        for known in found:
            found[known] += bool(change_points.find(signals(y, half=half if known else None))[0].steps)
    assert found[True] >= found[False] + 10


def test_machines_that_take_turns_do_not_hide_a_step_or_make_one() -> None:
    alarms = found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        machine = rng.integers(0, 3, 24)
        effect = np.array([0.0, 0.3, -0.2])[machine]
        y = noise(seed, 3, 24) + effect
        alarms += any(each.steps for each in change_points.find(signals(y, machine)))
        y[0, 12:] += np.log1p(0.15)
        found += any(abs(step.at - 12) <= 1 for step in change_points.find(signals(y, machine))[0].steps)
    assert alarms <= 3
    assert found >= 55


@pytest.mark.parametrize(
    "y", [np.zeros((2, 0)), np.zeros((2, 1)), np.full((2, 9), 1.0), np.full((2, 9), np.nan), np.arange(6.0)[None]]
)
def test_degenerate_signals(y: np.ndarray) -> None:
    assert all(not each.steps for each in change_points.find(signals(y)) if not y.shape[1] > 5 or np.ptp(y) == 0)


def test_every_run_on_a_machine_of_its_own_has_no_step() -> None:
    y = np.repeat([[0.0, 1.0]], 6, axis=1).reshape(1, 12)
    assert change_points.find(signals(np.sort(y), np.arange(12)))[0].steps == []


def test_a_step_without_any_noise_is_found() -> None:
    y = np.zeros((1, 10))
    y[0, 5:] = 0.5
    (step,) = change_points.find(signals(y))[0].steps
    assert step.at == 5
    assert step.change == pytest.approx(0.5)


def test_what_could_be_seen_is_what_is_found() -> None:
    """A step of the size that is said to be found with a power of 80 % is found about as often."""
    found = 0
    for seed in range(200):
        y = noise(seed, 5, 20)
        given = signals(y)
        first = change_points.find(given)[0]
        y[0, 10:] += np.log1p(change_points.detectable(given[0], first, 5, 10))
        found += bool(change_points.find(signals(y))[0].steps)
    assert 0.65 <= found / 200 <= 0.95


def test_a_page_needs_no_folder(tmp_path: Path) -> None:
    seen = find(write(tmp_path / "runs", SLOWER[:2]))
    assert page.write(seen, tmp_path / "a" / "b").exists()


def test_runs_with_fewer_cases_are_named(tmp_path: Path) -> None:
    seen = find(write(tmp_path, [Made() for _ in range(7)]))
    assert tables.missing(seen.history) == []
    part = seen.history.status.copy()
    part.loc[0:2, 3] = ""
    for run in (0, 1, 2, 4):
        part.loc[0, run] = ""
    (told,) = tables.missing(replace(seen.history, status=part))
    named = f"{commit(0)} has 5, {commit(1)} has 5, {commit(2)} has 5 and {commit(3)} has 3"
    assert told == f"Not every run has all 6 cases: {named}; 1 more has fewer."
