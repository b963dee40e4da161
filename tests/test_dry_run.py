"""`bench run --dry-run`: what would be measured, told without measuring it."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_engine import FakeWorker, Machine
from test_run import bench

from attnbench.runner.cli.dry_run import text
from attnbench.runner.plan import dry_run
from attnbench.runner.plan.dry_run import DryRun
from attnbench.runner.plan.remaining_time import READY_S, START_S, probe_s
from attnbench.runner.worker import admission
from attnbench.runner.workers.worker import WorkerEnded
from attnbench.suites import Case, Status
from attnbench.suites.schema.load import parse
from attnbench.variants import kernels

SUITE = """
name: tiny
question: What would it take?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: [64, 128]}
variants:
  - full: {implementation: [eager, sdpa]}
measure: {processes: 3, values: 4, value_ms: 10}
budget: {case_s: 60, suite_s: 90, memory: 1GiB}
"""
RATE = 2e9


class Seer(Machine):
    """A machine whose workers know every case: `tell` says what of it."""

    def __init__(self, **told: Any) -> None:
        super().__init__()
        self.told = told
        self.rates = 0
        self.dies: str | None = None

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return SeeingWorker(self)

    def plan(self, text: str = SUITE) -> DryRun:
        suite = parse(text, "tiny.yaml")
        return dry_run.plan(suite, suite.cases(), start_worker=self.start)


class SeeingWorker(FakeWorker):
    """A worker of a `Seer`."""

    def __init__(self, machine: Seer) -> None:
        super().__init__(machine)
        self.seer = machine

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        if request["do"] == "free_bytes":
            return self.seer.free_bytes
        if request["do"] == "rate":
            self.seer.rates += 1
            return self.seer.told.get("rate", RATE)
        case = Case.from_json(request["case"])
        self.seer.budgets.add(request["budget_bytes"])
        if case.implementation == self.seer.dies:
            raise WorkerEnded(Status.CRASHED, "its process was killed by SIGSEGV", 0)
        if case.implementation == "eager":
            return {"status": "out_of_memory", "reason": "predicted: needs 9.0 GiB"}
        told = {"status": None, "predicted_bytes": 2**20, "allowed_pairs": 8192, "flops": 10**7}
        return told | self.seer.told


def test_a_line_a_case_and_the_least_time() -> None:
    seer = Seer()
    found = seer.plan()
    call_ns = 10**7 / RATE * 1e9
    replicate_s = START_S + 2 * (READY_S + (10e6 + 4 * 3 * call_ns) / 1e9)
    assert found.least_s == pytest.approx(START_S + 2 * probe_s(call_ns) + 3 * replicate_s, rel=0.2)
    assert text(found).splitlines() == [
        "case                                  peak memory  allowed pairs  a call, at least",
        "full/eager N=64 float32 cpu forward   out_of_memory: predicted: needs 9.0 GiB",
        "full/sdpa N=64 float32 cpu forward       1.00 MiB          8,192            5.0 ms",
        "full/eager N=128 float32 cpu forward  out_of_memory: predicted: needs 9.0 GiB",
        "full/sdpa N=128 float32 cpu forward      1.00 MiB          8,192            5.0 ms",
        "2 of 4 cases would be measured, in 3 processes: 0:08 at least; budget.suite_s ends it after 1:30.",
        "At least: the FLOPs of the allowed pairs at the rate of the fastest matrix product seen here.",
    ]
    assert seer.started == ["forkserver"]
    assert (seer.rates, seer.alive) == (1, 0)


def test_more_processes_take_longer() -> None:
    assert Seer().plan(SUITE.replace("processes: 3", "processes: 6")).least_s > Seer().plan().least_s + 2


def test_what_is_not_known_is_not_made_up() -> None:
    found = Seer(predicted_bytes=None, rate=None).plan()
    assert "not predicted          8,192                 -" in text(found)


def test_a_case_that_kills_the_worker_costs_itself() -> None:
    seer = Seer()
    seer.dies = "sdpa"
    found = seer.plan()
    assert [each.status for each in found.cases] == [Status.OUT_OF_MEMORY, Status.CRASHED] * 2
    assert seer.started == ["forkserver"] * 2, "as many as have died"
    assert seer.alive == 0


def test_on_cuda_the_budget_is_of_the_memory_free_there() -> None:
    seer = Seer()
    seer.free_bytes = 1000
    seer.plan(SUITE.replace("memory: 1GiB", "memory: 80%") + "device: cuda\n")
    assert seer.started == ["spawn"]
    assert seer.budgets == {800}


REAL = """
name: tiny
question: What would it take?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: [64, 8192]}
device: [cpu, cuda]
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: 9, edges: slide}
  - local_window: {window: 65, edges: slide}
budget: {memory: 100MiB}
"""


def test_a_real_one_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # where there is one, it is hidden
    (tmp_path / "tiny.yaml").write_text(REAL)
    done = bench("run", "tiny.yaml", "--dry-run", "--json", "-k", "not 65 or N=64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
    *cases, estimate = [json.loads(line) for line in done.stdout.splitlines()]
    told = {each.pop("title"): each for each in cases}
    assert len(told) == estimate["cases"] == 14
    assert {each["reason"] for title, each in told.items() if "cuda" in title} == {"no CUDA device here"}
    here = {title.removesuffix(" float32 cpu forward"): each for title, each in told.items() if "cpu" in title}
    ended = {title: (each["status"], each["reason"][:9]) for title, each in here.items() if each["status"]}
    assert ended == {
        "full/eager N=8192": ("out_of_memory", "predicted"),
        "local_window(window=65, edges=slide)/blockwise N=64": (
            "unsupported",
            here["local_window(window=65, edges=slide)/blockwise N=64"]["reason"][:9],
        ),
    }
    full = here["full/sdpa N=8192"]
    assert full["allowed_pairs"] == 2 * 8192**2
    assert full["flops"] == 4 * 16 * full["allowed_pairs"]
    assert full["predicted_bytes"] > 2 * 8192 * 16 * 4, "more than the output"
    assert full["least_ns"] > here["local_window(window=9, edges=slide)/blockwise N=8192"]["least_ns"] > 0
    assert 0 < estimate["least_s"] < estimate["suite_s"] == 1800
    assert estimate["processes"] == 5


def test_what_a_backward_needs_kept_must_fit_too() -> None:
    text = SUITE.replace("implementation: [eager, sdpa]", "implementation: eager").replace("[64, 128]", "1024")
    (case,) = parse(text + "direction: backward\n", "tiny.yaml").cases()
    eager = kernels.load(case.implementation)
    call, kept = (
        eager.predict_bytes(case.pattern, case.changed(direction=direction).setting, 2)
        for direction in ("backward", "training")
    )
    inputs = admission.proof_bytes(case)
    assert call < kept
    assert admission.plan(case, kept + inputs)["status"] is None
    assert admission.plan(case, (call + kept) // 2 + inputs)["status"] is Status.OUT_OF_MEMORY
