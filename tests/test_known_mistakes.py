"""Right values that others got wrong in public: each test says what went wrong, and where."""

import math
from collections.abc import Callable

import pytest
import torch
from test_kernels import pattern_of
from torch.nn.functional import scaled_dot_product_attention

from attnbench.runner import memory
from attnbench.runner.worker import calls, clocks
from attnbench.runner.worker.verification import check_rows
from attnbench.suites import Case, Direction
from attnbench.variants import Shape, kernels


def call_of(case: Case) -> Callable[[], object]:
    return calls.ready(calls.build(case, case.shape), calls.inputs(case.shape, case.dtype, case.device), case.direction)


# ROCm/aiter #5665: the whole triangle was counted, 536,887,296 pairs, and twice the hardware's peak reported.
def test_a_causal_window_allows_its_band_and_not_the_triangle() -> None:
    pattern = pattern_of("truncated", {"left": 1023, "right": 0})
    assert pattern.spans(32_768).pairs() == 33_030_656


# karpathy/nanochat #825: a window that was to save memory was only a dense mask; 296 MB at 16 keys, 300 MB at 1,024.
@pytest.mark.parametrize("direction", ["forward", "training"])
def test_a_dense_mask_takes_the_same_memory_at_every_window(direction: Direction) -> None:
    shape, peaks = Shape(1, 6, 6, 2048, 32), set()
    for window in (17, 65, 257, 1025):
        call = call_of(Case("local_window", {"window": window}, "sdpa_masked", shape, "float32", "cpu", direction, 1))
        call()
        peaks.add(memory.cpu_peaks(call).allocated_bytes)
    assert len(peaks) == 1


# sharkdp/hyperfine #319: what took less than the clock could tell was 0.0 ms, and "inf ± NaN times faster".
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_masked", "blockwise"])
def test_a_value_of_one_call_on_one_number_is_finite_and_not_zero(implementation: str, direction: Direction) -> None:
    call = call_of(Case("full", {}, implementation, Shape(1, 1, 1, 1, 1), "float32", "cpu", direction, 1))
    values = [clocks.cpu(call, 1) for _ in range(50)]
    assert all(math.isfinite(value) and value > 0 for value in values)


# pytorch #159247: where 128 does not divide the number of keys, paged flex_attention let queries see beyond the last.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_flex_is_right_in_a_ragged_last_block() -> None:
    shape, pattern = Shape(1, 2, 2, 5000, 32), pattern_of("truncated", {"left": 5, "right": None})
    q, k, v, _ = calls.inputs(shape, "float32", "cpu")
    with torch.no_grad():
        out = kernels.load("flex").build(pattern, shape, "float32", "cpu").attend(q, k, v)
    spans, last = pattern.spans(5000), slice(5000 // 128 * 128, None)
    seen = torch.from_numpy(spans.mask()[last])
    expected = scaled_dot_product_attention(q[:, :, last].double(), k.double(), v.double(), attn_mask=seen)
    torch.testing.assert_close(out[:, :, last].double(), expected, rtol=1e-4, atol=1e-5)
    assert check_rows(spans, q, k, v, out).problem is None
