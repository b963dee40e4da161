"""A CPU with a matrix unit packs keys and values: what that takes is predicted, and measured where a kernel packs."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from settings import pattern_of, setting

from attnbench.runner.machine import memory
from attnbench.runner.worker.call.inputs import inputs
from attnbench.variants import Shape, kernels
from attnbench.variants.kernels import _memory

PACKS = "_ZN2at6native7cpublas10could_packEN3c1010ScalarTypeE"
COULD_PACK = f"int {PACKS}(signed char type) {{ return type == 15; }}"
"""torch's own question, answered yes for bfloat16."""

Asked = tuple[str, str, dict[str, int], Shape]
CASES: list[Asked] = [
    ("sdpa", "full", {}, Shape(1, 8, 8, 1024, 64)),
    ("sdpa", "full", {"causal": True}, Shape(2, 4, 2, 333, 33)),
    ("sdpa", "full", {}, Shape(1, 2, 2, 63, 64)),
    ("sdpa", "full", {}, Shape(1, 6, 1, 129, 32, "bnhd")),
    ("sdpa_masked", "local_window", {"window": 65}, Shape(1, 4, 2, 1025, 17)),
    ("blockwise", "local_window", {"window": 129}, Shape(1, 8, 2, 1024, 64)),
    ("blockwise", "longformer", {"window": 129}, Shape(1, 8, 8, 1024, 64)),
]
"""Odd numbers of keys, odd heads, too few queries to pack, and shared key heads among them."""


def predicted(asked: Asked, threads: int, dtype: str = "bfloat16") -> int:
    implementation, name, parameters, shape = asked
    return kernels.load(implementation).predict_bytes(pattern_of(name, parameters), setting(shape, dtype), threads)


def measured(asked: Asked, dtype: str = "bfloat16") -> int:
    implementation, name, parameters, shape = asked
    kernel = kernels.load(implementation).build(pattern_of(name, parameters), setting(shape, dtype, "cpu"))
    q, k, v, _ = inputs(shape, dtype, "cpu", 0)
    kernel.call(q, k, v)
    return memory.cpu_peaks(lambda: kernel.call(q, k, v)).allocated_bytes


@pytest.fixture
def with_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "could_pack", lambda dtype: dtype in (torch.float16, torch.bfloat16))


@pytest.mark.parametrize(
    ("shape", "threads", "dtype", "packed"),
    [
        # Keys and values once more, and a tile of 512 keys for each thread.
        (Shape(1, 8, 8, 1024, 64), 2, "bfloat16", 2 * (2 * 8 * 1024 * 64 + 2 * 512 * 64)),
        (Shape(1, 8, 2, 1024, 64), 2, "bfloat16", 2 * (2 * 2 * 1024 * 64 + 2 * 512 * 64)),
        # 33 wide is made 34 in keys and a tile of 64 queries; 333 keys are made 334 in values and weights.
        (
            Shape(1, 4, 4, 333, 33),
            2,
            "bfloat16",
            2 * (4 * (333 * 34 + 334 * 33) + 2 * (333 * 33 + 64 * 34 + 64)),
        ),
        (Shape(1, 8, 8, 63, 64), 2, "bfloat16", 0),
        (Shape(1, 8, 8, 63, 64), 2, "float16", 2 * (8 * (63 + 64) * 64 + 2 * (63 * 64 + 32))),
        (Shape(1, 8, 8, 15, 64), 2, "float16", 0),
        # 64 heads of two tiles of 32 queries for 64 threads: one query for each key head is enough in float16 alone.
        (Shape(1, 64, 64, 64, 64), 64, "bfloat16", 0),
        (Shape(1, 64, 64, 64, 64), 64, "float16", 2 * (64 * 2 * 64 * 64 + 64 * 64 * 64)),
        (Shape(1, 8, 8, 1024, 64), 2, "float32", 0),
        (Shape(1, 8, 8, 1024, 64), 0, "bfloat16", 0),
    ],
    ids=str,
)
def test_packing_adds_what_the_kernel_asks_for(
    shape: Shape, threads: int, dtype: str, packed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Asked = ("sdpa", "full", {}, shape)
    monkeypatch.setattr(_memory, "could_pack", lambda dtype: False)
    plain = predicted(asked, threads, dtype)
    monkeypatch.setattr(_memory, "could_pack", lambda dtype: dtype in (torch.float16, torch.bfloat16))
    assert predicted(asked, threads, dtype) == plain + packed


def test_nothing_is_packed_to_go_back(with_packing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(1, 8, 8, 1024, 64)
    asked = pattern_of("full", {}), setting(shape, "bfloat16", direction="backward"), 2
    backward = kernels.load("sdpa").predict_bytes(*asked)
    monkeypatch.setattr(_memory, "could_pack", lambda dtype: False)
    assert kernels.load("sdpa").predict_bytes(*asked) == backward


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_full_precision_is_never_packed(dtype: torch.dtype) -> None:
    assert not _memory.could_pack(dtype)


@pytest.mark.parametrize("asked", CASES, ids=str)
def test_predicted_bytes_are_those_allocated_whatever_this_cpu_packs(asked: Asked) -> None:
    assert predicted(asked, torch.get_num_threads()) == pytest.approx(measured(asked), rel=0.1)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or "AVX512" not in torch.backends.cpu.get_cpu_capability() or not shutil.which("cc"),
    reason="needs a compiler, and a CPU on which the kernel that packs can run",
)
def test_predicted_bytes_are_those_allocated_by_a_kernel_made_to_pack(with_packing: None, tmp_path: Path) -> None:
    library, source = tmp_path / "packing.so", tmp_path / "packing.c"
    source.write_text(COULD_PACK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, check=True, capture_output=True, text=True, timeout=120
    )
    threads, *peaks = json.loads(done.stdout)
    assert [predicted(each, threads) for each in CASES] == pytest.approx(peaks, rel=0.02)


if __name__ == "__main__":
    print(json.dumps([torch.get_num_threads(), *map(measured, CASES)]))
