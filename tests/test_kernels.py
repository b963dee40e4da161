"""Implementations: equal to the oracle, blind to what a query may not see, and honest about what they compute."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from definitions import CASES, COMPILED, PEERS, exists, label, takers
from hypothesis import given, settings
from plans import any_spans, covered, mask
from proofs import check_whole
from settings import case_of, pattern_of, problems, setting
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from attnbench.runner.machine import memory
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.proof import oracle
from attnbench.variants import Direction, Shape, Spans, kernels
from attnbench.variants.kernels import Program
from attnbench.variants.kernels.blockwise import parts, plan

LENGTHS = (1, 5, 61, 130, 259)
PLAIN = [name for name in kernels.names() if name not in (*COMPILED, *PEERS)]
"""The others have files of their own."""


def build(
    name: str, parameters: dict[str, Any], implementation: str, shape: Shape, dtype: str = "float32"
) -> tuple[Program, Spans]:
    """The kernel and its pattern's spans."""
    pattern = pattern_of(name, parameters)
    assert kernels.load(implementation).supports(pattern, setting(shape, dtype, "cpu", "training")) is None
    return kernels.load(implementation).build(pattern, setting(shape, dtype, "cpu")), pattern.spans(shape.seq_len)


def forward(kernel: Program, *tensors: Tensor) -> Tensor:
    with torch.no_grad():
        return kernel.call(*tensors)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_it_refuses_what_it_cannot_compute(name: str, parameters: dict[str, Any]) -> None:
    pattern = pattern_of(name, parameters)
    for n in LENGTHS[:4]:
        asked = setting(Shape(1, 3, 3, n, 8), direction="training")
        every = [each for each in kernels.names() if each not in PEERS]
        refusing = {each for each in every if kernels.load(each).supports(pattern, asked)}
        assert refusing == {*every} - {*takers(every, name, parameters, n)}, n


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_it_equals_the_oracle(name: str, parameters: dict[str, Any]) -> None:
    grouped, alone = [Shape(2, 6, 2, n, 8) for n in LENGTHS], [Shape(1, 3, 3, n, 8) for n in (5, 130)]
    for shape in (*grouped, *alone):
        assert_right(name, parameters, shape, "float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_it_equals_the_oracle_in_other_dtypes(name: str, parameters: dict[str, Any], dtype: str) -> None:
    for shape in (Shape(1, 6, 2, 61, 16, "bnhd"), Shape(1, 6, 2, 130, 16)):
        assert_right(name, parameters, shape, dtype)


def assert_right(name: str, parameters: dict[str, Any], shape: Shape, dtype: str) -> None:
    """Each implementation that takes this is right, with gradients and without."""
    calls = {
        each: build(name, parameters, each, shape, dtype)[0].call
        for each in takers(PLAIN, name, parameters, shape.seq_len)
        if (each, dtype) != ("native", "float64")  # refused
    }
    if calls:
        assert problems(calls, pattern_of(name, parameters).spans(shape.seq_len), shape, dtype) == {}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("local_window", {"window": 1025}),
        ("longformer", {"window": 257, "globals": 2}),
        ("bigbird", {"block": 64}),
        ("truncated", {"left": None, "right": 0}),
        ("strided", {"stride": 45}),
        ("strided", {"stride": 45, "causal": False}),
        ("fixed", {"block": 64, "summary": 4}),
        ("fixed", {"block": 64, "summary": 4, "causal": False}),
    ],
    ids=label,
)
def test_long_sequences_equal_the_oracle(name: str, parameters: dict[str, Any]) -> None:
    shape = Shape(1, 2, 2, 2111, 64)
    kernel, spans = build(name, parameters, "blockwise", shape)
    assert check_whole(kernel.call, spans, inputs(shape, "float32", "cpu", 0)).problem is None


@pytest.mark.parametrize(("name", "parameters"), [each for each in CASES if exists(*each, 61)], ids=label)
def test_a_key_changes_those_who_see_it_and_nobody_else(name: str, parameters: dict[str, Any]) -> None:
    n, places = 61, (0, 17, 30, 60)
    shape = Shape(1, 2, 2, n, 8)
    q, k, v, _ = inputs(shape, "float32", "cpu", 0)
    mask = torch.from_numpy(pattern_of(name, parameters).spans(n).mask())
    moved = [(k.clone(), v.clone()) for _ in places]
    for j, (moved_k, moved_v) in zip(places, moved, strict=True):
        moved_k[:, :, j] += 3
        moved_v[:, :, j] -= 2
    right = [oracle.attention(q, *each, mask) for each in moved]
    for implementation in takers(PLAIN, name, parameters, n):
        kernel, _ = build(name, parameters, implementation, shape)
        before = forward(kernel, q, k, v)
        for j, changed, wanted in zip(places, moved, right, strict=True):
            after, blind = forward(kernel, q, *changed), ~mask[:, j]
            assert torch.equal(after[:, :, blind], before[:, :, blind]), (implementation, j)
            assert (after[:, :, ~blind] != before[:, :, ~blind]).any(dim=3).all(), (implementation, j)
            assert torch.allclose(after, wanted, atol=1e-4, rtol=1e-4), (implementation, j)


def computed(name: str, parameters: dict[str, Any], implementation: str, n: int, poisoned: str) -> np.ndarray:
    """Which pairs `[N, N]` are computed: the rows that turn NaN when one key, or its value, is NaN.

    Batch entry j has its j-th key poisoned.
    """
    shape = Shape(n, 1, 1, n, 4)
    kernel, spans = build(name, parameters, implementation, shape)
    tensors = dict(zip("qkv", inputs(shape, "float32", "cpu", 0)[:3], strict=True))
    tensors[poisoned][torch.arange(n), 0, torch.arange(n)] = torch.nan
    turned = forward(kernel, *tensors.values()).isnan().any(dim=3)[:, 0]
    assert kernel.computed_pairs is not None
    # A pair that two parts reach is computed in both, and turns its row once.
    twice = implementation == "blockwise" and len(parts.parts(spans)) > 1
    assert kernel.computed_pairs >= n * int(turned.sum()) if twice else kernel.computed_pairs == n * int(turned.sum())
    return turned.T.numpy()


@pytest.mark.parametrize("poisoned", ["k", "v"])
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_blockwise_computes_the_pairs_that_it_says(name: str, parameters: dict[str, Any], poisoned: str) -> None:
    for n in (each for each in (61, 130) if exists(name, parameters, each)):
        pairs = computed(name, parameters, "blockwise", n, poisoned)
        assert pairs[pattern_of(name, parameters).spans(n).mask()].all()


def scored(attend: Callable[[], object]) -> int:
    """The scores that torch's fused kernel is asked for."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        attend()
    found: Any = profiler.events()
    fused = "aten::_scaled_dot_product_flash_attention_for_cpu"
    shapes = [event.input_shapes for event in found if event.name == fused]
    return sum(math.prod(queries[:3]) * keys[2] for queries, keys, *_ in shapes)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_blockwise_asks_for_the_scores_that_it_says(name: str, parameters: dict[str, Any]) -> None:
    first, *others = (n for n in (61, 64, 130, 259) if exists(name, parameters, n))
    for shape in (Shape(1, 3, 3, first, 8), *(Shape(2, 6, 2, n, 8) for n in others)):
        kernel, _ = build(name, parameters, "blockwise", shape)
        given = inputs(shape, "float32", "cpu", 0)[:3]
        assert kernel.computed_pairs == scored(partial(forward, kernel, *given))


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_masked"])
def test_dense_implementations_compute_every_pair(implementation: str) -> None:
    assert computed("full", {}, implementation, 61, "v").all()


@pytest.mark.parametrize("implementation", ["eager", "sdpa_masked"])
def test_a_mask_saves_nothing(implementation: str) -> None:
    assert computed("local_window", {"window": 3}, implementation, 61, "v").all()


def test_sdpa_does_not_guess_what_the_causal_kernel_skips() -> None:
    kernel, _ = build("full", {"causal": True}, "sdpa", Shape(1, 1, 1, 61, 4))
    assert kernel.computed_pairs is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("local_window", {"window": 17}), ("longformer", {"window": 17}), ("bigbird", {"block": 8})],
    ids=label,
)
def test_sdpa_says_what_to_use_instead(name: str, parameters: dict[str, Any]) -> None:
    reason = kernels.load("sdpa").supports(pattern_of(name, parameters), setting(Shape(1, 1, 1, 300, 8)))
    assert reason == "sdpa takes no mask, and this pattern needs one; use sdpa_masked or blockwise"


@pytest.mark.parametrize("implementation", kernels.names())
def test_an_unknown_dtype_is_refused(implementation: str) -> None:
    reason = kernels.load(implementation).supports(pattern_of("full", {}), setting(Shape(1, 1, 1, 8, 8), "int8"))
    assert reason == "dtype: expected one of float64, float32, float16, bfloat16, found int8"


@pytest.mark.parametrize("implementation", ["eager", "sdpa_masked", "blockwise"])
def test_truncated_and_local_window_are_equal_bit_for_bit(implementation: str) -> None:
    shape = Shape(1, 2, 2, 259, 16)
    truncated, _ = build("truncated", {"left": 8, "right": 8}, implementation, shape)
    window, _ = build("local_window", {"window": 17}, implementation, shape)
    found = []
    for kernel in (truncated, window):
        *tensors, dout = inputs(shape, "float32", "cpu", 0)
        leaves = [each.requires_grad_() for each in tensors]
        out = kernel.call(*leaves)
        found.append((out, *torch.autograd.grad(out, leaves, dout)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "blockwise"])
def test_memory_order_does_not_matter(implementation: str) -> None:
    shape = Shape(2, 4, 2, 61, 8)
    kernel, _ = build("full", {}, implementation, shape)
    tensors = inputs(shape, "float32", "cpu", 0)
    turned = [each.transpose(1, 2).contiguous().transpose(1, 2) for each in tensors]
    found = []
    for *given_, dout in (tensors, turned):
        leaves = [each.requires_grad_() for each in given_]
        out = kernel.call(*leaves)
        found.append((out, *torch.autograd.grad(out, leaves, dout)))
    assert all(torch.allclose(first, second, atol=1e-6) for first, second in zip(*found, strict=True))


def test_a_retained_graph_gives_the_same_gradients_again() -> None:
    shape = Shape(1, 2, 2, 130, 8)
    kernel, _ = build("longformer", {"window": 17}, "blockwise", shape)
    q, k, v, dout = inputs(shape, "float32", "cpu", 0)
    v.requires_grad_()
    out = kernel.call(q, k, v)
    first, second = (torch.autograd.grad(out, v, dout, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.abs().sum() > 0


@settings(max_examples=60)
@given(spans=any_spans(40, reach=6))
def test_a_plan_covers_what_is_allowed_and_masks_the_rest(spans: Spans) -> None:
    groups = plan.plan(spans)
    planned, pairs = covered(groups, spans.n)
    assert (planned == 1).all()
    assert (pairs == spans.mask()).all()
    assert all(mask(group).any(axis=0).all() for group in groups), "a block has no key that none of its rows sees"


def test_waste_is_what_the_blocks_cost() -> None:
    kernel, spans = build("local_window", {"window": 257}, "blockwise", Shape(1, 1, 1, 8192, 64))
    assert kernel.computed_pairs is not None
    assert 1.23 < kernel.computed_pairs / spans.pairs() < 1.25


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("local_window", {"window": 257}), ("truncated", {"left": 100, "right": 30}), ("block_local", {"block": 64})],
    ids=label,
)
def test_what_a_band_prepares_does_not_grow_with_the_sequence(name: str, parameters: dict[str, Any]) -> None:
    short, long = (build(name, parameters, "blockwise", Shape(1, 8, 8, n, 64))[0] for n in (2048, 8192))
    assert short.prepared_bytes == long.prepared_bytes


def test_masks_of_unlimited_rows_are_shared() -> None:
    short, long = (
        build("truncated", {"left": None, "right": 3}, "blockwise", Shape(1, 1, 1, n, 64))[0].prepared_bytes
        for n in (1024, 4096)
    )
    assert long < 5 * short


@pytest.mark.parametrize("shape", [Shape(1, 4, 4, 1024, 64), Shape(1, 4, 2, 700, 64)], ids=["heads", "groups"])
@pytest.mark.parametrize("direction", ["forward", "training", "backward"])
@pytest.mark.parametrize(
    ("implementation", "name", "parameters"),
    [
        ("eager", "full", {}),
        ("eager", "local_window", {"window": 65}),
        ("sdpa", "full", {}),
        ("sdpa", "full", {"causal": True}),
        ("sdpa_masked", "local_window", {"window": 65}),
        ("blockwise", "full", {}),
        ("blockwise", "local_window", {"window": 65}),
        ("blockwise", "local_window", {"window": 65, "dilation": 2}),
        ("blockwise", "longformer", {"window": 65}),
        ("blockwise", "bigbird", {"block": 32}),
        ("blockwise", "strided", {"stride": 32}),
        ("blockwise", "strided", {"stride": 32, "causal": False}),
        ("blockwise", "fixed", {"block": 64, "summary": 4}),
        ("blockwise", "fixed", {"block": 64, "summary": 4, "causal": False}),
    ],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(
    implementation: str, name: str, parameters: dict[str, Any], direction: str, shape: Shape
) -> None:
    kernel, _ = build(name, parameters, implementation, shape)
    *tensors, dout = inputs(shape, "float32", "cpu", 0)
    q, k, v = (each.requires_grad_() for each in tensors)
    out = kernel.call(q, k, v)

    def call() -> object:
        if direction == "forward":
            return forward(kernel, q, k, v)
        if direction == "backward":
            return torch.autograd.grad(out, (q, k, v), dout, retain_graph=True)
        return torch.autograd.grad(kernel.call(q, k, v), (q, k, v), dout)

    call()
    predicted = kernels.load(implementation).predict_bytes(
        pattern_of(name, parameters), setting(shape, direction=direction), torch.get_num_threads()
    )
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


@pytest.mark.parametrize("direction", ["training", "backward"])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(
    ("implementation", "name", "parameters"),
    [
        ("sdpa", "full", {}),
        ("sdpa_masked", "local_window", {"window": 65}),
        ("blockwise", "local_window", {"window": 65}),
        ("blockwise", "strided", {"stride": 64, "causal": False}),
    ],
    ids=label,
)
def test_predicted_bytes_count_what_products_in_reduced_precision_take(
    implementation: str, name: str, parameters: dict[str, Any], heads: int, direction: Direction
) -> None:
    """Products that oneDNN computes are a sixth of the peak here, and keys that overlap are widened slice by slice."""
    case = case_of(name, parameters, implementation, Shape(1, heads, heads, 256, 64), "bfloat16", "cpu", direction, 1)
    call = calls.call(programs.build(case), inputs(case.setting.shape, case.setting.dtype, "cpu"), direction).run
    call()
    asked = case.pattern, case.setting, torch.get_num_threads()
    predicted = kernels.load(implementation).predict_bytes(*asked)
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.03)


@pytest.mark.parametrize("direction", ["forward", "training", "backward"])
@pytest.mark.parametrize(
    ("implementation", "name", "parameters", "shape"),
    [
        ("eager", "full", {}, Shape(1, 4, 4, 1, 64)),
        ("eager", "local_window", {"window": 17}, Shape(1, 4, 4, 61, 64)),
        ("eager", "full", {}, Shape(2, 4, 2, 7, 33)),
        ("blockwise", "local_window", {"window": 65}, Shape(1, 6, 1, 516, 32)),
        ("blockwise", "longformer", {"window": 33}, Shape(1, 6, 1, 516, 32)),
        ("blockwise", "local_window", {"window": 33, "dilation": 3}, Shape(2, 4, 2, 129, 33)),
    ],
    ids=label,
)
def test_predicted_bytes_hold_for_few_tokens_one_key_head_and_interleaved_blocks(
    implementation: str, name: str, parameters: dict[str, Any], shape: Shape, direction: Direction
) -> None:
    case = case_of(name, parameters, implementation, shape, "float32", "cpu", direction, 1)
    call = calls.call(programs.build(case), inputs(shape, "float32", "cpu"), direction).run
    call()
    asked = case.pattern, case.setting, torch.get_num_threads()
    predicted = kernels.load(implementation).predict_bytes(*asked)
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


@pytest.mark.parametrize(("threads", "expected"), [(1, 4_851_712), (2, 5_443_584), (4, 6_627_328)])
def test_the_fused_kernel_takes_what_was_measured(threads: int, expected: int) -> None:
    shape = Shape(1, 8, 8, 2048, 64)
    assert (
        kernels.load("sdpa").predict_bytes(pattern_of("full", {}), setting(shape, "float32", "cpu", "forward"), threads)
        == expected
    )


def test_eager_takes_two_score_matrices() -> None:
    shape = Shape(1, 8, 8, 2048, 64)
    assert (
        kernels.load("eager").predict_bytes(pattern_of("full", {}), setting(shape, "float32", "cpu", "forward"), 2)
        == 268_435_456
    )
