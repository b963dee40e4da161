"""Rules of a run, with workers that are told what to answer and a clock that does not tick by itself."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnbench.reports.findings.run import load
from attnbench.runner.cli import exit_code
from attnbench.runner.execution import engine
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Plain, Progress, Quiet
from attnbench.runner.execution.task import Finished
from attnbench.runner.machine.doctor.machine import here
from attnbench.runner.workers.prober import Prober
from attnbench.runner.workers.worker import NotStarted, WorkerEnded
from attnbench.suites import Case, Probe, Result, Sample, Status
from attnbench.suites.schema.limits import Budget
from attnbench.suites.schema.load import parse
from attnbench.suites.schema.suite import Suite

SUITE = """
name: tiny
question: Does the engine keep its rules?
shape: {batch: 1, heads: 1, head_dim: 8, seq_len: [16, 32, 64]}
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: 3}
measure: {processes: 3, values: 2, value_ms: 10}
budget: {case_s: 60, suite_s: 1000, memory: 1GiB}
"""

Answer = Callable[[Case], Probe]


def passed(case: Case) -> Probe:
    return Probe(case.key, Status.PASSED, "", call_ns=5e6, peak_bytes=1)


class Machine:
    """A machine whose workers answer at once: `answer` for probes, a time of 5 ms for values.

    `kills` names the cases that kill a timing worker, `crowded` those that have no room there beside others. Each
    request moves the clock by `request_s`.
    """

    def __init__(
        self,
        answer: Answer = passed,
        kills: Callable[[Case], bool] = lambda case: False,
        crowded: Callable[[Case], bool] = lambda case: False,
    ) -> None:
        self.answer = answer
        self.kills = kills
        self.crowded = crowded
        self.request_s = 0.0
        self.clock_s = 0.0
        self.started: list[str] = []
        self.alive = 0
        self.free_bytes: int | None = None
        self.budgets: set[int] = set()
        self.timed: list[tuple[int, list[str]]] = []
        self.broken: set[int] = set()
        """Which of the workers that are started, from 0, are never ready."""

    def now(self) -> float:
        return self.clock_s

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> "FakeWorker":
        del budget_bytes, folders
        self.started.append(kind)
        self.alive += 1
        return FakeWorker(self)


class FakeWorker:
    """A worker of a `Machine`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.number = len(machine.started) - 1

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.machine.alive -= 1

    def wait(self) -> None:
        """It is ready at once, or never."""
        if self.number in self.machine.broken:
            raise NotStarted("no result within 120 s, while starting")

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        assert patience_s == 60
        request = json.loads(json.dumps(request))
        self.machine.clock_s += self.machine.request_s
        if request["do"] == "environment":
            return {"torch": "none"}
        if request["do"] == "free_bytes":
            return self.machine.free_bytes
        if request["do"] == "probe":
            self.machine.budgets.add(request["budget_bytes"])
            return self.machine.answer(Case.from_json(request["case"])).to_json()
        cases = [Case.from_json(each["case"]) for each in request["cases"]]
        self.machine.timed.append((request["replicate"], [case.key for case in cases]))
        for index, case in enumerate(cases):
            if self.machine.kills(case):
                raise WorkerEnded(Status.CRASHED, "its process was killed by SIGSEGV", index)
        plan = request["cases"][0]["plan"]
        values = (5e6,) * plan["values"]
        replicate = request["replicate"]

        def sample(case: Case) -> Sample:
            if len(cases) > 1 and self.machine.crowded(case):
                return Sample(case.key, Status.OUT_OF_MEMORY, "MemoryError", replicate=replicate)
            return Sample(case.key, Status.PASSED, "", replicate=replicate, calls=plan["calls"], values_ns=values)

        return [sample(case).to_json() for case in cases]


class Counting(Quiet):
    """Counts the replicates that are told to be over."""

    def __init__(self) -> None:
        self.over: list[int] = []

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        self.over.append(done)


def run(machine: Machine, folder: Path, suite: Suite | None = None, progress: Progress | None = None) -> Finished:
    suite = suite or parse(SUITE, "tiny.yaml")
    return engine.run(suite, folder, progress or Quiet(), executor=Local(machine.start, machine.now))


def statuses(rows: tuple[Result, ...], variant: str, implementation: str) -> list[Status]:
    """Of the probes of an implementation, by length."""
    cases = parse(SUITE, "tiny.yaml").cases()
    keys = {case.key: case for case in cases if (case.mechanism.name, case.implementation) == (variant, implementation)}
    probes = [row for row in rows if isinstance(row, Probe) and row.case in keys]
    return [row.status for row in sorted(probes, key=lambda row: keys[row.case].setting.shape.seq_len)]


def test_every_case_is_probed_once_and_timed_in_every_process(tmp_path: Path) -> None:
    machine = Machine()
    finished = run(machine, tmp_path / "run")
    probes = [row.case for row in finished.rows if isinstance(row, Probe)]
    samples = [(row.case, row.replicate) for row in finished.rows if isinstance(row, Sample)]
    assert len(probes) == len(set(probes)) == 9
    assert sorted(samples) == sorted((key, replicate) for key in probes for replicate in range(3))
    assert exit_code.of(finished.rows, out_of_time=finished.out_of_time) == exit_code.OK
    assert machine.started.count("spawn") == 3, "a fresh interpreter for each replicate"
    assert machine.started.count("forkserver") == 1 + 9, "a process of its own for each probe"
    assert machine.alive == 0


def test_of_a_suite_the_cases_that_are_told_are_measured(tmp_path: Path) -> None:
    suite = parse(SUITE, "tiny.yaml")
    wanted = [case for case in suite.cases() if case.mechanism.name == "local_window"]
    machine = Machine()
    finished = engine.run(suite, tmp_path / "run", Quiet(), cases=wanted, executor=Local(machine.start, machine.now))
    assert {row.case for row in finished.rows} == {case.key for case in wanted}
    run = load(tmp_path / "run").frame
    assert run["case"].tolist() == [case.key for case in wanted]
    assert run["time_ns"].notna().all()
    assert run["speedup"].isna().all(), "their baseline was left out"


def test_rows_are_on_disk_as_they_were_returned(tmp_path: Path) -> None:
    finished = run(Machine(), tmp_path / "run")
    lines = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(json.dumps(row.to_json())) for row in finished.rows]
    meta = json.loads((tmp_path / "run" / "run.json").read_text())
    assert meta["finished"] is not None
    assert {case["key"] for case in meta["cases"]} == {row.case for row in finished.rows}


def test_groups_come_in_another_order_in_each_replicate(tmp_path: Path) -> None:
    machine = Machine()
    run(machine, tmp_path / "run")
    orders = {replicate: [keys for each, keys in machine.timed if each == replicate] for replicate in range(3)}
    assert len({json.dumps(order) for order in orders.values()}) > 1
    assert len({json.dumps(sorted(order)) for order in orders.values()}) == 1


def test_samples_say_their_place_in_the_replicate(tmp_path: Path) -> None:
    machine = Machine(kills=lambda case: case.implementation == "eager" and case.setting.shape.seq_len == 32)
    samples = [row for row in run(machine, tmp_path / "run").rows if isinstance(row, Sample)]
    for replicate in range(3):
        told = [(row.case, row.order) for row in samples if row.replicate == replicate]
        assert [order for _, order in told] == list(range(len(told)))
    asked = [key for each, keys in machine.timed if each == 1 for key in keys]
    assert [row.case for row in samples if row.replicate == 1] == asked, "in the order of timing"


def test_the_run_holds_what_was_random_and_where_it_ran(tmp_path: Path) -> None:
    run(Machine(), tmp_path / "run", parse(SUITE, "tiny.yaml").with_processes(2))
    meta = json.loads((tmp_path / "run" / "run.json").read_text())
    assert meta["seed"] == 0
    assert meta["suite"]["measure"] == {"processes": 2, "values": 2, "value_ms": 10, "estimate": "minimum"}
    assert set(meta["environment"]["affinity"]) == set(here(Path("/")).cpus)
    assert meta["environment"]["threads"] >= 1


@pytest.mark.parametrize("status", [Status.OUT_OF_MEMORY, Status.TIMED_OUT])
def test_a_length_that_did_not_fit_is_not_tried_longer(tmp_path: Path, status: Status) -> None:
    def answer(case: Case) -> Probe:
        unfit = case.implementation == "eager" and case.setting.shape.seq_len >= 32
        return Probe(case.key, status, "too much") if unfit else passed(case)

    finished = run(Machine(answer), tmp_path / "run")
    assert statuses(finished.rows, "full", "eager") == [Status.PASSED, status, Status.SKIPPED]
    assert statuses(finished.rows, "full", "sdpa") == [Status.PASSED] * 3
    skipped = next(row for row in finished.rows if row.status is Status.SKIPPED)
    assert skipped.reason == f"N=32 ended {status}"
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOT_PASSED


@pytest.mark.parametrize("status", [Status.WRONG, Status.CRASHED, Status.FAILED])
def test_other_faults_do_not_stop_longer_lengths(tmp_path: Path, status: Status) -> None:
    def answer(case: Case) -> Probe:
        return Probe(case.key, status, "bad") if case.setting.shape.seq_len == 16 else passed(case)

    finished = run(Machine(answer), tmp_path / "run")
    assert statuses(finished.rows, "full", "sdpa") == [status, Status.PASSED, Status.PASSED]
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOT_PASSED


def test_a_predicted_out_of_memory_is_a_finding_not_a_fault(tmp_path: Path) -> None:
    def answer(case: Case) -> Probe:
        if case.implementation == "eager":
            return Probe(case.key, Status.OUT_OF_MEMORY, "predicted: needs 9 GiB", predicted=True)
        return passed(case)

    finished = run(Machine(answer), tmp_path / "run")
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.OK


def test_nothing_measured_is_told_by_the_exit_code(tmp_path: Path) -> None:
    machine = Machine(lambda case: Probe(case.key, Status.UNSUPPORTED, "no CUDA device here"))
    finished = run(machine, tmp_path / "run")
    assert exit_code.of(finished.rows, out_of_time=False) == exit_code.NOTHING
    assert "spawn" not in machine.started


def test_a_case_that_kills_its_process_costs_only_itself(tmp_path: Path) -> None:
    machine = Machine(kills=lambda case: case.implementation == "eager" and case.setting.shape.seq_len == 32)
    finished = run(machine, tmp_path / "run")
    samples = [row for row in finished.rows if isinstance(row, Sample)]
    bad = [row for row in samples if row.status is not Status.PASSED]
    assert [(row.status, row.replicate) for row in bad] == [(Status.CRASHED, 0)], "not timed again once it crashed"
    good = {row.case for row in samples if row.status is Status.PASSED}
    assert len(good) == 8
    assert all(sum(row.case == key for row in samples) == 3 for key in good)
    assert machine.started.count("spawn") in (3, 4), "another process takes over, unless it was the last group"
    assert machine.alive == 0


def test_a_worker_that_cannot_be_started_is_tried_once_more(tmp_path: Path) -> None:
    machine = Machine()
    machine.broken = {1, 11}
    finished = run(machine, tmp_path / "run")
    assert len(finished.rows) == 9 + 27
    assert {row.status for row in finished.rows} == {Status.PASSED}
    assert machine.started == ["forkserver"] * (1 + 9 + 1) + ["spawn"] * (3 + 1)
    assert machine.alive == 0


@pytest.mark.parametrize("crowded", [("eager",), ("eager", "sdpa", "native")], ids=["one", "all"])
def test_a_case_without_room_beside_the_others_is_timed_after_them(tmp_path: Path, crowded: tuple[str, ...]) -> None:
    machine = Machine(crowded=lambda case: case.implementation in crowded)
    finished = run(machine, tmp_path / "run")
    samples = [row for row in finished.rows if isinstance(row, Sample)]
    assert len(samples) == 27
    assert {row.status for row in samples} == {Status.PASSED}
    groups = [keys for replicate, keys in machine.timed if replicate == 0]
    assert [len(keys) for keys in groups] == [3, *[1] * len(crowded)] * 3
    for replicate in range(3):
        assert [row.order for row in samples if row.replicate == replicate] == list(range(9))


def test_the_suite_budget_ends_the_probes(tmp_path: Path) -> None:
    machine = Machine()
    machine.request_s = 200
    finished = run(machine, tmp_path / "run")
    assert finished.out_of_time
    assert exit_code.of(finished.rows, out_of_time=True) == exit_code.OUT_OF_TIME
    probes = [row for row in finished.rows if isinstance(row, Probe)]
    assert len(probes) == 9
    assert sum(row.status is Status.SKIPPED for row in probes) == 4
    assert {row.reason for row in probes if row.reason} == {"the suite's 1000 s (budget.suite_s) were spent"}


def test_the_suite_budget_ends_the_replicates_between_groups(tmp_path: Path) -> None:
    machine = Machine()
    machine.request_s = 80
    progress = Counting()
    finished = run(machine, tmp_path / "run", progress=progress)
    assert finished.out_of_time
    samples = [row for row in finished.rows if isinstance(row, Sample)]
    assert len(samples) == 4 * 3, "a group is finished or not begun"
    assert progress.over == [1], "the second was cut short, the third not begun"


def test_a_replicate_in_which_nothing_is_left_to_time_is_none(tmp_path: Path) -> None:
    progress = Counting()
    finished = run(Machine(kills=lambda case: True), tmp_path / "run", progress=progress)
    assert [row.status for row in finished.rows if isinstance(row, Sample)] == [Status.CRASHED] * 9
    assert progress.over == [1]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FolderError, match="expected a new or empty folder, found notes.txt"):
        run(Machine(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interruption_keeps_what_was_finished(tmp_path: Path) -> None:
    probed: list[Case] = []

    def answer(case: Case) -> Probe:
        if len(probed) == 5:
            raise KeyboardInterrupt
        probed.append(case)
        return passed(case)

    machine = Machine(answer)
    with pytest.raises(KeyboardInterrupt):
        run(machine, tmp_path / "run")
    lines = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == [case.key for case in probed]
    assert machine.alive == 0, "no worker is left behind"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is None


CUDA_SUITE = SUITE + "device: cuda\n"
FRESH = 1 + 1 + 3
"""Interpreters of a CUDA suite in which nothing fails: for the environment, for all probes, for each replicate."""


def killed(case: Case) -> Probe:
    raise WorkerEnded(Status.CRASHED, "gone", 0)


@pytest.mark.parametrize(
    ("answer", "replaced"),
    [
        pytest.param(passed, False, id="passed"),
        pytest.param(killed, True, id="killed"),
        pytest.param(lambda case: Probe(case.key, Status.FAILED, "CUDA error"), True, id="failed"),
        pytest.param(lambda case: Probe(case.key, Status.OUT_OF_MEMORY, "too much"), True, id="out-of-memory"),
        pytest.param(
            lambda case: Probe(case.key, Status.OUT_OF_MEMORY, "predicted", predicted=True), False, id="predicted"
        ),
        pytest.param(lambda case: Probe(case.key, Status.WRONG, "off"), False, id="wrong"),
    ],
)
def test_a_cuda_worker_lasts_until_it_may_be_spoilt(tmp_path: Path, answer: Answer, replaced: bool) -> None:
    def answer_once(case: Case) -> Probe:
        return answer(case) if (case.setting.shape.seq_len, case.implementation) == (32, "sdpa") else passed(case)

    machine = Machine(answer_once)
    run(machine, tmp_path / "run", parse(CUDA_SUITE, "tiny.yaml"))
    assert machine.started == ["spawn"] * (FRESH + replaced), "nothing of CUDA survives a fork"
    assert machine.alive == 0


def test_the_budget_of_a_cuda_case_is_of_the_memory_free_there(tmp_path: Path) -> None:
    for memory, free_bytes, budget_bytes in (("80%", 1000, 800), ("1GiB", 1000, 2**30)):
        machine = Machine()
        machine.free_bytes = free_bytes
        suite = parse(CUDA_SUITE.replace("memory: 1GiB", f"memory: {memory}"), "tiny.yaml")
        run(machine, tmp_path / memory, suite)
        assert machine.budgets == {budget_bytes}


def test_two_live_workers_share_what_is_free_on_a_device() -> None:
    machine = Machine()
    machine.free_bytes = 1000
    with closing(Prober(Budget(memory="80%"), 2**30, start_worker=machine.start, live=2)) as prober:
        prober.probe(parse(CUDA_SUITE, "tiny.yaml").cases()[0])
    assert machine.budgets == {400}


def test_threads_are_resolved_for_the_worker_and_kept_as_written(tmp_path: Path) -> None:
    seen: list[Any] = []

    def answer(case: Case) -> Probe:
        seen.append(case.setting.threads)
        return replace(passed(case))

    run(Machine(answer), tmp_path / "run")
    assert set(seen) == {"auto"}


def test_progress_names_every_axis_in_which_cases_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SUITE.replace("heads: 1", "heads: [2, 4]").replace("[16, 32, 64]", "16") + "threads: [1, 2]\n"
    run(Machine(), tmp_path / "run", parse(text, "tiny.yaml"), Plain())
    told = [line.partition("passed ")[2].partition(" (")[0] for line in capsys.readouterr().err.splitlines()]
    probes = [line for line in told if line]
    assert len(set(probes)) == len(probes) == 3 * 2 * 2
    assert "full/sdpa N=16 float32 cpu forward heads=4 kv_heads=4 threads=2" in probes
