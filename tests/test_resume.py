"""A run that goes on: what is there is kept, what is not is measured, once."""

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rows
from click.testing import CliRunner
from test_engine import SUITE, Answer, FakeWorker, Machine, passed
from test_run import bench

from attnbench.reports.compare.between_runs import compare
from attnbench.reports.data.reading import RunError, read
from attnbench.reports.findings import growth
from attnbench.reports.findings.run import Run, load
from attnbench.reports.pages import run_report
from attnbench.runner.cli import exit_code, main
from attnbench.runner.execution import engine, journal
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.execution.task import Finished
from attnbench.runner.workers.worker import NotStarted, WorkerEnded
from attnbench.suites import Case, Probe, Sample, Status
from attnbench.suites.profile import Profile
from attnbench.suites.schema.load import parse
from attnbench.suites.selection import Narrowing

REQUESTS = 1 + 9 + 3 * 3
"""Of a run of `SUITE`: for the environment, a probe each of nine cases, three groups in three replicates."""


class Stopping(Machine):
    """A machine that is interrupted at its request number `stop_at`, from 0."""

    def __init__(self, stop_at: int = REQUESTS, answer: Answer = passed) -> None:
        super().__init__(answer)
        self.stop_at = stop_at
        self.seeds: list[str] = []

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return StoppingWorker(self)


class StoppingWorker(FakeWorker):
    """A worker of a `Stopping`."""

    def __init__(self, machine: Stopping) -> None:
        super().__init__(machine)
        self.stopping = machine

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        if self.stopping.stop_at == 0:
            raise KeyboardInterrupt
        self.stopping.stop_at -= 1
        if request["do"] == "time":
            self.stopping.seeds.append(request["seed"])
        if request["do"] == "profile":
            case = Case.from_json(request["case"])
            return Profile(case.key, Status.PASSED, "", case.title).to_json()
        return super().ask(request, patience_s)


def run(machine: Machine, folder: Path, text: str = SUITE, **options: Any) -> Finished:
    suite = parse(text, "tiny.yaml")
    return engine.run(suite, folder, Quiet(), executor=Local(machine.start, machine.now), **options)


def resume(machine: Machine, folder: Path, **options: Any) -> Finished:
    return engine.resume(folder, Quiet(), executor=Local(machine.start, machine.now), **options)


def stopped(folder: Path, at: int, text: str = SUITE, **options: Any) -> Stopping:
    """A run that was interrupted at a request."""
    machine = Stopping(at)
    with pytest.raises(KeyboardInterrupt):
        run(machine, folder, text, **options)
    return machine


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def units(folder: Path) -> list[tuple[str, int | None]]:
    """Every finished unit that was written down: a case, and its replicate if it was timed."""
    return sorted((row["case"], row.get("replicate", -1)) for row in lines(folder))


def meta(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return told


def change(folder: Path, **facts: Any) -> None:
    """Have run.json tell something else."""
    (folder / "run.json").write_text(json.dumps(meta(folder) | facts))


def unescaped(run: Run) -> str:
    """The report of a run as one reads it."""
    return run_report.report(run, "").replace("\\", "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stopping]:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    machine = Stopping()
    run(machine, folder)
    assert machine.stop_at == 0, "REQUESTS are all"
    return folder, machine


@pytest.mark.parametrize("stop_at", range(1, REQUESTS))
def test_a_run_that_was_stopped_anywhere_becomes_what_it_would_have_been(
    tmp_path: Path, whole: tuple[Path, Stopping], stop_at: int
) -> None:
    folder, machine = whole
    first = stopped(tmp_path / "run", stop_at)
    second = Stopping()
    finished = resume(second, tmp_path / "run")
    assert units(tmp_path / "run") == units(folder), "each unit once"
    assert first.timed + second.timed == machine.timed, "the same groups in the same order"
    assert first.seeds + second.seeds == machine.seeds
    assert exit_code.of(finished.rows, out_of_time=finished.out_of_time) == exit_code.OK
    probes = [replace(row, part=0).to_json() for row in finished.rows if isinstance(row, Probe)]
    assert json.loads(json.dumps(probes)) == [row for row in lines(folder) if row["kind"] == "probe"]
    assert len(finished.rows) == len(lines(folder))
    told = meta(tmp_path / "run")
    assert told["finished"] is not None
    assert len(told["resumed"]) == 1
    unchanged = ("seed", "budget_bytes", "suite", "source", "cases", "patterns", "command")
    assert all(told[name] == meta(folder)[name] for name in unchanged)


def test_a_run_can_be_stopped_again_and_again(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    stopped(tmp_path / "run", 2)
    parts = 0
    while True:
        parts += 1
        try:
            resume(Stopping(3), tmp_path / "run")
        except KeyboardInterrupt:
            continue
        break
    assert parts == REQUESTS // 2
    assert units(tmp_path / "run") == units(whole[0])
    assert len(meta(tmp_path / "run")["resumed"]) == parts


@pytest.mark.parametrize("stop_at", [5, 12, 14])
@pytest.mark.parametrize("torn", ["", "{", '{"kind":"sample","case":"', "\x00\x00", "3}", "ä"])
def test_a_row_that_was_cut_short_is_cut_off(
    tmp_path: Path, whole: tuple[Path, Stopping], stop_at: int, torn: str
) -> None:
    stopped(tmp_path / "run", stop_at)
    with (tmp_path / "run" / "samples.jsonl").open("ab") as file:
        file.write(torn.encode()[:-1] if torn == "ä" else torn.encode())
    before = read(tmp_path / "run")
    resume(Machine(), tmp_path / "run")
    assert units(tmp_path / "run") == units(whole[0])
    after = read(tmp_path / "run")
    assert all(after.probes[key] == probe for key, probe in before.probes.items())


def test_a_row_that_lacks_only_its_end_is_kept(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    stopped(tmp_path / "run", 12)
    path = tmp_path / "run" / "samples.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.rstrip(b"\n"))
    resume(Machine(), tmp_path / "run")
    assert path.read_bytes().startswith(content)
    assert units(tmp_path / "run") == units(whole[0])


def test_a_group_that_was_torn_apart_is_completed(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    stopped(tmp_path / "run", 13)
    path = tmp_path / "run" / "samples.jsonl"
    kept = path.read_text().splitlines()[:-2]
    path.write_text("\n".join(kept) + "\n")
    machine = Machine()
    resume(machine, tmp_path / "run")
    assert units(tmp_path / "run") == units(whole[0])
    assert [len(keys) for _, keys in machine.timed] == [2] + [3] * 6, "its other two, by themselves"
    orders = [row["order"] for row in lines(tmp_path / "run") if row.get("replicate") == 0]
    assert sorted(orders) == list(range(9))


def test_a_finished_run_has_nothing_left_to_measure(tmp_path: Path) -> None:
    run(Machine(), tmp_path / "run")
    before = (tmp_path / "run" / "samples.jsonl").read_bytes()
    machine = Machine()
    finished = resume(machine, tmp_path / "run")
    assert machine.started == ["forkserver"], "for the environment alone"
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == before
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.OK


def test_more_processes_are_more_of_the_same(tmp_path: Path) -> None:
    """Five seconds a call: three processes have two values each; of twenty from the start, each would have one."""

    def slow(case: Case) -> Probe:
        return replace(passed(case), call_ns=5e9)

    run(Machine(slow), tmp_path / "run")
    machine = Machine(slow)
    resume(machine, tmp_path / "run", processes=20)
    samples = [row for row in lines(tmp_path / "run") if row["kind"] == "sample"]
    assert {len(row["values_ns"]) for row in samples} == {2}
    assert {row["replicate"] for row in samples} == set(range(20))
    assert {replicate for replicate, _ in machine.timed} == set(range(3, 20))
    assert meta(tmp_path / "run")["resumed"][0]["processes"] == 20
    again = Machine(slow)
    resume(again, tmp_path / "run")
    assert again.timed == [], "twenty they stay"
    resume(again, tmp_path / "run", processes=21)
    assert {replicate for replicate, _ in again.timed} == {20}


def test_fewer_processes_than_were_begun_are_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 1 + 9 + 3 + 1)
    with pytest.raises(FolderError, match="expected at least the 2 processes that it has, found 1$"):
        resume(Machine(), tmp_path / "run", processes=1)
    resume(Machine(), tmp_path / "run", processes=2)
    assert {row.get("replicate", 0) for row in lines(tmp_path / "run")} == {0, 1}


def test_what_there_was_no_time_for_is_measured(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    machine = Machine()
    machine.request_s = 200
    assert run(machine, tmp_path / "run").out_of_time
    skipped = [row for row in lines(tmp_path / "run") if row["status"] == "skipped"]
    assert len(skipped) == 4
    finished = resume(Machine(), tmp_path / "run")
    assert not finished.out_of_time
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.OK
    done = [row for row in lines(tmp_path / "run") if row["status"] != "skipped"]
    assert sorted((row["case"], row.get("replicate", -1)) for row in done) == units(whole[0])
    assert set(load(tmp_path / "run").frame["status"]) == {"passed"}


def test_each_part_has_the_whole_time_of_the_suite(tmp_path: Path) -> None:
    machine = Machine()
    machine.request_s = 180
    assert run(machine, tmp_path / "run").out_of_time
    assert resume(machine, tmp_path / "run").out_of_time
    assert not resume(machine, tmp_path / "run").out_of_time


def test_a_case_that_failed_once_is_not_timed_again(tmp_path: Path) -> None:
    killer = Machine(kills=lambda case: case.implementation == "eager" and case.setting.shape.seq_len == 32)
    run(killer, tmp_path / "run")
    before = lines(tmp_path / "run")
    (bad,) = [row for row in before if row["status"] == "crashed"]
    finished = resume(Machine(), tmp_path / "run", processes=4)
    more = lines(tmp_path / "run")[len(before) :]
    assert len(more) == 8
    assert bad["case"] not in {row["case"] for row in more}
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOT_PASSED


def test_what_did_not_fit_is_still_known(tmp_path: Path) -> None:
    def answer(case: Case) -> Probe:
        unfit = case.implementation == "eager" and case.setting.shape.seq_len == 32
        return Probe(case.key, Status.TIMED_OUT, "too slow") if unfit else passed(case)

    with pytest.raises(KeyboardInterrupt):
        run(Stopping(1 + 6, answer), tmp_path / "run")
    resume(Machine(), tmp_path / "run")
    (skipped,) = [row for row in lines(tmp_path / "run") if row["status"] == "skipped"]
    assert skipped["reason"] == "N=32 ended timed_out"


def test_a_run_that_was_to_be_profiled_is(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(REQUESTS + 4), tmp_path / "run", profile=True)
    path = tmp_path / "run" / "profile.jsonl"
    path.write_text(path.read_text() + '{"kind":"prof')
    resume(Stopping(6), tmp_path / "run")
    profiled = [json.loads(line)["case"] for line in path.read_text().splitlines()]
    assert len(profiled) == len(set(profiled)) == 9


def test_a_narrowed_run_stays_narrowed_and_can_be_narrowed_further(tmp_path: Path) -> None:
    suite = parse(SUITE, "tiny.yaml")
    chosen = Narrowing(variant=("full",)).of(suite.cases())
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(3), tmp_path / "run", cases=chosen)
    resume(Machine(), tmp_path / "run", narrow=Narrowing(seq_len=(64,)).of)
    told = {row["case"] for row in lines(tmp_path / "run") if row["kind"] == "sample"}
    assert told == {case.key for case in chosen if case.setting.shape.seq_len == 64}
    resume(Machine(), tmp_path / "run", suite=suite)
    assert units(tmp_path / "run") == sorted((case.key, at) for case in chosen for at in range(-1, 3))


def test_what_was_timed_in_different_parts_is_not_compared(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 1 + 9)
    resume(Machine(), tmp_path / "run", narrow=Narrowing(variant=("full",)).of)
    resume(Machine(), tmp_path / "run")
    parts = {(row["replicate"], row["part"]) for row in lines(tmp_path / "run") if row["kind"] == "sample"}
    assert parts == {(replicate, part) for replicate in range(3) for part in (1, 2)}
    table = load(tmp_path / "run").frame
    assert set(table["processes"]) == {3}
    assert set(table.loc[table["speedup"].isna(), "variant"]) == {"local_window"}
    assert set(table.loc[table["speedup"].notna(), "variant"]) == {"full"}


def test_a_run_that_was_not_stopped_has_one_part(whole: tuple[Path, Stopping]) -> None:
    assert {row["part"] for row in lines(whole[0]) if row["kind"] == "sample"} == {0}


# What is refused


@pytest.mark.parametrize("anyway", [False, True])
def test_another_seed_is_refused_even_with_anyway(tmp_path: Path, anyway: bool) -> None:
    stopped(tmp_path / "run", 5, SUITE + "seed: 3\n")
    assert meta(tmp_path / "run")["seed"] == 3
    other = parse(SUITE.replace("values: 2", "values: 3") + "seed: 4\n")
    with pytest.raises(FolderError) as error:
        resume(Machine(), tmp_path / "run", suite=other, anyway=anyway)
    assert str(error.value).splitlines() == [
        f"{tmp_path / 'run'}: expected the seed and the inputs that the run began with, found others; begin a new run:",
        "  suite.seed: 3 in the run, 4 now",
    ]
    machine = Stopping()
    resume(machine, tmp_path / "run")
    assert machine.seeds
    assert all(each.startswith("3:") for each in machine.seeds)


def test_another_suite_is_refused_with_the_difference(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 5)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    other = parse(SUITE.replace("values: 2", "values: 3").replace("[16, 32, 64]", "[16, 32]"), "tiny.yaml")
    with pytest.raises(FolderError) as error:
        resume(Machine(), tmp_path / "run", suite=other)
    assert str(error.value).splitlines() == [
        f"{tmp_path / 'run'}: expected the suite, machine and version that the run began with, found others; "
        "begin a new run, or go on with --anyway:",
        "  suite.shape.seq_len: [16, 32, 64] in the run, [16, 32] now",
        "  suite.measure.values: 2 in the run, 3 now",
    ]
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_the_same_suite_in_other_words_is_the_same(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    stopped(tmp_path / "run", 5)
    text = "# A remark.\n" + SUITE.replace("processes: 3", "processes: 9").replace("budget: {case_s: 60, ", "budget: {")
    resume(Machine(), tmp_path / "run", suite=parse(text, "tiny.yaml"))
    assert units(tmp_path / "run") == units(whole[0]), "as many processes as it began with"


@pytest.mark.parametrize(
    ("name", "was"), [("cpu", "another"), ("torch", "2.0"), ("memory_bytes", 2**20), ("commit", "0123456789ab")]
)
def test_another_machine_is_refused_unless_told_otherwise(tmp_path: Path, name: str, was: Any) -> None:
    stopped(tmp_path / "run", 5)
    change(tmp_path / "run", environment=meta(tmp_path / "run")["environment"] | {name: was})
    told = "memory_gib" if name == "memory_bytes" else name
    with pytest.raises(FolderError, match=f"\n  environment.{told}: .* in the run, .* now$"):
        resume(Machine(), tmp_path / "run")
    resume(Machine(), tmp_path / "run", anyway=True)
    (part,) = meta(tmp_path / "run")["resumed"]
    assert list(part["changed"]) == [f"environment.{told}"]
    assert meta(tmp_path / "run")["environment"][name] == was, "what it began with"
    alike = load(tmp_path / "run")
    assert f": 3 processes in all. Changed since: environment.{told} was" in unescaped(alike)
    comparison = compare(alike, alike)
    assert list(comparison.differences) == [told], "a run of two machines is comparable with none"
    assert set(comparison.frame["verdict"]) == {"incomparable"}


def test_a_run_goes_on_with_another_suite_if_told_to(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 1 + 9 + 3)
    other = parse(SUITE.replace("[16, 32, 64]", "[32, 64, 128]").replace("values: 2", "values: 3"), "tiny.yaml")
    first = {(row["case"], row.get("replicate")) for row in lines(tmp_path / "run")}
    resume(Machine(), tmp_path / "run", suite=other, anyway=True)
    told = meta(tmp_path / "run")
    assert told["suite"]["shape"]["seq_len"] == [32, 64, 128]
    changed = [f"suite.shape.seq_len[{index}]" for index in range(3)]
    assert list(told["resumed"][0]["changed"]) == [*changed, "suite.measure.values"]
    journal = read(tmp_path / "run")
    lengths = [each.case.setting.shape.seq_len for each in journal.planned]
    assert lengths == [32] * 3 + [64] * 3 + [128] * 3 + [16] * 3, "what was measured stays"
    for each in journal.planned:
        done = [replicate for replicate in range(3) if (each.key, replicate) in first]
        wanted = [0, 1, 2] if each.case.setting.shape.seq_len > 16 else done
        assert sorted(journal.samples.get(each.key, {})) == wanted
        for replicate, sample in journal.samples.get(each.key, {}).items():
            assert len(sample.values_ns) == (2 if replicate in done else 3)
    assert "Changed since: suite.shape.seq_len[0] was 16, then 32;" in unescaped(load(tmp_path / "run"))


def test_another_suite_that_is_narrowed_keeps_its_other_cases_for_another_time(tmp_path: Path) -> None:
    run(Machine(), tmp_path / "run")
    other = parse(SUITE.replace("values: 2", "values: 3").replace("[16, 32, 64]", "[16, 128, 256]"), "tiny.yaml")
    resume(Machine(), tmp_path / "run", suite=other, anyway=True, narrow=Narrowing(seq_len=(128,)).of)
    assert {each.case.setting.shape.seq_len for each in read(tmp_path / "run").planned} == {16, 32, 64, 128, 256}
    resume(Machine(), tmp_path / "run")
    assert set(load(tmp_path / "run").frame["status"]) == {"passed"}


# A suite that grew

LONGER = SUITE.replace("[16, 32, 64]", "[16, 32, 64, 128]")
WIDER = SUITE.replace("{window: 3}", "{window: [3, 5]}")
BOTH = WIDER.replace("[16, 32, 64]", "[16, 32, 64, 128]")


class Timing(Stopping):
    """A machine whose calls take `call_ns`, and each variant so many times as long as its name has letters."""

    def __init__(self, stop_at: int = 10**6, call_ns: float = 1e6) -> None:
        super().__init__(stop_at)
        self.call_ns = call_ns

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return TimingWorker(self)


class TimingWorker(StoppingWorker):
    """A worker of a `Timing`."""

    def __init__(self, machine: Timing) -> None:
        super().__init__(machine)
        self.timing = machine

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        reply = super().ask(request, patience_s)
        if request["do"] != "time":
            return reply
        for each, sample in zip(request["cases"], reply, strict=True):
            size = len(each["case"]["variant"]) * (1 + 0.01 * request["replicate"])
            sample["values_ns"] = [self.timing.call_ns * size for _ in sample["values_ns"]]
        return reply


def samples(folder: Path, *, again: bool) -> list[dict[str, Any]]:
    return [row for row in lines(folder) if row["kind"] == "sample" and row["again"] is again]


def own(folder: Path) -> list[tuple[str, int | None]]:
    """Units but for those of baselines that were timed again."""
    return sorted((row["case"], row.get("replicate", -1)) for row in lines(folder) if not row.get("again"))


def every(text: str, processes: int = 3) -> list[tuple[str, int]]:
    """The units of a whole run."""
    return sorted((case.key, at) for case in parse(text).cases() for at in range(-1, processes))


def test_a_length_that_was_added_is_measured_and_nothing_else(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run", command=["bench", "run", "tiny.yaml"])
    before, finished = (tmp_path / "run" / "samples.jsonl").read_bytes(), meta(tmp_path / "run")["finished"]
    machine = Timing(1 + 3 + 3)
    resume(machine, tmp_path / "run", suite=parse(LONGER, "tiny.yaml"), command=["bench", "run", "--resume"])
    assert (machine.stop_at, [len(keys) for _, keys in machine.timed]) == (0, [3, 3, 3]), "all of the new group"
    assert (tmp_path / "run" / "samples.jsonl").read_bytes().startswith(before)
    assert own(tmp_path / "run") == every(LONGER)
    assert samples(tmp_path / "run", again=True) == [], "the group has its baseline"
    told = load(tmp_path / "run")
    assert told.frame["case"].tolist() == [case.key for case in parse(LONGER).cases()]
    assert told.frame["parts"].tolist() == ["0"] * 9 + ["1"] * 3
    assert told.frame["speedup"].notna().all()
    assert meta(tmp_path / "run")["format"] == 1
    assert [part.command for part in told.parts] == ["bench run tiny.yaml", "bench run --resume"]
    local = told.scaling[told.scaling["label"].str.startswith("local_window")].iloc[0]
    assert (local["crossover"], local["compared_from"], local["compared_to"]) == ("never", 16, 128)
    assert (local["fitted_to"], local["growth_reason"]) == (64, growth.OTHERS_APART), "no process has all lengths"
    assert [part.finished for part in told.parts] == [finished, told.meta["finished"]]
    assert "bench run tiny.yaml\nbench run --resume\n" in run_report.report(told, "")
    assert "Changed since: suite.shape.seq_len: added 128." in unescaped(told)


def test_a_variant_that_was_added_is_measured_beside_its_baseline(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    before = load(tmp_path / "run")
    machine = Timing(call_ns=7e6)
    resume(machine, tmp_path / "run", suite=parse(WIDER, "tiny.yaml"))
    assert [len(keys) for _, keys in machine.timed] == [2] * 9, "the added case and full/sdpa"
    assert own(tmp_path / "run") == every(WIDER)
    repeated = samples(tmp_path / "run", again=True)
    baselines = {case.key for case in parse(SUITE).cases() if case.implementation == "sdpa"}
    assert sorted((row["case"], row["replicate"]) for row in repeated) == sorted(
        (key, replicate) for key in baselines for replicate in range(3)
    )
    assert {row["part"] for row in repeated} == {1}
    after = load(tmp_path / "run")
    old = after.frame[after.frame["case"].isin(before.frame["case"])]
    columns = [name for name in old.columns if name != "processes_for_1_percent"]
    assert old[columns].reset_index(drop=True).equals(before.frame[columns]), "what was there keeps its numbers"
    new = after.frame[~after.frame["case"].isin(before.frame["case"])]
    assert len(new) == 3
    assert new["speedup"].tolist() == pytest.approx([len("full") / len("local_window")] * 3), "within its part"
    assert set(new["processes"]) == {3}
    assert set(new["parts"]) == {"1"}
    local = after.scaling[after.scaling["label"].str.startswith("local_window")]
    assert local["crossover"].tolist() == ["never"] * 2, "the added one too"
    assert after.processes == tuple((replicate, part) for replicate in range(3) for part in range(2))
    assert meta(tmp_path / "run")["format"] == 2
    assert compare(after, after, across_machines=True).frame["verdict"].ne("error").all()


def test_a_suite_may_grow_again(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    resume(Timing(), tmp_path / "run", suite=parse(WIDER, "tiny.yaml"))
    resume(Timing(), tmp_path / "run", suite=parse(WIDER.replace("[3, 5]", "[3, 5, 7]"), "tiny.yaml"))
    assert own(tmp_path / "run") == every(WIDER.replace("[3, 5]", "[3, 5, 7]"))
    parts = {(row["case"], row["replicate"], row["part"]) for row in samples(tmp_path / "run", again=True)}
    assert len(parts) == 3 * 3 * 2
    table = load(tmp_path / "run").frame
    assert table["parts"].value_counts().to_dict() == {"0": 9, "1": 3, "2": 3}
    assert table["speedup"].notna().all()
    machine = Timing()
    resume(machine, tmp_path / "run", suite=parse(WIDER.replace("[3, 5]", "[3, 5, 7]"), "tiny.yaml"))
    assert machine.timed == [], "nothing is left"
    resume(machine, tmp_path / "run", processes=4)
    assert [len(keys) for _, keys in machine.timed] == [5] * 3, "one process for all"
    assert len(samples(tmp_path / "run", again=True)) == 18


@pytest.mark.parametrize("stop_at", range(1, 1 + 7 + 3 * 4))
def test_a_run_that_grows_may_be_interrupted_anywhere(tmp_path: Path, stop_at: int) -> None:
    run(Timing(), tmp_path / "run")
    first = lines(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        resume(Timing(stop_at), tmp_path / "run", suite=parse(BOTH, "tiny.yaml"))
    load(tmp_path / "run")
    resume(Timing(), tmp_path / "run")
    assert lines(tmp_path / "run")[: len(first)] == first
    assert own(tmp_path / "run") == every(BOTH)
    told = [(row["case"], row["replicate"]) for row in samples(tmp_path / "run", again=True)]
    assert len(told) == len(set(told)) == 9
    table = load(tmp_path / "run").frame
    assert table["speedup"].notna().all()
    assert set(table["processes"]) == {3}


@pytest.mark.parametrize("torn", [1, 2])
def test_a_pair_that_was_torn_apart_is_measured_again_together(tmp_path: Path, torn: int) -> None:
    run(Timing(), tmp_path / "run")
    resume(Timing(), tmp_path / "run", suite=parse(WIDER, "tiny.yaml"))
    path = tmp_path / "run" / "samples.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-torn]))
    resume(Timing(), tmp_path / "run")
    assert own(tmp_path / "run") == every(WIDER)
    assert load(tmp_path / "run").frame["speedup"].notna().all()


def test_an_interrupted_run_may_grow(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 1 + 9 + 3 + 1)
    resume(Timing(), tmp_path / "run", suite=parse(BOTH, "tiny.yaml"))
    assert own(tmp_path / "run") == every(BOTH)
    table = load(tmp_path / "run").frame
    assert table["speedup"].notna().all()


def test_a_narrowed_run_grows_by_what_is_new(tmp_path: Path) -> None:
    chosen = Narrowing(seq_len=(16, 32)).of(parse(SUITE).cases())
    run(Timing(), tmp_path / "run", cases=chosen)
    machine = Timing()
    resume(machine, tmp_path / "run", suite=parse(BOTH, "tiny.yaml"))
    lengths = {case.key: case.setting.shape.seq_len for case in parse(BOTH).cases()}
    found = {lengths[key]: len(keys) for _, keys in machine.timed for key in keys}
    assert found == {16: 2, 32: 2, 64: 1, 128: 4}, "full/sdpa at 64 was left out by the first command"


def test_added_cases_that_are_narrowed_have_their_baselines_too(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    narrow = Narrowing(words="window=5").of
    machine = Timing()
    resume(machine, tmp_path / "run", suite=parse(WIDER, "tiny.yaml"), narrow=narrow)
    assert [len(keys) for _, keys in machine.timed] == [2] * 9
    assert load(tmp_path / "run").frame["speedup"].notna().all()


def test_a_baseline_that_dies_beside_an_added_case_keeps_its_numbers(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    before = load(tmp_path / "run").frame
    killer = Machine(kills=lambda case: case.implementation == "sdpa" and case.setting.shape.seq_len == 32)
    finished = resume(killer, tmp_path / "run", suite=parse(WIDER, "tiny.yaml"))
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOT_PASSED
    table = load(tmp_path / "run").frame.set_index("case")
    assert table.loc[before["case"], "time_ns"].tolist() == before["time_ns"].tolist()
    new = table.drop(index=before["case"].tolist())
    assert new["speedup"].isna().tolist() == [False, True, False]
    assert new["time_ns"].notna().all()


def test_a_suite_that_grew_and_changed_otherwise_is_refused(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    for text in (
        BOTH.replace("[16, 32, 64, 128]", "[32, 64, 128]"),
        BOTH.replace("values: 2", "values: 3"),
        BOTH.replace("suite_s: 1000", "suite_s: 900"),
        BOTH + "baseline: full/eager\n",
        BOTH.replace("tiny", "large"),
    ):
        with pytest.raises(FolderError, match="expected the suite, machine and version that the run began with"):
            resume(Timing(), tmp_path / "run", suite=parse(text, "tiny.yaml"))
    assert own(tmp_path / "run") == every(SUITE)


def test_a_suite_that_grew_on_another_machine_is_refused_for_the_machine_alone(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run")
    change(tmp_path / "run", environment=meta(tmp_path / "run")["environment"] | {"cpu": "another"})
    with pytest.raises(FolderError) as error:
        resume(Timing(), tmp_path / "run", suite=parse(BOTH, "tiny.yaml"))
    (line,) = str(error.value).splitlines()[1:]
    assert line.startswith("  environment.cpu: 'another' in the run, ")


def test_a_shard_does_not_grow(tmp_path: Path) -> None:
    run(Timing(), tmp_path / "run", shard="1/1")
    with pytest.raises(FolderError, match="because it is shard 1/1, found another; merge the shards first, or begin"):
        resume(Timing(), tmp_path / "run", suite=parse(BOTH, "tiny.yaml"))
    resume(Timing(), tmp_path / "run", suite=parse(SUITE, "tiny.yaml"))


# What is refused: folders


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 5)
    with journal.reopen(tmp_path / "run"):
        told = "expected no run under way in it, found one; wait for its end$"
        with pytest.raises(FolderError, match=told):
            resume(Machine(), tmp_path / "run")
        with pytest.raises(FolderError, match="expected a new or empty folder, found run.json in it"):
            run(Machine(), tmp_path / "run")
    resume(Machine(), tmp_path / "run")


def test_two_new_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with journal.Journal(tmp_path), pytest.raises(FolderError, match="found one; wait for its end$"):
        run(Machine(), tmp_path)
    run(Machine(), tmp_path)


def test_what_a_run_left_that_was_killed_before_its_beginning_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").touch()
    (tmp_path / "run.json.tmp").write_text('{"format"')
    with pytest.raises(
        FolderError, match=r"expected the folder of a run, found no run.json in it; begin one with --out"
    ):
        resume(Machine(), tmp_path)
    run(Machine(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "samples.jsonl"]


def test_rows_without_a_run_are_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("mine\n")
    with pytest.raises(FolderError, match="found samples.jsonl in it; name another"):
        run(Machine(), tmp_path)
    assert (tmp_path / "samples.jsonl").read_text() == "mine\n"


def cut(folder: Path) -> None:
    (folder / "run.json").write_text((folder / "run.json").read_text()[:300])


def spoil_a_row(folder: Path) -> None:
    path = folder / "samples.jsonl"
    path.write_text("rubbish\n" + path.read_text())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "run.json: expected JSON, found a mistake"),
        (spoil_a_row, "samples.jsonl:1: expected a row of JSON, found no valid JSON"),
        (lambda folder: change(folder, suite={"name": 3}), "run.json: suite.name: expected a suite that is valid here"),
        (lambda folder: change(folder, seed=None), "run.json: seed: expected an integer from 0"),
        (
            lambda folder: change(folder, budget_bytes="all"),
            'run.json: budget_bytes: expected an integer from 0 to 1152921504606846976, found "all"',
        ),
        (lambda folder: change(folder, budget_bytes=None), "run.json: budget_bytes: expected an integer, found none"),
        (
            lambda folder: change(folder, cases=[{"key": "x"}]),
            "run.json: cases[0]: variant: expected a value, found none",
        ),
        (
            lambda folder: change(folder, cases=[each | {"key": "x"} for each in meta(folder)["cases"][:1]]),
            "samples.jsonl:1: case: expected the key of a case of run.json, found",
        ),
        (lambda folder: change(folder, resumed=3), "run.json: resumed: expected a list, found 3"),
        (lambda folder: change(folder, resumed=[{}]), "run.json: resumed[0].started: expected a value, found none"),
        (lambda folder: (folder / "run.json").unlink(), "expected the folder of a run, found no run.json in it"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, spoil: Callable[[Path], Any], told: str) -> None:
    stopped(tmp_path / "run", 5)
    spoil(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    done = CliRunner().invoke(main, ["run", "--resume", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert told in done.output
    assert len(done.output.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_keys_of_another_version_are_refused(tmp_path: Path) -> None:
    rows.write(tmp_path, rows.QUICK)
    told = meta(tmp_path)
    told["cases"][0]["heads"] = 4
    told["cases"][0]["kv_heads"] = 4
    change(tmp_path, cases=told["cases"])
    with pytest.raises(RunError, match="run.json: expected the key .*, found .*; go on with its own version$"):
        resume(Machine(), tmp_path)


def test_variants_outside_the_package_are_asked_for(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 5)
    suite = meta(tmp_path / "run")["suite"] | {"variants": [{"mine": {}}]}
    change(tmp_path / "run", suite=suite)
    with pytest.raises(RunError, match="variants outside the package need --variants again"):
        resume(Machine(), tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected SUITE, or --resume RUN, found neither; name a suite"),
        (["--resume", "run", "--out", "out"], "expected one of --resume and --out, found both; leave one"),
        (["--resume", "run", "--dry-run"], "expected one of --resume and --dry-run, found both; leave one"),
        (["tiny.yaml", "--dry-run", "--profile"], "expected one of --dry-run and --profile, found both; leave one"),
        (["tiny.yaml", "--anyway"], "--anyway: expected --resume RUN beside it, found none; leave it out"),
    ],
)
def test_options_that_make_no_sense_together(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: {told}"


def test_the_command_line_hands_on_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def note(folder: Path, **named: Any) -> Finished:
        told.update(named, folder=folder)
        return Finished((), (), out_of_time=True)

    monkeypatch.setattr(engine, "resume", note)
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE)
    words = ["tiny.yaml", "--resume", "gone", "--anyway", "--rigorous", "--profile", "-k", "eager", "--quiet"]
    done = CliRunner().invoke(main, ["run", *words])
    assert (done.exit_code, done.output) == (124, "")
    assert told["folder"] == Path("gone")
    assert told["suite"].measure.processes == told["processes"] == 20
    assert told["anyway"]
    assert told["profile"]
    assert {case.implementation for case in told["narrow"](told["suite"].cases())} == {"eager"}


# Disks and workers that fail


def test_a_full_disk_is_one_line_and_what_was_finished_stays(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    """The system's limit on the length of files ends a write in the middle of a row, as a full disk does."""
    folder = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    probed = 0

    def answer(case: Case) -> Probe:
        nonlocal probed
        probed += 1
        if probed == 6:
            size = (folder / "samples.jsonl").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
        return passed(case)

    try:
        with pytest.raises(FolderError) as error:
            run(Machine(answer), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == (
        f"{folder / 'samples.jsonl'}: cannot be written: File too large; finished results are kept; "
        f"to continue: bench run --resume {folder}"
    )
    assert len((folder / "samples.jsonl").read_bytes().split(b"\n")[-1]) == 40, "a part of a row"
    assert len(read(folder).probes) == 5
    resume(Machine(), folder)
    assert units(folder) == units(whole[0])


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="expected a folder that can be written, found: Not a directory$"):
        run(Machine(), tmp_path / "file" / "run")
    stopped(tmp_path / "run", 5)

    def refuse(path: Path, mode: str = "r", **named: Any) -> Any:
        raise PermissionError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FolderError, match="samples.jsonl: cannot be written: Read-only file system$"):
        resume(Machine(), tmp_path / "run")


def test_a_run_that_cannot_be_told_finished_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(path))

    stopped(tmp_path / "run", 5)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(FolderError, match="run.json: cannot be written: No space left on device$"):
        resume(Machine(), tmp_path / "run")


class Rubbish(Machine):
    """A machine whose workers answer something else to what `bad` names."""

    def __init__(self, bad: str, reply: Any) -> None:
        super().__init__()
        self.bad, self.reply = bad, reply

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return RubbishWorker(self)


class RubbishWorker(FakeWorker):
    """A worker of a `Rubbish`."""

    def __init__(self, machine: Rubbish) -> None:
        super().__init__(machine)
        self.rubbish = machine

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        reply = super().ask(request, patience_s)
        return self.rubbish.reply if request["do"] == self.rubbish.bad else reply


RUBBISH = [None, 3, "no", [], [3], {}, {"kind": "probe"}, [{"case": "x", "status": "passed", "reason": ""}]]


@pytest.mark.parametrize("reply", RUBBISH)
def test_a_probe_that_is_rubbish_is_a_crash(tmp_path: Path, reply: Any) -> None:
    finished = run(Rubbish("probe", reply), tmp_path / "run")
    assert {(row.status, row.reason) for row in finished.rows} == {
        (Status.CRASHED, "its process sent rubbish instead of a reply")
    }


@pytest.mark.parametrize("reply", RUBBISH)
def test_samples_that_are_rubbish_are_crashes(tmp_path: Path, reply: Any) -> None:
    machine = Rubbish("time", reply)
    finished = run(machine, tmp_path / "run")
    samples = [row for row in finished.rows if isinstance(row, Sample)]
    assert [row.status for row in samples] == [Status.CRASHED] * 9
    assert machine.alive == 0


@pytest.mark.parametrize("reply", [None, 3, "no", [3]])
def test_an_environment_that_is_rubbish_ends_the_run(tmp_path: Path, reply: Any) -> None:
    with pytest.raises(WorkerEnded, match="rubbish"):
        run(Rubbish("environment", reply), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_finds_no_worker_at_first_ends_and_goes_on(tmp_path: Path, whole: tuple[Path, Stopping]) -> None:
    machine = Machine()
    machine.broken = {1, 2}
    with pytest.raises(NotStarted, match="while starting"):
        run(machine, tmp_path / "run")
    assert machine.alive == 0
    assert lines(tmp_path / "run") == []
    resume(Machine(), tmp_path / "run")
    assert units(tmp_path / "run") == units(whole[0])


@pytest.mark.parametrize("first", [4, 10, 12], ids=["probe", "first replicate", "last replicate"])
def test_a_case_that_finds_no_worker_is_told_and_measured_when_the_run_goes_on(
    tmp_path: Path, whole: tuple[Path, Stopping], first: int
) -> None:
    """Two in a row that cannot be started; the others are measured."""
    machine = Machine()
    machine.broken = {first, first + 1}
    finished = run(machine, tmp_path / "run")
    assert machine.alive == 0
    (struck,) = [row for row in finished.rows if row.status is not Status.PASSED]
    assert struck.status is Status.FAILED
    assert struck.reason == "no worker could be started: no result within 120 s, while starting"
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOT_PASSED
    before = (tmp_path / "run" / "samples.jsonl").read_bytes()
    assert {row.status for row in resume(Machine(), tmp_path / "run").rows} == {Status.PASSED}
    assert (tmp_path / "run" / "samples.jsonl").read_bytes().startswith(before)
    again = struck.case, struck.replicate if isinstance(struck, Sample) else -1
    assert units(tmp_path / "run") == sorted([*units(whole[0]), again])
    assert set(load(tmp_path / "run").frame["status"]) == {"passed"}


def test_a_profile_that_finds_no_worker_is_made_when_the_run_goes_on(tmp_path: Path) -> None:
    machine = Stopping(REQUESTS + 9)
    machine.broken = {1 + 9 + 3, 1 + 9 + 3 + 1}
    finished = run(machine, tmp_path / "run", profile=True)
    assert sorted(each.status for each in finished.profiles) == ["failed", *["passed"] * 8]
    resumed = resume(Stopping(2), tmp_path / "run")
    assert {each.status for each in resumed.profiles} == {Status.PASSED}


# For real


@pytest.mark.slow
def test_a_real_run_gets_another_process(tmp_path: Path) -> None:
    text = SUITE.replace("[16, 32, 64]", "16").replace(
        "processes: 3, values: 2, value_ms: 10", "processes: 1, value_ms: 1"
    )
    (tmp_path / "tiny.yaml").write_text(text)
    assert bench("run", "tiny.yaml", "--out", "out", "--quiet", cwd=tmp_path).returncode == 0
    before = (tmp_path / "out" / "samples.jsonl").read_bytes()
    done = bench("run", "--resume", "out", "--processes", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumes: 3 probes and 3 samples exist" in done.stderr
    assert "passed" not in done.stderr, "nothing was probed"
    assert (tmp_path / "out" / "samples.jsonl").read_bytes().startswith(before)
    assert [at for _, at in units(tmp_path / "out")] == [-1, 0, 1] * 3
    assert ": 2 processes in all." in (tmp_path / "out" / "report.md").read_text()
