"""Right values that others got wrong in public: each test says what went wrong."""

import math
from collections.abc import Callable

import pytest
import torch
from proofs import check_whole
from settings import case_of, pattern_of, setting

from attnbench.runner.machine import memory
from attnbench.runner.worker.call import calls, clocks, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.suites import Case
from attnbench.variants import Direction, Shape, kernels


def call_of(case: Case) -> Callable[[], object]:
    return calls.ready(
        programs.build(case),
        inputs(case.setting.shape, case.setting.dtype, case.setting.device),
        case.setting.direction,
    ).run


# A kernel library counted the whole triangle, 536,887,296 pairs, and reported twice the hardware's peak.
def test_a_causal_window_allows_its_band_and_not_the_triangle() -> None:
    pattern = pattern_of("truncated", {"left": 1023, "right": 0})
    assert pattern.spans(32_768).pairs() == 33_030_656


# A window that was to save memory was only a dense mask; 296 MB at 16 keys, 300 MB at 1,024.
@pytest.mark.parametrize("direction", ["forward", "training"])
def test_a_dense_mask_takes_the_same_memory_at_every_window(direction: Direction) -> None:
    shape, peaks = Shape(1, 6, 6, 2048, 32), set()
    for window in (17, 65, 257, 1025):
        call = call_of(
            case_of("local_window", {"window": window}, "sdpa_masked", shape, "float32", "cpu", direction, 1)
        )
        call()
        peaks.add(memory.cpu_peaks(call).allocated_bytes)
    assert len(peaks) == 1


# What took less than the clock could tell was 0.0 ms, and "inf ± NaN times faster".
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_masked", "blockwise"])
def test_a_value_of_one_call_on_one_number_is_finite_and_not_zero(implementation: str, direction: Direction) -> None:
    call = call_of(case_of("full", {}, implementation, Shape(1, 1, 1, 1, 1), "float32", "cpu", direction, 1))
    values = [clocks.cpu(call, 1) for _ in range(50)]
    assert all(math.isfinite(value) and value > 0 for value in values)


# Where 128 does not divide the number of keys, paged flex_attention let queries see beyond the last.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_flex_is_right_in_a_ragged_last_block() -> None:
    shape, pattern = Shape(1, 2, 2, 5000, 32), pattern_of("truncated", {"left": 5, "right": None})
    kernel = kernels.load("flex").build(pattern, setting(shape, "float32", "cpu"))
    given = inputs(shape, "float32", "cpu")
    with torch.no_grad():
        assert check_whole(kernel.call, pattern.spans(5000), given, grads=False).problem is None
