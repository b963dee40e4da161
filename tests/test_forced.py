"""Kernels of torch's that are forced: refused off CUDA, and on it with torch's own reason."""

import pytest
import torch
from definitions import FORCED
from settings import check, pattern_of, setting
from torch.nn.attention import SDPBackend

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


@pytest.mark.parametrize("implementation", FORCED)
def test_off_cuda_it_is_refused_in_one_line(implementation: str) -> None:
    reason = kernels.load(implementation).supports(FULL, setting(SHAPE, "float32", "cpu", "forward"))
    assert reason == f"{implementation} runs on cuda only, found cpu; there sdpa has one fused kernel"


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
def test_the_kernel_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    """On a CPU torch has the textbook and one fused kernel, and either can be forced."""
    pattern = pattern_of("full", {"causal": causal})
    operators: dict[SDPBackend, set[str]] = {}
    for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
        kernel = Forced("forced", backend, "").build(pattern, setting(SHAPE, "float32", "cpu"))
        assert check(kernel.call, pattern.spans(61), SHAPE, "float32", "cpu", gradients=True).problem is None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            kernel.call(*inputs(SHAPE, "float32", "cpu")[:3])
        operators[backend] = {event.name for event in profiler.events()}
    assert "aten::_scaled_dot_product_attention_math" in operators[SDPBackend.MATH]
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in operators[SDPBackend.FLASH_ATTENTION]


def test_the_textbook_computes_and_holds_every_pair() -> None:
    causal = pattern_of("full", {"causal": True})
    asked = causal, setting(SHAPE.at(512), "bfloat16", "cuda"), 1
    math, flash = (kernels.load(name).predict_bytes(*asked) for name in ("sdpa_math", "sdpa_flash"))
    assert math == 2 * 4 * 512**2 * 4
    assert flash == 4 * 512 * (8 * 2 + 4)
    assert (
        Forced("forced", SDPBackend.MATH, "").build(causal, setting(SHAPE, "float32", "cpu")).computed_pairs
        == 4 * 61**2
    )
