"""What a compiler makes: equal to the oracle, never run uncompiled without a word, its time apart from the call's."""

import functools
import importlib.util
import os
import resource
import shutil
import sysconfig
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from definitions import COMPILED, label
from hypothesis import given, settings
from plans import any_spans
from settings import check, pattern_of, setting
from test_run import bench
from torch import Tensor

from attnbench.runner.machine import memory
from attnbench.runner.worker import main_loop, probe
from attnbench.runner.worker.call import calls, clocks, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.main_loop import _Requests
from attnbench.runner.worker.process import failure
from attnbench.runner.worker.timing import Bench
from attnbench.runner.workers import starting
from attnbench.runner.workers.worker import Worker, WorkerEnded
from attnbench.suites import Status
from attnbench.suites.schema.load import parse
from attnbench.variants import Direction, Shape, Spans, kernels
from attnbench.variants.kernels import Program, flex
from attnbench.variants.kernels.flex import tiles

SHAPE = Shape(1, 4, 2, 259, 16)
SPANS_OF_TWO: tuple[str, dict[str, Any]] = ("longformer", {"window": 17, "globals": 3, "causal": True})
"""Compiled once for all tests that are not slow: the others find it in torch's cache."""
pytestmark = pytest.mark.filterwarnings(  # torch's own compiler uses it, while it is imported
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)

FEW = [
    ("full", {}, 61, "bfloat16"),
    ("local_window", {"window": 9, "dilation": 3}, 300, "float32"),
    ("bigbird", {"block": 16}, 300, "bfloat16"),
]
"""Without a mask, one span with a step, and six spans; a ragged end. A probe compiles at N = 1."""

SUITE = """
name: small
question: Is compiling apart?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: 5}
direction: training
variants:
  - full: {implementation: compiled}
measure: {processes: 1, values: 2, value_ms: 1}
"""


def kernel_of(implementation: str, name: str, parameters: dict[str, Any], shape: Shape) -> tuple[Program, Spans]:
    """The kernel and its pattern's spans."""
    pattern = pattern_of(name, parameters)
    assert kernels.load(implementation).supports(pattern, setting(shape, "float32", "cpu", "forward")) is None
    return kernels.load(implementation).build(pattern, setting(shape, "float32", "cpu")), pattern.spans(shape.seq_len)


@settings(max_examples=60)
@given(spans=any_spans(40, reach=6))
def test_tiles_are_those_of_the_pattern_and_count_its_pairs(spans: Spans) -> None:
    for side in (1, 7, 16, 64):
        found = tiles(spans, side)
        padded = -(-spans.n // side) * side
        mask, there = np.zeros((2, padded, padded), np.int64)
        mask[: spans.n, : spans.n], there[: spans.n, : spans.n] = spans.mask(), 1
        counts, areas = (each.reshape(-(-spans.n // side), side, -1, side).sum(axis=(1, 3)) for each in (mask, there))
        rows, columns = np.nonzero(counts)
        assert (found.rows.tolist(), found.columns.tolist()) == (rows.tolist(), columns.tolist())
        assert found.pairs.tolist() == counts[rows, columns].tolist()
        assert found.areas().tolist() == areas[rows, columns].tolist()


@settings(max_examples=60)
@given(spans=any_spans(40, reach=6))
def test_flex_is_told_the_tiles_and_the_pairs_of_the_pattern(spans: Spans) -> None:
    bounds = flex._bounds(spans, "cpu")
    i = torch.arange(spans.n)
    seen = flex._seen(bounds)(i, i, i[:, None], i[None, :])
    assert torch.equal(seen, torch.from_numpy(spans.mask()))
    for side in (1, 7, 16, 64):
        found = tiles(spans, side)
        told = [flex._listed(found, chosen, "cpu") for chosen in (found.pairs == side**2, found.pairs < side**2)]
        wanted = np.zeros((2, *(-(-spans.n // side),) * 2), bool)
        wanted[(found.pairs < side**2).astype(int), found.rows, found.columns] = True
        for (counts, columns), mask in zip(told, wanted, strict=True):
            assert counts[0, 0].tolist() == mask.sum(axis=1).tolist()
            rows = [sorted(row[:count].tolist()) for row, count in zip(columns[0, 0], counts[0, 0], strict=True)]
            assert rows == [np.flatnonzero(row).tolist() for row in mask]


def test_flex_equals_the_oracle() -> None:
    kernel, spans = kernel_of("flex", *SPANS_OF_TWO, SHAPE)
    assert check(kernel.call, spans, SHAPE, "float32", "cpu").problem is None


def test_compiled_equals_the_oracle_with_its_gradients() -> None:
    kernel, spans = kernel_of("compiled", *SPANS_OF_TWO, SHAPE)
    assert check(kernel.call, spans, SHAPE, "float32", "cpu", gradients=True).problem is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters", "n", "dtype"), FEW, ids=label)
def test_patterns_of_every_kind_equal_the_oracle(name: str, parameters: dict[str, Any], n: int, dtype: str) -> None:
    shape, pattern = Shape(2, 4, 2, n, 16), pattern_of(name, parameters)
    for implementation in COMPILED:
        kernel = kernels.load(implementation).build(pattern, setting(shape, dtype, "cpu"))
        gradients = implementation != "flex"
        assert check(kernel.call, pattern.spans(n), shape, dtype, "cpu", gradients=gradients).problem is None


def test_flex_computes_the_pairs_that_it_says() -> None:
    """The rows that turn NaN when one value is NaN."""
    kernel, spans = kernel_of("flex", *SPANS_OF_TWO, SHAPE)
    q, k, v, _ = inputs(SHAPE, "float32", "cpu")
    turned = np.zeros((SHAPE.seq_len, SHAPE.seq_len), bool)
    for j in range(SHAPE.seq_len):
        poisoned = v.clone()
        poisoned[:, :, j] = torch.nan
        with torch.no_grad():
            turned[:, j] = kernel.call(q, k, poisoned).isnan().any(dim=3)[0, 0].numpy()
    assert kernel.computed_pairs == SHAPE.heads * int(turned.sum())
    assert turned[spans.mask()].all()
    assert not turned[:128, 128:].any(), "tiles that no query needs"


@pytest.mark.parametrize(
    ("implementation", "direction"),
    [
        ("flex", "forward"),
        ("compiled", "training"),
        pytest.param("compiled", "backward", marks=pytest.mark.slow),
    ],
)
def test_predicted_bytes_are_those_allocated(implementation: str, direction: Direction) -> None:
    kernel, _ = kernel_of(implementation, *SPANS_OF_TWO, SHAPE)
    call = calls.ready(kernel, inputs(SHAPE, "float32", "cpu"), direction).run
    name, parameters = SPANS_OF_TWO
    predicted = kernels.load(implementation).predict_bytes(
        pattern_of(name, parameters), setting(SHAPE, direction=direction), torch.get_num_threads()
    )
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


def test_a_layout_is_not_quadratic() -> None:
    """2.1 MB for 65,536 tokens: numbers of 4 bytes, three for every query and eight for every pair of tiles."""
    pattern = pattern_of("local_window", {"window": 257})
    kernel = kernels.load("flex").build(pattern, setting(Shape(1, 1, 1, 2**16, 64), "float32", "cpu"))
    assert kernel.prepared_bytes < 8 * 4 * 512**2


@pytest.mark.parametrize(
    ("dtype", "device", "direction", "width", "expected"),
    [
        ("float32", "cpu", "training", 8, "flex has no gradients on a cpu, found training; measure forward"),
        ("float32", "cpu", "backward", 8, "flex has no gradients on a cpu, found backward; measure forward"),
        ("float64", "cpu", "forward", 8, "flex computes in float32, float16 or bfloat16, found float64"),
        ("bfloat16", "cuda", "training", 8, "flex needs a head_dim of at least 16 on cuda, found 8"),
    ],
)
def test_flex_refuses_what_torch_has_not(dtype: str, device: str, direction: str, width: int, expected: str) -> None:
    pattern = pattern_of("full", {})
    asked = pattern, setting(Shape(1, 1, 1, 64, width), dtype, device, direction)
    assert kernels.load("flex").supports(*asked) == expected


@pytest.mark.parametrize("implementation", COMPILED)
def test_without_a_compiler_it_is_unsupported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, implementation: str
) -> None:
    asked = pattern_of("full", {}), setting(Shape(1, 1, 1, 64, 16))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert "needs Python's headers to be compiled: expected" in str(kernels.load(implementation).supports(*asked))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", "c++17")
    assert kernels.load(implementation).supports(*asked) == (
        f"{implementation} needs a C++ compiler: expected c++17, found none; install it, or name another in CXX"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert kernels.load(implementation).supports(asked[0], setting(asked[1].shape, device="cuda")) == (
        f"{implementation} needs triton to be compiled on cuda, found none; install it"
    )


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch traces and guards as ever, but no C++ is made: what is tested does not depend on it."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def tensors(n: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, _ = inputs(Shape(1, 1, 1, n, 8), "float32", "cpu")
    return q, k, v


@pytest.mark.usefixtures("traced")
def test_the_recompile_limit_raises() -> None:
    kernel, _ = kernel_of("compiled", "full", {}, Shape(1, 1, 1, 5, 8))
    with torch._dynamo.config.patch(recompile_limit=2):
        for n in (5, 6):
            kernel.call(*tensors(n))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="torch's recompile limit of 2 is reached; beyond"):
                kernel.call(*tensors(7))
        assert kernel.call(*tensors(5)).isfinite().all(), "what is compiled stays"


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("implementation", COMPILED)
def test_kernels_take_no_room_from_each_other(implementation: str) -> None:
    with torch._dynamo.config.patch(recompile_limit=1), torch.no_grad():
        for n in range(2, 6):
            kernel, spans = kernel_of(implementation, "full", {}, Shape(1, 1, 1, n, 8))
            assert torch.allclose(kernel.call(*tensors(n)), expected(n, spans), atol=1e-5)


def expected(n: int, spans: Spans) -> Tensor:
    from attnbench.runner.worker.proof import oracle

    return oracle.attention(*tensors(n), torch.from_numpy(spans.mask()))


@pytest.mark.parametrize("implementation", COMPILED)
def test_it_never_runs_uncompiled(monkeypatch: pytest.MonkeyPatch, implementation: str) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    kernel, _ = kernel_of(implementation, "full", {}, Shape(1, 1, 1, 5, 8))
    with pytest.raises(RuntimeError, match="torch would run it uncompiled"):
        kernel.call(*tensors(5))


def test_a_probe_tells_compiling_from_calling() -> None:
    told: list[tuple[str, bool]] = []

    def stage(name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
        told.append((name, anew))

    (case,) = parse(SUITE).cases()
    found = probe.probe(case, 2**30, stage)
    assert (found.status, found.reason) == (Status.PASSED, "")
    assert found.compile_ns is not None
    assert found.first_call_ns is not None
    assert found.call_ns is not None
    assert found.call_ns < found.compile_ns <= found.first_call_ns
    assert found.compile_cached in (False, True)
    assert [name for name, anew in told if anew] == [
        "compiling it at N=1, to check it against the oracle there",
        "compiling it",
    ]
    plain = probe.probe(replace(case, implementation="eager"), 2**30, stage)
    assert (plain.compile_ns, plain.compile_cached) == (None, None)
    assert plain.first_call_ns is not None


def test_compiling_is_no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    def clock(call: Callable[[], object], many: int) -> float:
        log.append("timed")
        call()
        return 2e6

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        log.append("called")
        return q

    monkeypatch.setattr(clocks, "for_warm_up", lambda device: clock)
    for compiled, first in ((True, ["called", "timed"]), (False, ["timed", "called"])):
        log.clear()
        kernel = Program(attend, None, compiled=compiled)
        monkeypatch.setattr(programs, "build", functools.partial(lambda made, *asked: made, kernel))
        Bench(parse(SUITE).cases(), 1e6, lambda index: None)
        assert log[:2] == first


class Told:
    """A pipe on which messages come at their times, and a clock that waiting moves."""

    def __init__(self, messages: dict[float, bytes], at_first: Callable[[], None]) -> None:
        self.now = 0.0
        self.left = dict(messages)
        self.at_first = [at_first]

    def poll(self, wait_s: float) -> bool:
        due = min(self.left, default=float("inf"))
        self.now = min(max(due, self.now), self.now + wait_s)
        return due <= self.now

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The next message; with the first one the worker does `at_first`."""
        while self.at_first:
            self.at_first.pop()()
        return self.left.pop(min(self.left))


class Killed:
    def kill(self) -> None:
        """It would be."""


@pytest.mark.parametrize("anew", [True, False])
def test_a_compiler_has_time_of_its_own(monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    """A reply after 9 s, of which 5 s are the compiler's: in time for a patience of 6 s where that counts anew."""
    marks = [0, 0]
    ours, theirs = Pipe()

    def begin() -> None:
        _Requests(theirs, marks, None)._stage("compiling it", anew=anew)
        assert ours.recv_bytes() == b'{"stage": "compiling it", "aside": false, "share": null}'

    pipe = Told({4.0: b'{"stage": "compiling it"}', 9.0: b'{"reply": 1}'}, begin)
    monkeypatch.setattr(time, "monotonic", lambda: pipe.now)
    worker = Worker.__new__(Worker)
    vars(worker).update(_pipe=pipe, _marks=marks, _process=Killed(), _ready=True, _doing="beginning")
    if anew:
        assert worker._receive(6)["reply"] == 1
    else:
        with pytest.raises(WorkerEnded, match="no result within 6 s .*, while compiling it"):
            worker._receive(6)


def test_the_parent_hears_how_much_of_a_request_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    half = b'{"stage": "training it", "aside": false, "share": 0.5}'
    pipe = Told({1.0: b'{"stage": "reading its data", "share": null}', 2.0: half, 3.0: b'{"reply": 1}'}, lambda: None)
    monkeypatch.setattr(time, "monotonic", lambda: pipe.now)
    worker = Worker.__new__(Worker)
    vars(worker).update(_pipe=pipe, _marks=[0, 0], _process=Killed(), _ready=True, _doing="beginning")
    told: list[tuple[str, float]] = []
    assert worker._receive(6, lambda stage, share: told.append((stage, share)))["reply"] == 1
    assert told == [("training it", 0.5)]


@pytest.mark.parametrize(("replied_s", "in_time"), [(15.4, True), (17.0, False)])
def test_what_is_done_aside_takes_nothing_of_a_cases_time(
    monkeypatch: pytest.MonkeyPatch, replied_s: float, in_time: bool
) -> None:
    """The proof may take as long each time that it is told; what was left when it began is left when it is over."""
    aside = b'{"stage": "proving it", "aside": true}'
    pipe = Told({3.0: aside, 8.0: aside, 12.5: b'{"stage": "calling it"}', replied_s: b'{"reply": 1}'}, lambda: None)
    monkeypatch.setattr(time, "monotonic", lambda: pipe.now)
    worker = Worker.__new__(Worker)
    vars(worker).update(_pipe=pipe, _marks=[0, 0], _process=Killed(), _ready=True, _doing="beginning")
    if in_time:
        assert worker._receive(6)["reply"] == 1
    else:
        with pytest.raises(WorkerEnded, match="no result within 6 s .*, while calling it"):
            worker._receive(6)


def test_a_worker_that_a_case_spoiled_ends_with_the_status_of_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says last is what its parent is told: the case at hand failed, and did not crash."""
    ours, theirs = Pipe()

    def spoil(self: _Requests, what: str, request: dict[str, Any]) -> None:
        raise failure.Spoiled(Status.FAILED, "it left a thread running: Thread-1")

    monkeypatch.setattr(main_loop, "_detach", lambda log: None)
    monkeypatch.setattr(_Requests, "answer", spoil)
    ours.send_bytes(b'{"do": "time"}')
    main_loop.serve(theirs, "", [3, 0], None, [], None)
    worker = Worker.__new__(Worker)
    vars(worker).update(_pipe=ours, _marks=[3, 0], _process=Killed(), _ready=True, _doing="being timed")
    assert ours.recv_bytes() == b'{"ready": true}'
    with pytest.raises(WorkerEnded, match="it left a thread running") as end:
        worker.reply(6)
    assert (end.value.status, end.value.index) == (Status.FAILED, 3)


def test_a_compiler_has_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, held = [1000], [400]
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[-1], resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda which, both: limits.append(both[0]))
    monkeypatch.setattr(memory, "_status_bytes", lambda name: held[-1])
    with memory.room_to_compile():
        assert limits[-1] == 1000 + memory.COMPILER_BYTES
        held.append(450)
    assert limits[-1] == 1050, "what the compiler leaves behind is not the case's"
    limits[-1] = resource.RLIM_INFINITY
    with memory.room_to_compile():
        assert limits[-1] == resource.RLIM_INFINITY


def test_workers_compile_in_their_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_COMPILE_THREADS")
    starting.prepare_environment()
    assert os.environ["TORCHINDUCTOR_COMPILE_THREADS"] == "1"


REAL = """
name: compilers
question: What do compilers make of a window?
shape: {batch: 1, heads: 2, head_dim: 16, seq_len: 5}
variants:
  - full: {implementation: [eager, sdpa_cudnn]}
  - local_window: {window: 3, implementation: [blockwise, compiled, flex]}
baseline: full/eager
measure: {processes: 1, values: 2, value_ms: 1}
"""


@pytest.mark.slow
def test_a_run_with_compilers(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(REAL)
    done = bench("run", "real.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv").set_index("implementation")
    assert table.index[table.status == "unsupported"].tolist() == ["sdpa_cudnn"]
    passed = table[table.status == "passed"]
    assert len(passed) == 4
    compiles = passed.index.isin(COMPILED)
    assert passed.compile_ns[compiles].notna().all()
    assert passed.compile_ns[~compiles].isna().all()
    assert (passed.time_ns[compiles] < passed.compile_ns[compiles]).all()
    assert "before the first value at N = 5" in (tmp_path / "out" / "table.md").read_text()
