"""Profiles: what a worker records, what is written down, and what is drawn from it."""

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import pandas as pd
import pytest
import rows
from folders import forgotten
from stages import unheard
from test_engine import SUITE as ENGINE_SUITE
from test_engine import FakeWorker, Machine, passed
from test_reports_page import FILES, words
from test_run import FIGURES as RUN_FIGURES
from test_run import FILES as RUN_FILES
from test_run import HERE, bench

from attnbench.reports.data import reading
from attnbench.reports.data.reading import RunError
from attnbench.reports.drawing import saving
from attnbench.reports.figures import profile as profile_figure
from attnbench.reports.findings.run import load
from attnbench.reports.pages import profile, run_report
from attnbench.runner.cli import exit_code
from attnbench.runner.execution import engine
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.execution.task import Finished
from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.workers.worker import WorkerEnded
from attnbench.suites import Case, Probe, Status
from attnbench.suites.profile import OUTSIDE, Held, Operator, Profile, Step
from attnbench.suites.schema.load import parse
from attnbench.suites.selection import SelectionError, pick

SUITE = """
name: tiny
question: Where does it go?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: [61, 128]}
direction: [forward, training]
variants:
  - full: {implementation: [eager, sdpa, sdpa_masked]}
  - local_window: {window: 17}
measure: {processes: 1, values: 1, value_ms: 1}
"""


def made(case: Case, *, cuda: bool = False) -> Profile:
    """A profile with a known truth: half of the time in `bmm`; on CUDA, three quarters in `softmax`."""
    operators = (
        Operator("aten::bmm", 2, 5e5, 1e5 if cuda else None, 4096),
        Operator("aten::_softmax", 1, 3e5, 3e5 if cuda else None, 8192),
        *(Operator(f"aten::small_{i}", 1, 1e4, 0.0 if cuda else None, 0) for i in range(10)),
        Operator(OUTSIDE, 1, 1e5, 0.0 if cuda else None, 0),
    )
    held = Held((0.0, 1e5, 6e5, 1e6), (0, 4096, 12288, 0))
    steps = (Step(1e5, 4096, "aten::bmm"), Step(6e5, 8192, "aten::_softmax"))
    return Profile(case.key, Status.PASSED, "", case.title, 5, 1e6, operators, held, steps)


def written(folder: Path, plan: rows.Plan, make: Callable[[Case], Profile]) -> Path:
    """A run's folder whose cases were profiled."""
    lines = [json.dumps(make(case).to_json()) + "\n" for _, case in rows.cases(plan)]
    rows.write(folder, plan)
    (folder / "profile.jsonl").write_text("".join(lines))
    return folder


def cases() -> list[Case]:
    return parse(SUITE, "tiny.yaml").cases()


# What travels


def test_a_profile_comes_back_from_json_as_it_was() -> None:
    whole = made(cases()[0])
    failed = Profile("abcdef012345", Status.CRASHED, "gone", "a title")
    for each in (whole, failed):
        assert Profile.from_json(json.loads(json.dumps(each.to_json()))) == each


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("local_window 128 training", "local_window(window=17)/native N=128 float32 cpu training"),
        ("local 61 forw", "local_window(window=17)/native N=61 float32 cpu forward"),
        ("full/sdpa N=61 forward", "full/sdpa N=61 float32 cpu forward"),
        ("sdpa 61 forward", "full/sdpa N=61 float32 cpu forward"),
        ("masked 61 training", "full/sdpa_masked N=61 float32 cpu training"),
    ],
)
def test_words_pick_a_case(words: str, title: str) -> None:
    picked = pick(cases(), words)
    assert picked.title == title
    assert pick(cases(), picked.key) == picked


def test_what_picks_no_case_or_several_names_the_nearest() -> None:
    with pytest.raises(SelectionError) as several:
        pick(cases(), "full eager")
    assert str(several.value).count("\n") == 4
    assert 'found 4 with all of "full eager"' in str(several.value)
    with pytest.raises(SelectionError, match="  and 11 more") as many:
        pick(cases(), "cpu")
    assert str(many.value).count("cpu ") == 5
    with pytest.raises(SelectionError) as none:
        pick(cases(), "locl_window 128 training")
    nearest = str(none.value).splitlines()[1]
    assert nearest.endswith("local_window(window=17)/native N=128 float32 cpu training")
    with pytest.raises(SelectionError, match="found none"):
        pick(cases(), "")


# The worker


def test_a_recording_accounts_for_all_time_and_memory(tmp_path: Path) -> None:
    from attnbench.runner.machine import memory
    from attnbench.runner.worker import profile as recorder
    from attnbench.runner.worker.call import calls

    for case in cases():
        trace = tmp_path / f"{case.key}.json.gz"
        found = recorder.profile(case, trace, unheard)
        assert found.status is Status.PASSED, found.reason
        assert 1 <= found.calls <= recorder.MOST_CALLS
        assert found.call_ns is not None
        assert found.total_ns == pytest.approx(found.call_ns, rel=1e-3), "self times add up to the call"
        assert min(each.self_ns for each in found.operators) >= 0
        call = calls.call(
            programs.build(case), inputs(case.setting.shape, "float32", "cpu"), case.setting.direction
        ).run
        call()
        assert found.held is not None
        assert max(found.held.bytes) == memory.cpu_peaks(call).allocated_bytes, "the peak that a probe finds"
        assert found.held.bytes[-1] == 0
        assert list(found.held.ns) == sorted(found.held.ns)
        out_bytes = 4 * 2 * 16 * case.setting.shape.seq_len
        assert sum(each.allocated_bytes for each in found.operators) >= out_bytes
        assert not any(each.allocated_bytes for each in found.operators if each.operator.startswith("aten::empty"))
        check_trace(trace, found.calls)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gz"] * len(cases())


def check_trace(path: Path, calls: int) -> None:
    """It is what Perfetto reads: complete events, as many regions as calls."""
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert all(event["name"] and event["dur"] >= 0 and event["ts"] >= 0 for event in complete)
    assert sum(event["name"] == "attnbench call" for event in complete) == calls
    assert any(event["name"].startswith("aten::") for event in complete)


def test_memory_goes_to_the_operator_that_asked_for_it(tmp_path: Path) -> None:
    from attnbench.runner.worker import profile as recorder

    eager = next(case for case in cases() if case.implementation == "eager" and case.setting.direction == "forward")
    found = recorder.profile(eager, tmp_path / "it.json.gz", unheard)
    by_name = {each.operator: each for each in found.operators}
    n = eager.setting.shape.seq_len
    assert by_name["aten::_softmax"].allocated_bytes == 2 * n * n * 4
    assert by_name["aten::_softmax"].calls == 1
    assert by_name[OUTSIDE].allocated_bytes < 100, "scalars that become tensors"
    assert "aten::_softmax" in {step.operator for step in found.steps}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("## Call CompiledFxGraph fuo5mjzvtofm ##", "CompiledFxGraph"),
        ("Torch-Compiled Region: 1/0", "Torch-Compiled Region"),
        ("aten::bmm", "aten::bmm"),
        ("attnbench call", OUTSIDE),
    ],
)
def test_what_a_compiler_made_has_the_same_name_every_time(name: str, expected: str) -> None:
    from attnbench.runner.worker import profile as recorder

    assert recorder._name(SimpleNamespace(name=name)) == expected


def test_a_case_that_raises_is_told(tmp_path: Path) -> None:
    from attnbench.runner.worker import profile as recorder

    case = cases()[0].changed(dtype="float33")
    found = recorder.profile(case, tmp_path / "it.json.gz", unheard)
    assert found.status is Status.FAILED
    assert "float33" in found.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("call_ns", "recorded"), [(1e6, 5), (3e8, 3), (9e8, 1), (2e9, 1)])
def test_long_calls_are_recorded_less_often(call_ns: float, recorded: int) -> None:
    from attnbench.runner.worker.profile import warmed_up

    made: list[int] = []

    def clock(call: Callable[[], object], calls: int) -> float:
        made.append(calls)
        return call_ns

    assert warmed_up(lambda: None, clock, "cpu") == recorded
    assert (len(made) == 1) == (call_ns > 1e9), "a call longer than a second is made once"


@pytest.mark.parametrize("count", [1, 2, 7, 9, 10, 5001])
def test_decimated_points_keep_ends_and_peak(count: int) -> None:
    from attnbench.runner.worker.profile import decimated

    points = [(float(i), (i * 7919) % 1009) for i in range(count)]
    points[count // 2] = (count // 2, 5000)
    kept = decimated(points, 10)
    assert len(kept) <= 10
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    assert {points[0], points[-1], points[count // 2]} <= set(kept)


# The engine


class Recorders(Machine):
    """A machine that also profiles; `dies` names the cases whose recorder dies."""

    def __init__(self, dies: Callable[[Case], bool] = lambda case: False, **options: Any) -> None:
        super().__init__(**options)
        self.dies = dies

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return Recorder(self, kind)


class Recorder(FakeWorker):
    """A worker of `Recorders`, started in a certain way."""

    def __init__(self, machine: Recorders, kind: str) -> None:
        super().__init__(machine)
        self.dies = machine.dies
        self.kind = kind

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        if request["do"] != "profile":
            return super().ask(request, patience_s)
        case = Case.from_json(request["case"])
        assert self.kind == "forkserver"
        assert Path(request["trace"]).name == f"{case.key}.json.gz"
        self.machine.clock_s += self.machine.request_s
        if self.dies(case):
            raise WorkerEnded(Status.CRASHED, "its process was killed by SIGSEGV", 0)
        return made(case).to_json()


def run(machine: Machine, folder: Path, **options: Any) -> Finished:
    suite = parse(ENGINE_SUITE, "tiny.yaml")
    return engine.run(suite, folder, Quiet(), executor=Local(machine.start, machine.now), **options)


def test_every_case_that_passed_is_profiled_in_a_process_of_its_own(tmp_path: Path) -> None:
    def answer(case: Case) -> Probe:
        return Probe(case.key, Status.WRONG, "bad") if case.implementation == "eager" else passed(case)

    machine = Recorders(answer=answer)
    finished = run(machine, tmp_path / "run", profile=True)
    assert len(finished.profiles) == 6
    assert machine.started.count("forkserver") == 1 + 9 + 6
    assert machine.started[-6:] == ["forkserver"] * 6, "after all that is timed"
    assert machine.alive == 0
    assert list(reading.profiles(tmp_path / "run").values()) == list(finished.profiles)


def test_a_run_that_is_not_profiled_has_no_trace_of_it(tmp_path: Path) -> None:
    assert run(Recorders(), tmp_path / "run").profiles == ()
    assert sorted(os.listdir(tmp_path / "run")) == ["run.json", "samples.jsonl"]


def test_a_recorder_that_dies_costs_only_its_profile(tmp_path: Path) -> None:
    finished = run(Recorders(dies=lambda case: case.setting.shape.seq_len == 32), tmp_path / "run", profile=True)
    assert [each.status for each in finished.profiles].count(Status.CRASHED) == 3
    assert [each.status for each in finished.profiles].count(Status.PASSED) == 6
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.OK
    assert exit_code.of((*finished.rows, *finished.profiles), out_of_time=False) == exit_code.NOT_PASSED


def test_no_case_is_profiled_once_the_time_of_the_suite_is_spent(tmp_path: Path) -> None:
    machine = Recorders()
    machine.request_s = 40
    finished = run(machine, tmp_path / "run", profile=True)
    assert finished.out_of_time
    assert {each.status for each in finished.profiles} == {Status.PASSED, Status.SKIPPED}


# Reports


def test_a_profiled_run_is_drawn(tmp_path: Path) -> None:
    folder = written(tmp_path, rows.QUICK, made)
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    drawn = [f"{name}.{kind}" for name in ("profile", "profile_memory") for kind in ("svg", "png")]
    assert sorted(os.listdir(folder / "figures")) == sorted([*FILES, *drawn])
    bars = words(folder / "figures" / "profile.svg")
    assert bars.count("1.0 ms") == 48, "a bar a case"
    for name in (
        "bmm",
        "_softmax",
        "small_0",
        "other operators",
        OUTSIDE,
        "bigbird(block=32)/blockwise",
        "not a result",
    ):
        assert name in bars
    held = words(folder / "figures" / "profile_memory.svg")
    assert held.count("peak 12.0 KiB") == 12, "a panel a series and direction"
    assert "### training, float32, cpu: operators at N = 2048" in text
    assert "| full/sdpa | bmm 50% | \\_softmax 30% | small_0 1% | 10% | 13 |" in text
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run_report.write(load(folder))
    assert {path: path.read_bytes() for path in first} == first


def test_the_operators_of_every_case_are_in_the_table(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, rows.LOCAL), (512, 1024))
    folder = written(tmp_path, plan, made)
    run_report.write(load(folder))
    table = pd.read_csv(folder / "operators.csv")
    assert tuple(table.columns) == profile.COLUMNS
    assert len(table) == 4 * 13
    assert table.groupby("case").share.sum().tolist() == pytest.approx([1.0] * 4)
    assert table.self_cuda_ns.isna().all()
    bmm = table[table.operator == "aten::bmm"]
    assert (bmm.share == 0.5).all()
    assert "| aten::bmm | 2 | 500 µs | 50.0% | 4.00 KiB |" in (folder / "operators.md").read_text()


def test_on_cuda_the_time_of_kernels_counts(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), devices=("cuda",), dtype="bfloat16")
    folder = written(tmp_path, plan, lambda case: made(case, cuda=True))
    run_report.write(load(folder))
    table = pd.read_csv(folder / "operators.csv")
    assert table.operator.iloc[0] == "aten::_softmax"
    assert table.share.iloc[0] == 0.75
    assert "| aten::\\_softmax | 1 | 300 µs | 300 µs | 75.0% | 8.00 KiB |" in (folder / "operators.md").read_text()
    assert "Shares of CUDA time" in words(folder / "figures" / "profile.svg")
    assert "400 µs" in words(folder / "figures" / "profile.svg")


def test_what_could_not_be_profiled_is_told(tmp_path: Path) -> None:
    def failing(case: Case) -> Profile:
        return Profile(case.key, Status.CRASHED, "gone | away", case.title)

    plan = rows.Plan((rows.FULL, rows.LOCAL), (512,))
    folder = written(tmp_path, plan, failing)
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    assert "- full/sdpa N=512 float32 cpu forward: crashed, gone \\| away" in text
    assert "Nothing to draw: no case was profiled." in words(folder / "figures" / "profile.svg")
    assert "Nothing to draw: no case was profiled." in words(folder / "figures" / "profile_memory.svg")


def test_lengths_are_thinned_where_bars_are_many(tmp_path: Path) -> None:
    series = tuple(replace(rows.LOCAL, parameters={"window": w}) for w in range(3, 41, 2))
    folder = written(tmp_path, rows.Plan((rows.FULL, *series), (256, 512, 1024, 2048, 4096, 8192)), made)
    saving.save({"it": lambda: profile_figure.draw(load(folder))}, tmp_path)
    bars = words(tmp_path / "figures" / "it.svg")
    assert bars.count("1.0 ms") == 2 * 20
    assert "8K" in bars
    assert "4K" not in bars


def test_a_broken_row_is_one_clear_error(tmp_path: Path) -> None:
    folder = written(tmp_path, rows.Plan((rows.FULL,), (512,)), made)
    whole = (folder / "profile.jsonl").read_text()
    (folder / "profile.jsonl").write_text(whole + whole[:50])
    assert len(reading.profiles(folder)) == 1, "a last line cut short is left out"
    key = json.loads(whole)["case"]
    for broken in (
        "[]",
        "{}",
        "what",
        whole.replace('"operators": [', '"operators": 3, "x": ['),
        whole.replace(key, "../x"),
    ):
        (folder / "profile.jsonl").write_text(broken.rstrip() + "\n" + whole)
        with pytest.raises(RunError, match=r"profile\.jsonl:1: .*expected .*, found"):
            run_report.write(load(folder))
    assert reading.profiles(tmp_path / "none") == {}


# For real


@pytest.mark.slow
def test_a_run_is_profiled_and_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITE.replace("[eager, sdpa, sdpa_masked]", "sdpa").replace("[forward, training]", "training")
    (tmp_path / "tiny.yaml").write_text(suite)
    done = bench("run", "tiny.yaml", "--profile", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    more = ["operators.csv", "operators.md", "profile.jsonl", "traces"]
    assert sorted(os.listdir(out)) == sorted([*RUN_FILES, *more])
    assert set(RUN_FIGURES) < set(os.listdir(out / "figures"))
    profiles = reading.profiles(out)
    assert len(profiles) == 4
    assert sorted(os.listdir(out / "traces")) == sorted(f"{key}.json.gz" for key in profiles)
    for key, found in profiles.items():
        check_trace(out / "traces" / f"{key}.json.gz", found.calls)
    assert done.stderr.count("] profiled ") == 4
    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".csv", ".md", ".svg")}
    monkeypatch.chdir(tmp_path)
    assert commands.bench("report", "out")[0] == 0
    assert {path: path.read_bytes() for path in before} == before


def test_one_case_is_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    done = bench("profile", "tiny.yaml", "local 128 training", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    ((key, found),) = reading.profiles(out).items()
    assert found.title == "local_window(window=17)/native N=128 float32 cpu training"
    assert sorted(os.listdir(out)) == ["figures", "operators.csv", "operators.md", "profile.jsonl", "traces"]
    assert sorted(os.listdir(out / "figures")) == [f"memory_{key}.png", f"memory_{key}.svg"]
    assert "Largest allocations" in words(out / "figures" / f"memory_{key}.svg")
    assert "profile: out/operators.md" in done.stdout
    assert "self CPU time" in done.stdout
    page_text = (out / "operators.md").read_text()
    assert (out / f"traces/{key}.json.gz").is_file()
    assert f"](traces/{key}.json.gz)" in page_text
    (out / "operators.md").unlink()
    monkeypatch.chdir(tmp_path)
    assert commands.bench("report", "out")[0] == 0
    assert (out / "operators.md").read_text() == page_text


def test_a_case_that_does_not_pass_is_not_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.yaml").write_text(SUITE.replace("  - local_window: {window: 17}", "  - wrong"))
    done = bench("profile", "bad.yaml", "wrong 61 forward", "--variants", HERE / "variants", "--out", "a", cwd=tmp_path)
    assert done.returncode == 3
    assert "wrong: output differs from the oracle" in done.stderr
    monkeypatch.chdir(tmp_path)
    with forgotten():
        code, said = commands.bench("profile", "bad.yaml", "full", "--variants", HERE / "variants", "--out", "b")
    assert code == 2
    assert "expected the key of one case" in said
    assert not (tmp_path / "b").exists()
