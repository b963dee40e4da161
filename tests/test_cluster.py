"""A run on several machines: every unit once, on its class of hardware, whatever happens to the machines."""

import errno
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_engine import SUITE, Machine
from test_task_level import SUITE as TASK

from attnbench.reports.data import reading
from attnbench.reports.findings import hardware
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.reports.text.answer import answer
from attnbench.reports.text.phrases import MOST_WORDS
from attnbench.runner.cluster import admitting, driving, remote
from attnbench.runner.cluster.admitting import Wanted
from attnbench.runner.cluster.driving import Driver, Ended
from attnbench.runner.cluster.remote import Described
from attnbench.runner.cluster.units import MOST_LOSSES, Unit, Units
from attnbench.runner.execution import engine, journal
from attnbench.runner.execution.executor import ExecutorError, Node
from attnbench.runner.execution.journal import FolderError, Journal
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Progress, Quiet
from attnbench.runner.execution.task import Finished, Task
from attnbench.runner.machine import environment
from attnbench.suites import Case, Probe, Result, Sample, Status, fingerprint
from attnbench.suites.result import SPENT, Score
from attnbench.suites.schema.load import from_dict, parse
from attnbench.suites.schema.suite import Suite
from attnbench.variants import ONE_CLASS

AMD, INTEL = "AMD EPYC", "Intel Xeon"
GIB = 2**30


def node(name: str, cpu: str = AMD, **facts: Any) -> Node:
    return Node(name, {"cpu": cpu, "cpu_features": "avx2", "usable_cores": 2, "torch": "2", **facts}, GIB)


def suite() -> Suite:
    return parse(SUITE, "tiny.yaml")


class Cluster:
    """Machines in this process. Each wait ends a unit of one of them, drawn at random, or loses the machine."""

    def __init__(
        self, *nodes: Node, loses: Callable[[int, Unit], bool] = lambda number, unit: False, wait_s: float = 1.0
    ) -> None:
        self.there = {each.name: each for each in nodes}
        self.comes: dict[int, Node] = {}
        """Machines that come after a number of units."""
        self.loses = loses
        self.wait_s = wait_s
        self.clock_s = 0.0
        self.machine = Machine()
        self.began: list[tuple[str, Unit]] = []
        self.closed = False
        self.slower: Callable[[str, Case], float] = lambda name, case: 1.0
        """How many times the time of a case a machine takes."""
        self._at_work: dict[str, tuple[Unit, Task]] = {}
        self._drawn = random.Random(1)

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> list[Node]:
        del suite, cases, folders
        return [*self.there.values()]

    def measure(
        self, task: Task, nodes: Sequence[Node], book: Journal, progress: Progress, folders: tuple[Path, ...]
    ) -> Finished:
        del folders
        return Driver(task, nodes, self, book, progress, lambda: self.clock_s).measure()

    def close(self) -> None:
        self.closed = True

    def idle(self) -> list[Node]:
        late = self.comes.pop(len(self.began), None)
        if late:
            self.there[late.name] = late
        return [each for name, each in self.there.items() if name not in self._at_work]

    def begin(self, node: Node, unit: Unit, task: Task) -> None:
        self.began.append((node.name, unit))
        self._at_work[node.name] = unit, task

    def wait(self, timeout_s: float) -> list[Ended]:
        self.clock_s += self.wait_s if self._at_work else timeout_s
        if not self._at_work:
            return []
        name = self._drawn.choice(sorted(self._at_work))
        unit, task = self._at_work.pop(name)
        if self.loses(len(self.began), unit):
            return [Ended(self.there[name], unit, None)]
        cases = {case.key: case for case in task.cases}
        rows = remote.Machine((), self.machine.start).measure(task)
        return [Ended(self.there[name], unit, [self._slowed(row, name, cases[row.case]) for row in rows])]

    def _slowed(self, row: Result, name: str, case: Case) -> Result:
        if not isinstance(row, Sample):
            return row
        return replace(row, values_ns=tuple(each * self.slower(name, case) for each in row.values_ns))


def run(cluster: Cluster, folder: Path, **options: Any) -> Finished:
    return engine.run(suite(), folder, Quiet(), executor=cluster, **options)


def units(rows: Sequence[Result]) -> Counter[tuple[str, int | None]]:
    """How often each case was probed, and timed in each replicate."""
    return Counter((row.case, row.replicate if isinstance(row, Sample) else None) for row in rows)


def everything(finished: Finished) -> bool:
    """Whether each case was probed once, and timed once in each replicate."""
    keys = [case.key for case in suite().cases()]
    return units(finished.rows) == Counter((key, at) for key in keys for at in (None, 0, 1, 2))


def test_two_machines_measure_what_one_does(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b"))
    finished = run(cluster, tmp_path / "run")
    alone = engine.run(suite(), tmp_path / "alone", Quiet(), executor=Local(cluster.machine.start, lambda: 0.0))
    assert units(finished.rows) == units(alone.rows)
    assert everything(finished)
    assert {name for name, _ in cluster.began} == {"a", "b"}
    assert cluster.closed
    assert [each["key"] for each in reading.read(tmp_path / "run").meta["cases"]] == [
        each["key"] for each in reading.read(tmp_path / "alone").meta["cases"]
    ]


def test_a_unit_is_a_replicate_of_a_sweep_and_probes_come_first(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b"))
    run(cluster, tmp_path / "run")
    assert cluster.began[0][1].replicate is None
    for _, unit in cluster.began:
        assert len({case.sweep for case in unit.cases}) == 1
        assert {case.setting.shape.seq_len for case in unit.cases} == {16, 32, 64}


def test_each_process_of_a_sweep_is_reported(tmp_path: Path) -> None:
    class Counting(Quiet):
        told: ClassVar[list[tuple[int, int]]] = []

        def replicated(self, done: int, total: int, left_s: float | None) -> None:
            self.told.append((done, total))

    cluster = Cluster(node("a"), node("b"))
    engine.run(suite(), tmp_path / "run", Counting(), executor=cluster)
    every = sum(unit.replicate is not None for _, unit in cluster.began)
    assert [done for done, _ in Counting.told] == [*range(1, every + 1)]
    assert {total for _, total in Counting.told} == {every}


def test_rows_carry_the_part_of_their_machine(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b"))
    cluster.comes[1] = node("c")
    finished = run(cluster, tmp_path / "run")
    meta = reading.read(tmp_path / "run").meta
    names = [meta["node"], *(part["node"] for part in meta["resumed"])]
    assert names == ["a", "b", "c"]
    assert {row.part for row in finished.rows if isinstance(row, Sample)} == {0, 1, 2}
    assert all(part["finished"] for part in meta["resumed"])
    assert run_report.write(load(tmp_path / "run")).exists()


def test_each_class_of_hardware_measures_all_cases_on_its_own_machines(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b", INTEL), node("c"))
    finished = run(cluster, tmp_path / "run")
    read = reading.read(tmp_path / "run")
    cases = {each.key: each.case for each in read.planned}
    assert len(cases) == 2 * len(suite().cases())
    assert set(units(finished.rows).values()) == {1}
    classes = [fingerprint.hardware(each.environment, "cpu") for each in cluster.there.values()]
    for row in finished.rows:
        assert isinstance(row, Probe | Sample)
        assert cases[row.case].setting.hardware == classes[row.part]
    for each in read.planned:
        assert each.baseline is not None
        assert cases[each.baseline].setting.hardware == each.case.setting.hardware
    frame = load(tmp_path / "run").frame
    assert set(frame["hardware"]) == set(classes)
    written = run_report.write(load(tmp_path / "run")).read_text()
    assert "## Hardware" in written
    assert all(str(name) in written for name in classes)


def test_the_report_says_which_results_hold_on_all_hardware_and_which_change_sides(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b", INTEL))

    def slower(name: str, case: Case) -> float:
        if case.mechanism.name == "local_window":
            return 0.5
        return 1.0 if case.implementation == "sdpa" else {"a": 0.8, "b": 1.25}[name]

    cluster.slower = slower
    run(cluster, tmp_path / "run")
    found = load(tmp_path / "run")
    (alike,) = found.by_hardware
    assert {each.name: each.result for each in alike.series} == {
        "full/eager": hardware.CHANGES,
        "local_window(window=3)/native": hardware.HOLDS,
    }
    kept, changed, *_ = answer(found)
    assert "local_window is faster" in kept
    assert changed.index("AMD") < changed.index("Intel")
    assert all(len(each.split()) <= MOST_WORDS for each in (kept, changed))


def test_the_spread_between_machines_of_a_class_is_told(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b"))
    cluster.slower = lambda name, case: {"a": 1.0, "b": 1.5}[name]
    run(cluster, tmp_path / "run")
    found = load(tmp_path / "run")
    assert found.between_machines
    assert all(each.slowest_over_fastest == pytest.approx(1.5) for each in found.between_machines)
    assert "Spread between machines" in run_report.write(found).read_text()


def test_fifty_lost_machines_lose_and_double_nothing(tmp_path: Path) -> None:
    drawn = random.Random(3)
    text = SUITE.replace("variants:", "dtype: [float32, float64]\ndirection: [forward, training]\nvariants:")
    lost: list[Unit] = []

    def loses(number: int, unit: Unit) -> bool:
        if len(lost) == 50 or drawn.random() < 0.4:
            return False
        lost.append(unit)
        return unit.losses + 1 < MOST_LOSSES

    cluster = Cluster(node("a"), node("b"), node("c"), loses=loses)
    wanted = parse(text.replace("processes: 3", "processes: 20"), "tiny.yaml")
    finished = engine.run(wanted, tmp_path / "run", Quiet(), executor=cluster)
    assert units(finished.rows) == Counter(
        (case.key, at) for case in wanted.cases() for at in (None, *range(wanted.measure.processes))
    )
    assert len(lost) == 50


def test_a_unit_that_loses_every_machine_is_given_up(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b"), loses=lambda number, unit: unit.replicate == 1)
    finished = run(cluster, tmp_path / "run")
    crashed = [row for row in finished.rows if row.status is Status.CRASHED]
    assert {row.replicate for row in crashed if isinstance(row, Sample)} == {1}
    assert len(crashed) == len(suite().cases())
    assert set(units(finished.rows).values()) == {1}


def test_an_interrupted_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    def interrupts(number: int, unit: Unit) -> bool:
        if number == 3:
            raise KeyboardInterrupt
        return False

    cluster = Cluster(node("a"), node("b", INTEL), loses=interrupts)
    with pytest.raises(KeyboardInterrupt):
        run(cluster, tmp_path / "run")
    assert cluster.closed
    again = Cluster(node("a"), node("b", INTEL), node("c"))
    finished = engine.resume(tmp_path / "run", Quiet(), executor=again)
    assert set(units(finished.rows).values()) == {1}
    assert len(units(finished.rows)) == 2 * 9 * 4
    names = [part["node"] for part in reading.read(tmp_path / "run").meta["resumed"]]
    assert names == ["b", "a", "b", "c"], "one for each machine of each command"


def test_a_full_disk_ends_a_run_that_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rows = journal.append, list[str]()

    def full(file: Any, text: str) -> None:
        rows.append(text)
        if len(rows) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, text)

    monkeypatch.setattr(journal, "append", full)
    cluster = Cluster(node("a"), node("b"))
    with pytest.raises(FolderError, match="No space left.*--resume"):
        run(cluster, tmp_path / "run")
    assert cluster.closed
    monkeypatch.setattr(journal, "append", real)
    finished = engine.resume(tmp_path / "run", Quiet(), executor=Cluster(node("a"), node("b")))
    assert everything(finished)


def test_one_machine_continues_the_cases_of_its_hardware(tmp_path: Path) -> None:
    def interrupts(number: int, unit: Unit) -> bool:
        if number == 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(Cluster(node("a"), node("b", INTEL), loses=interrupts), tmp_path / "run")
    finished = engine.resume(tmp_path / "run", Quiet(), executor=Cluster(node("c", INTEL)))
    hardware_of = {each.key: each.case.setting.hardware for each in reading.read(tmp_path / "run").planned}
    intel = [key for key, name in hardware_of.items() if name.startswith(INTEL)]
    counted = units(finished.rows)
    assert all(counted[key, at] == 1 for key in intel for at in (None, 0, 1, 2))
    assert sum(counted.values()) < 2 * 9 * 4, "the other class waits for its own machines"
    with pytest.raises(ExecutorError, match="expected a machine of the run's hardware"):
        engine.resume(tmp_path / "run", Quiet(), executor=Cluster(node("d", "ARM")))


def test_the_suites_time_ends_a_run(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), wait_s=400)
    finished = run(cluster, tmp_path / "run")
    assert finished.out_of_time
    assert len(cluster.began) == 3
    early = Cluster(node("a"), wait_s=2000)
    early.comes = {}
    finished = engine.run(
        parse(SUITE.replace("variants:", "direction: [forward, training]\nvariants:"), "tiny.yaml"),
        tmp_path / "early",
        Quiet(),
        executor=early,
    )
    spent = [row for row in finished.rows if isinstance(row, Probe) and row.reason.endswith(SPENT)]
    assert len(spent) == 9, "the cases of the sweep that was not begun"


def test_without_a_machine_of_its_class_a_run_stops_and_says_how_to_go_on(tmp_path: Path) -> None:
    cluster = Cluster(node("a"), node("b", INTEL))

    def loses(number: int, unit: Unit) -> bool:
        if unit.hardware.startswith(INTEL):
            cluster.there["b"] = replace(cluster.there["a"], name="b")
            return True
        return False

    cluster.loses = loses
    with pytest.raises(ExecutorError, match="Intel Xeon.*--resume"):
        run(cluster, tmp_path / "run")
    assert cluster.clock_s >= driving.PATIENCE_S
    assert sum(units(reading_rows(tmp_path / "run")).values()) == 9 * 4


def reading_rows(folder: Path) -> list[Result]:
    read = reading.read(folder)
    return [*read.probes.values(), *(each for samples in read.samples.values() for each in samples.values())]


def test_trainings_wait_for_the_search_of_their_learning_rate() -> None:
    learning = {"data": {"mqar": {"pairs": 3}}, "layers": 1, "steps": 7, "search": {"lr": [0.001, 0.01]}}
    task = from_dict({**TASK, "level": {"task": learning}, "measure": {"processes": 3}}, "it")
    waiting = Units(Task(task, task.cases(), range(3), GIB))
    classes = {"cpu": ONE_CLASS}
    probing = waiting.take(classes)
    assert probing is not None
    waiting.finished(probing, [Probe(case.key, Status.PASSED, "", call_ns=1e6) for case in probing.cases], 1.0)
    first = [waiting.take(classes) for _ in task.cases()]
    assert waiting.take(classes) is None, "all others wait for these"
    assert first[0] is not None
    assert len(first[0].cases) == 1, "a training is a unit of its own"
    (case,) = first[0].cases
    waiting.finished(first[0], [Score(case.key, Status.PASSED, "", 0, 1, (1e6,), score=0.5, lr=0.01)], 1.0)
    after = waiting.take(classes)
    assert after is not None
    assert after.cases == first[0].cases
    kept = waiting.kept(after).samples[case.key][0]
    assert isinstance(kept, Score)
    assert kept.lr == 0.01


def described(unfit: tuple[str, ...] = (), **facts: Any) -> Described:
    import torch

    there = {**environment.of_software(), "torch": torch.__version__, "cpu": AMD, **facts}
    return Described(Node(facts.get("node", "a"), there, GIB), unfit)


def test_machines_with_other_software_are_left_out_with_the_difference() -> None:
    old = described(torch="1.0", node="b")
    nodes, refused = admitting.fit([described(), old], Wanted(anyway=True))
    assert [node.name for node in nodes] == ["a"]
    assert refused["b"].endswith("found 1.0")
    assert refused["b"].startswith("torch: expected")
    with pytest.raises(ExecutorError, match="b: torch: expected .*, found 1.0"):
        admitting.fit([old], Wanted(anyway=True))
    with pytest.raises(ExecutorError, match="python: expected .*, found 2.7"):
        admitting.fit([described(python="2.7")], Wanted())


def test_unfit_machines_measure_only_if_that_is_wanted() -> None:
    bad = described(("swap: 9 GiB in use",), node="b")
    with pytest.raises(ExecutorError, match="swap: 9 GiB in use"):
        admitting.fit([bad], Wanted())
    assert admitting.fit([described(), bad], Wanted()) == ([described().node], {"b": "swap: 9 GiB in use"})
    assert admitting.fit([bad], Wanted(anyway=True)) == ([bad.node], {})
    assert admitting.refusal_later(bad, [described().node], Wanted()) == "swap: 9 GiB in use"


def test_machines_that_cannot_measure_at_all_are_named() -> None:
    assert admitting.fit([described()], Wanted(), {"b": "no memory"}) == ([described().node], {"b": "no memory"})
    with pytest.raises(ExecutorError, match="b: no memory"):
        admitting.fit([], Wanted(), {"b": "no memory"})


def test_a_later_machine_joins_others_of_its_hardware() -> None:
    nodes = [described().node]
    assert admitting.refusal_later(described(node="b"), nodes, Wanted()) is None
    assert "hardware" in str(admitting.refusal_later(described(node="b", cpu=INTEL), nodes, Wanted()))
    little = described(node="b")
    little = replace(little, node=replace(little.node, budget_bytes=1))
    assert "memory" in str(admitting.refusal_later(little, nodes, Wanted()))


def test_on_chooses_machines_by_their_facts() -> None:
    both = [described(gpu="NVIDIA H100", node="a"), described(gpu="NVIDIA A100", node="b")]
    wanted = Wanted.read(["gpu=h100"], anyway=False)
    assert [each.name for each in admitting.fit(both, wanted)[0]] == ["a"]
    with pytest.raises(ExecutorError, match="expected a machine"):
        admitting.fit(both, Wanted.read(["gpu=B200"], anyway=False))
    for wrong in ("gpu", "gpu=", "disk=fast", "=x"):
        with pytest.raises(ExecutorError, match="--on: expected"):
            Wanted.read([wrong], anyway=False)
