"""`native`: what it computes at odd sizes and in every dtype, its plan, its memory, and how it is built."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import bench
from definitions import label
from hypothesis import given, settings
from plans import any_spans
from proofs import check_whole
from settings import case_of, pattern_of, setting

from attnbench.runner.machine import memory
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.suites.schema.load import from_dict
from attnbench.variants import IntArray, Shape, Spans, kernels
from attnbench.variants.kernels import _building, native
from attnbench.variants.kernels.native import kernel, library
from attnbench.variants.kernels.native.plan import BLOCK, Pass, plan

ROOT = Path(__file__).resolve().parents[1]
PATTERNS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("truncated", {"left": None, "right": 0}),
    ("local_window", {"window": 33, "dilation": 3}),
    ("longformer", {"window": 65, "globals": 3}),
    ("bigbird", {"block": 32}),
    ("strided", {"stride": 31}),
    ("fixed", {"block": 64, "summary": 4}),
    ("local_window_2d", {"window": (5, 7), "grid": (31, 23)}),
]
SHAPES = [Shape(1, 2, 2, 713, 40), Shape(2, 6, 3, 713, 33), Shape(1, 1, 1, 713, 128, "bnhd")]
DTYPES = ["float32", "bfloat16", "float16"]


@pytest.fixture
def threads() -> Iterator[None]:
    """Three threads, which begin within heads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16 in float32"])
@pytest.mark.parametrize(("name", "parameters"), PATTERNS, ids=label)
def test_it_equals_the_oracle_beyond_a_chunk_of_keys(
    monkeypatch: pytest.MonkeyPatch, name: str, parameters: dict[str, Any], dtype: str
) -> None:
    if " " in dtype:
        monkeypatch.setattr(library, "multiplies_bfloat16", lambda: False)
    pattern, dtype = pattern_of(name, parameters), dtype.partition(" ")[0]
    for shape in SHAPES:
        made = native.build(pattern, setting(shape, dtype, direction="training"))
        spans = pattern.spans(shape.seq_len)
        assert check_whole(made.call, spans, inputs(shape, dtype, "cpu")).problem is None


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "parameters"), PATTERNS, ids=label)
def test_predicted_bytes_are_those_allocated_to_the_byte(
    name: str, parameters: dict[str, Any], dtype: str, direction: str
) -> None:
    for shape in SHAPES[:2]:
        case = case_of(name, parameters, "native", shape, dtype, "cpu", direction)
        call = calls.call(programs.build(case), inputs(shape, dtype, "cpu"), case.setting.direction)
        call.run()
        found = memory.cpu_peaks(call.run).allocated_bytes
        assert native.predict_bytes(case.pattern, case.setting, 3) == found


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_python_and_cpp_agree_on_the_bytes_of_a_thread(dtype: str, pairs: bool) -> None:
    for width in (1, 33, 64):
        for (planned,) in (plan(pattern_of("local_window", {"window": w}).spans(300)) for w in (3, 129)):
            asked = library.Asked(dtype, pairs and dtype == "bfloat16", Shape(1, 1, 1, 300, width), 1)
            for is_backward, bytes_of in enumerate((kernel._forward_bytes, kernel._backward_bytes)):
                found = library.space(asked, bool(is_backward), planned.slots)
                assert found == bytes_of(planned, dtype, asked.pairs, width)


def test_a_band_takes_little_memory_and_none_that_grows_with_its_window() -> None:
    shape = Shape(1, 8, 8, 32_768, 64)
    out = 4 * 8 * 32_768 * 64
    for window in (257, 1025):
        predicted = native.predict_bytes(pattern_of("local_window", {"window": window}), setting(shape), 2)
        assert predicted - out < out / 4


def covered(spans: Spans) -> IntArray:
    """How often a plan computes each pair and does not mask it, `[N, N]`."""
    found = np.zeros((spans.n, spans.n), np.int64)
    for each in plan(spans):
        found += computed(each, spans.n)
    return found


def computed(planned: Pass, n: int) -> IntArray:
    """How often a pass computes each pair and does not mask it, `[N, N]`."""
    pairs = np.zeros((n, n), np.int64)
    first, step, count, slots = planned.blocks
    for tile in range(len(planned.tile_rows) - 1):
        rows = planned.rows[planned.tile_rows[tile] : planned.tile_rows[tile + 1]]
        needed: dict[int, int] = {}
        for run in range(planned.tile_runs[tile], planned.tile_runs[tile + 1]):
            for at, position in enumerate(range(planned.run_start[run], planned.run_stop[run])):
                block, place = divmod(position, BLOCK)
                if place >= count[block]:
                    continue
                mask = planned.run_mask[run]
                bits = int(planned.masks[mask + at]) if mask >= 0 else -1
                pairs[rows, first[block] + place * step[block]] += [bits >> each & 1 for each in range(len(rows))]
                assert needed.setdefault(int(slots[block]), block) == block or len(planned.tile_rows) <= 3
    return pairs


@settings(max_examples=60, deadline=None)
@given(spans=any_spans(150, reach=20))
def test_a_plan_covers_each_allowed_pair_once(spans: Spans) -> None:
    assert (covered(spans) == spans.mask()).all()


@pytest.mark.parametrize(("name", "parameters"), PATTERNS, ids=label)
def test_a_plan_of_a_pattern_covers_each_allowed_pair_once(name: str, parameters: dict[str, Any]) -> None:
    spans = pattern_of(name, parameters).spans(713)
    assert (covered(spans) == spans.mask()).all()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("local_window", {"window": 257}),
        ("longformer", {"window": 257}),
        ("bigbird", {"block": 64}),
        ("strided", {"stride": 128}),
        ("strided", {"stride": 90, "causal": False}),
        ("fixed", {"block": 128, "summary": 32}),
        ("local_window_2d", {"window": (15, 17), "grid": (64, 128)}),
    ],
    ids=label,
)
def test_waste_stays_below_two(name: str, parameters: dict[str, Any]) -> None:
    spans = pattern_of(name, parameters).spans(8192)
    assert sum(each.pairs for each in plan(spans)) < 2 * spans.pairs()


def test_float64_and_cuda_are_refused() -> None:
    pattern, shape = pattern_of("full", {}), Shape(1, 1, 1, 8, 8)
    assert "float64" in (native.supports(pattern, setting(shape, "float64")) or "")
    assert "cuda" in (native.supports(pattern, setting(shape, device="cuda")) or "")


def suite(**axes: Any) -> Any:
    shape = {"batch": 1, "heads": 1, "head_dim": 8, "seq_len": 64}
    variants = ["full", {"local_window": {"window": 9}}]
    return from_dict({"name": "x", "question": "?", "shape": shape, "variants": variants, **axes}, "x")


def used(made: Any) -> set[str]:
    return {case.implementation for case in made.cases()}


def test_it_is_usual_for_patterns_on_a_cpu_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    made = suite()
    assert used(made) == {"sdpa", "native"}
    assert used(suite(device=["cpu", "cuda"])) == {"sdpa", "blockwise"}
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert used(suite()) == {"sdpa", "blockwise"}
    assert used(from_dict(made.to_json(), "x")) == {"sdpa", "native"}


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _building._library.cache_clear()
    yield tmp_path / "cache"
    _building._library.cache_clear()


def test_reading_a_suite_builds_nothing(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nquestion: '?'\nshape: {batch: 1, heads: 1, head_dim: 8, seq_len: 64}\n"
        "dtype: bfloat16\nvariants: [full, {local_window: {window: 9}}]\n"
    )
    for words in (("list",), ("validate", tmp_path / "mine.yaml"), ("run", tmp_path / "mine.yaml", "--dry-run")):
        assert bench(*words)[0] == 0
    assert not list(empty.rglob("*.so"))


def test_a_compiler_that_fails_gives_its_first_error(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", "-include missing.h")
    with pytest.raises(_building.BuildError, match="error") as first:
        _building.build()
    asked = pattern_of("full", {}), setting(Shape(1, 1, 1, 8, 8))
    assert native.supports(*asked) == str(first.value)


def test_several_processes_build_once_and_without_a_warning(empty: Path) -> None:
    code = "from attnbench.variants.kernels import _building; print(_building.build())"
    environment = {**os.environ, "CXXFLAGS": "-Werror -O1", "PYTHONPATH": str(ROOT / "typings")}

    def built(_: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(built, range(2)))) == 1
    assert len(list(empty.rglob("*.so"))) == 1


SANITIZED = """
import torch
from settings import setting
from attnbench import variants
from attnbench.variants import Shape
from attnbench.variants.kernels import native
torch.set_num_threads(3)
for dtype in ("float32", "bfloat16", "float16"):
    for name, given in {patterns!r}:
        for heads, kv_heads, n, width in ((1, 1, 1, 1), (2, 2, 67, 33), (4, 2, 130, 16), (1, 1, 713, 40)):
            pattern = variants.load(name).parameters(**given)
            if pattern.unsupported(n):
                continue
            made = native.build(pattern, setting(Shape(1, heads, kv_heads, n, width), dtype))
            sizes = (heads, kv_heads, kv_heads)
            q, k, v = (torch.randn(1, each, n, width).to(getattr(torch, dtype)).requires_grad_() for each in sizes)
            out = made.call(q, k, v)
            assert all(each.isfinite().all() for each in torch.autograd.grad(out, (q, k, v), torch.randn_like(out)))
"""


def _library(name: str) -> Path:
    """A library of g++; the bare name if it is not there."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip())


@pytest.mark.slow
def test_sanitizers_find_nothing(empty: Path, tmp_path: Path) -> None:
    # Not everybody has g++ with its sanitizers; CI has, and there it is an error.
    stop = pytest.fail if "CI" in os.environ else pytest.skip
    if shutil.which("g++") is None:
        stop("the flags are those of g++, which is not here")
    # Without libstdc++ beside it, the sanitizer ends the process where torch throws: on CPUs that lack its kernels.
    libraries = [_library("libasan.so"), _library("libstdc++.so")]
    if not all(map(Path.is_absolute, libraries)):
        stop("g++ was installed without its sanitizers")
    script = tmp_path / "sanitized.py"
    script.write_text(SANITIZED.format(patterns=PATTERNS))
    environment = {
        **os.environ,
        "CXX": "g++",
        "CXXFLAGS": "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer",
        "LD_PRELOAD": ":".join(map(str, libraries)),
        "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0",
        "PYTHONPATH": f"{ROOT / 'typings'}:{ROOT / 'tests'}",
    }
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_implementation_name_is_known() -> None:
    assert {kernels.PREFERRED, kernels.PORTABLE} <= set(kernels.names())
