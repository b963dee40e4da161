"""Kernels of torch's that are forced: those that a CPU has, and refusals with torch's own reason."""

from functools import partial

import pytest
import torch
from definitions import FORCED, ON_CUDA
from settings import case_of, pattern_of, setting
from torch.nn.attention import SDPBackend

from attnbench.runner.machine import memory
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.variants import Shape, kernels
from attnbench.variants.kernels._forced import Forced, reason

SHAPE = Shape(1, 4, 2, 61, 8)
FULL = pattern_of("full", {})
WARNED = (
    "Memory efficient kernel not used because: (Triggered internally at sdp_utils.cpp:1026.)",
    "Memory Efficient attention has been runtime disabled. (Triggered internally at sdp_utils_cpp.h:576.)",
    "Flash attention kernel not used because: (Triggered internally at sdp_utils.cpp:1028.)",
    "Expected query, key and value to all be of dtype: {Half, BFloat16}. Got Query\ndtype: float. (Triggered"
    " internally at sdp_utils_cpp.h:92.)",
    "Head dims differ.",
    "cuDNN attention kernel not used because:",
    "cuDNN attention has been runtime disabled.",
)


@pytest.mark.parametrize("implementation", ON_CUDA)
def test_off_cuda_it_is_refused_in_one_line(implementation: str) -> None:
    reason = kernels.load(implementation).supports(FULL, setting(SHAPE, "float32", "cpu", "forward"))
    assert reason == f"{implementation} runs on cuda only, found cpu; there torch has sdpa_flash and sdpa_math"


def test_what_torch_refuses_on_a_cpu_is_refused_in_its_words() -> None:
    asked = Forced("forced", SDPBackend.EFFICIENT_ATTENTION, "memory efficient", on_cpu=True)
    reason = asked.supports(FULL, setting(SHAPE.at(2**20), "float32", "cpu", "training"))
    assert reason
    assert "\n" not in reason


@pytest.mark.parametrize("implementation", FORCED)
def test_a_pattern_that_needs_a_mask_is_refused_first(implementation: str) -> None:
    window = pattern_of("local_window", {"window": 3})
    assert kernels.load(implementation).supports(window, setting(SHAPE, "bfloat16", "cuda", "forward")) == (
        "sdpa takes no mask, and this pattern needs one; use sdpa_masked or blockwise"
    )


@pytest.mark.parametrize("implementation", FORCED)
def test_without_a_device_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, implementation: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (
        kernels.load(implementation).supports(FULL, setting(SHAPE, "bfloat16", "cuda", "forward"))
        == "no CUDA device here"
    )


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("memory efficient", "Memory Efficient attention has been runtime disabled."),
        (
            "flash attention",
            "Expected query, key and value to all be of dtype: {Half, BFloat16}. Got Query dtype: float. "
            "Head dims differ.",
        ),
        ("cudnn attention", "cuDNN attention has been runtime disabled."),
        ("another", ""),
    ],
)
def test_the_reason_is_what_torch_says_of_that_kernel(called: str, expected: str) -> None:
    assert reason(WARNED, called) == expected


@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_is_the_one_that_is_named(causal: bool) -> None:
    pattern = pattern_of("full", {"causal": causal})
    for implementation, kernel in (("sdpa_math", "math"), ("sdpa_flash", "flash")):
        call = kernels.load(implementation).build(pattern, setting(SHAPE, "float32", "cpu")).call
        given = inputs(SHAPE, "float32", "cpu")[:3]
        assert memory.cpu_peaks(partial(call, *given)).torch_kernel == kernel


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("implementation", ["sdpa_flash", "sdpa_math"])
def test_predicted_bytes_are_those_allocated(implementation: str, causal: bool, dtype: str, direction: str) -> None:
    for shape in (Shape(1, 4, 4, 512, 64), Shape(2, 4, 2, 300, 32, "bnhd"), Shape(1, 4, 4, 61, 64)):
        case = case_of("full", {"causal": causal}, implementation, shape, dtype, "cpu", direction)
        call = calls.call(programs.build(case), inputs(shape, dtype, "cpu"), case.setting.direction).run
        call()
        asked = case.pattern, case.setting, torch.get_num_threads()
        predicted = kernels.load(implementation).predict_bytes(*asked)
        assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.05)


def test_the_textbook_computes_and_holds_every_pair() -> None:
    causal = pattern_of("full", {"causal": True})
    asked = causal, setting(SHAPE.at(512), "bfloat16", "cuda"), 0
    math, flash = (kernels.load(name).predict_bytes(*asked) for name in ("sdpa_math", "sdpa_flash"))
    assert math > 2 * 4 * 512**2 * 4
    assert flash == 4 * 512 * (8 * 2 + 4)
    built = kernels.load("sdpa_math").build(causal, setting(SHAPE, "float32", "cpu"))
    assert built.computed_pairs == 4 * 61**2
