"""What only a CUDA device can show. All tests marked `gpu` are here: `make gpu` runs this file."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from definitions import CASES, COMPILED, CUDA_MECHANISM_PEERS, CUDA_PEERS, FORCED, PEERS, SCORED, label, takers
from settings import case_of, check, pattern_of, problems, setting

from attnbench.runner.ab import paired_timing
from attnbench.runner.ab.live_pair import Arm, Limits
from attnbench.runner.machine import environment, memory
from attnbench.runner.worker.call import calls, clocks, launches, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.process import failure
from attnbench.runner.worker.proof import small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Status
from attnbench.suites.schema.load import parse
from attnbench.variants import Shape, kernels, mechanism_peers

pytestmark = pytest.mark.gpu

HERE = Path(__file__).parent
LENGTHS = (1, 61, 259)
PLAIN = [name for name in kernels.names() if name not in (*COMPILED, *FORCED, *PEERS)]
CYCLES = 2_000_000
"""About a millisecond."""

SUITE = """
name: tiny
question: Does it run on a GPU?
shape: {batch: 1, heads: 4, head_dim: 64, seq_len: 257}
dtype: bfloat16
device: cuda
direction: [forward, training]
variants:
  - full: {implementation: [eager, sdpa, sdpa_masked]}
  - local_window: {window: 17}
  - longformer: {window: 17}
  - bigbird: {block: 16}
baseline: full/sdpa
measure: {processes: 3, values: 3, value_ms: 1}
"""

FAULTS = """
name: faults
question: Does each fault on a GPU get its status, and cost nothing else?
shape: {batch: 1, heads: 2, head_dim: 64, seq_len: 64}
device: cuda
variants: [asserting, huge, full, raising, wrong, asserting_late, {truncated: {left: 8, right: 8}}]
measure: {processes: 1, values: 3, value_ms: 1}
"""


@pytest.mark.parametrize("clock", [launches.cold, launches.hot, lambda: clocks.cuda_wall])
def test_more_work_takes_longer(
    clock: Callable[[], clocks.Clock], record_property: Callable[[str, object], None]
) -> None:
    timed = clock()
    few_ns, many_ns = (timed(spin(cycles), 5) for cycles in (CYCLES, 4 * CYCLES))
    record_property("ns_of_cycles", {CYCLES: few_ns, 4 * CYCLES: many_ns})
    assert many_ns > few_ns > 0


def test_a_held_device_runs_what_is_queued_without_a_gap(record_property: Callable[[str, object], None]) -> None:
    tensor = torch.zeros(1024, device="cuda")

    def forty() -> None:
        for _ in range(40):
            tensor.add_(1)

    value = launches.hot().value(forty, 50)
    record_property("forty_small_kernels", vars(value))
    assert value.gaps <= 5, "of 50"


def test_the_peak_is_that_of_the_tensors_made() -> None:
    def call() -> None:
        torch.empty(2**24, device="cuda")
        both = torch.empty(2**24, device="cuda"), torch.empty(2**23, device="cuda")
        del both

    peaks = memory.cuda_peaks(call)
    assert peaks.allocated_bytes == 2**26 + 2**25
    assert peaks.reserved_bytes is not None
    assert peaks.reserved_bytes >= peaks.allocated_bytes


def test_free_memory_is_that_of_the_device() -> None:
    free_bytes = memory.cuda_free_bytes()
    assert free_bytes is not None
    assert 0 < free_bytes <= torch.cuda.get_device_properties(0).total_memory


def test_what_does_not_fit_is_out_of_memory() -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2**42, device="cuda")
    assert failure.of_exception(caught.value)[0] is Status.OUT_OF_MEMORY


def test_the_environment_names_the_gpu(record_property: Callable[[str, object], None]) -> None:
    facts = environment.of_torch()
    record_property("environment", facts)
    assert facts["gpu"]
    assert facts["gpu_l2_bytes"] > 0


def bench(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attnbench.runner", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_run_measures_every_case_cold_and_hot(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    done = bench("run", "tiny.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert len(table) == 12
    assert set(table.status) == {"passed"}
    measured = table[["time_ns", "hot_time_ns", "host_ns", "peak_bytes", "reserved_bytes", "launch_bound"]]
    assert measured.notna().all(axis=None)
    assert (table.time_low_ns <= table.time_ns).all()


def test_every_fault_gets_its_status_and_the_others_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(FAULTS)
    done = bench("run", "faults.yaml", "--variants", HERE / "variants", "--out", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv").set_index("variant")
    assert dict(table.status) == {
        "asserting": "failed",
        "huge": "out_of_memory",
        "full": "passed",
        "raising": "failed",
        "wrong": "wrong",
        "asserting_late": "crashed",
        "truncated": "passed",
    }
    assert "device-side assert" in table.reason["asserting"]
    assert "device-side assert" in table.reason["asserting_late"]
    assert (table.processes[table.status == "passed"] == 1).all()


def test_a_pair_of_processes_sees_twice_the_work(record_property: Callable[[str, object], None]) -> None:
    cases = [case for case in parse(SUITE, "tiny.yaml").cases() if case.setting.direction == "training"]
    plans = {case.key: Plan(20, 9) for case in cases}
    setting = Limits(value_ns=1e6, patience_s=60, budget_bytes=None)
    titles = {case.key: case.title for case in cases}
    found = [paired_timing.measure_pair((Arm("A"), Arm("B", more)), cases, plans, setting, "0") for more in (0.0, 1.0)]
    same, twice = (each.ratios for each in found)
    told = {titles[key]: {"same": same[key], "twice": twice[key]} for key in titles}
    record_property("log_ratios", json.dumps(told))
    assert all(twice[key] > same[key] for key in titles)


@pytest.mark.parametrize("parameters", [{}, {"causal": True}], ids=label)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("implementation", FORCED)
def test_a_forced_kernel_equals_the_oracle_or_says_in_torchs_words_why_not(
    implementation: str, dtype: str, parameters: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    pattern, shape = pattern_of("full", parameters), Shape(1, 4, 4, 259, 64)
    refused = kernels.load(implementation).supports(pattern, setting(shape, dtype, "cuda", "training"))
    record_property("refused", refused)
    if refused is None:
        kernel = kernels.load(implementation).build(pattern, setting(shape, dtype, "cuda"))
        assert check(kernel.call, pattern.spans(259), shape, dtype, "cuda", gradients=True).problem is None
    else:
        assert implementation != "sdpa_math"
        assert "No available kernel" not in refused


@pytest.mark.parametrize("peer", sorted({*CUDA_PEERS} - {"flashinfer"}))  # that one compiles for minutes
def test_a_package_equals_the_oracle_or_says_why_not(peer: str, record_property: Callable[[str, object], None]) -> None:
    pattern, shape = pattern_of("local_window", {"window": 17, "causal": True}), Shape(1, 4, 4, 259, 64)
    refused = kernels.load(peer).supports(pattern, setting(shape, "bfloat16", "cuda", "training"))
    record_property("refused", refused)
    if refused is None:
        kernel = kernels.load(peer).build(pattern, setting(shape, "bfloat16", "cuda", "training"))
        assert check(kernel.call, pattern.spans(259), shape, "bfloat16", "cuda", gradients=True).problem is None


@pytest.mark.parametrize("peer", CUDA_MECHANISM_PEERS)
def test_a_package_equals_the_reference_of_a_mechanism_or_says_why_not(
    peer: str, record_property: Callable[[str, object], None]
) -> None:
    found, parameters = mechanism_peers.load(peer), {"causal": True} if peer == "fla_linear" else {}
    for shape in (Shape(1, 4, 4, 61, 64), Shape(1, 4, 4, 259, 64, "bnhd")):
        made = case_of(found.VARIANT, parameters, peer, shape, "bfloat16", "cuda", "training")
        refused = found.supports(made.parameters, made.setting)
        record_property(f"refused in {shape.layout}", refused)
        if refused is None:
            program = programs.build(made)
            assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


@pytest.mark.parametrize("direction", ["forward", "training"])
@pytest.mark.parametrize("peer", sorted({*CUDA_PEERS} - {"flashinfer"}))
def test_predicted_bytes_of_a_package_are_those_allocated(
    peer: str, direction: str, record_property: Callable[[str, object], None]
) -> None:
    for kv_heads in (16, 4):
        # So many tiles that FlashAttention 2 does not divide the keys.
        shape = Shape(2, 16, kv_heads, 2048, 64, "bnhd")
        made = case_of("local_window", {"window": 257, "causal": True}, peer, shape, "bfloat16", "cuda", direction)
        refused = kernels.load(peer).supports(made.pattern, made.setting)
        record_property(f"refused with {kv_heads} key heads", refused)
        if refused is None:
            call = calls.call(programs.build(made), inputs(shape, "bfloat16", "cuda"), made.setting.direction).run
            call()
            predicted = kernels.load(peer).predict_bytes(made.pattern, made.setting, 0)
            assert predicted == pytest.approx(memory.cuda_peaks(call).allocated_bytes, rel=0.1)


@pytest.mark.parametrize("implementation", COMPILED)
def test_what_a_compiler_makes_equals_the_oracle(implementation: str) -> None:
    parameters: dict[str, Any] = {"window": 17, "globals": 3}
    pattern, shape = pattern_of("longformer", parameters), Shape(1, 4, 2, 259, 64)
    assert kernels.load(implementation).supports(pattern, setting(shape, "bfloat16", "cuda", "training")) is None
    kernel = kernels.load(implementation).build(pattern, setting(shape, "bfloat16", "cuda"))
    assert check(kernel.call, pattern.spans(259), shape, "bfloat16", "cuda", gradients=True).problem is None


@pytest.mark.parametrize(("name", "parameters"), SCORED, ids=label)
def test_modified_scores_equal_the_oracle(name: str, parameters: dict[str, Any]) -> None:
    for how in ("eager", "flex", *(["sdpa_masked"] if name == "alibi" else [])):
        made = case_of(name, parameters, how, Shape(1, 4, 2, 259, 64), "bfloat16", "cuda", "training")
        program = programs.build(made)
        expect = partial(must_give, made, program, made.pattern.spans(259))
        assert small.check(program, made.setting, expect).problem is None


# Last, for they take long: what is cut off for lack of time has said the rest.


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_it_equals_the_oracle(name: str, parameters: dict[str, Any]) -> None:
    pattern = pattern_of(name, parameters)
    for n, dtype in product(LENGTHS, ("float32", "bfloat16", "float16")):
        shape, calls = Shape(1, 4, 2, n, 64), {}
        for each in takers(PLAIN, name, parameters, n, "cuda"):
            assert kernels.load(each).supports(pattern, setting(shape, dtype, "cuda", "training")) is None
            calls[each] = kernels.load(each).build(pattern, setting(shape, dtype, "cuda")).call
        if calls:
            assert problems(calls, pattern.spans(n), shape, dtype, "cuda") == {}


def spin(cycles: int) -> Callable[[], None]:
    return partial(torch.cuda._sleep, cycles)
