"""Patterns of several steps: computed in disjoint parts, merged exactly, with little waste, at any length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from definitions import label
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import check, pattern_of, setting

from attnbench.runner.worker.call.inputs import inputs
from attnbench.variants import IntArray, Pattern, Shape, Spans
from attnbench.variants.kernels import Program, blockwise
from attnbench.variants.kernels.blockwise import partial, parts
from attnbench.variants.kernels.blockwise.rows import Gathered, Strided, rows

LONG = 2**17


class Given(Pattern):
    """A pattern of given spans."""

    def __init__(self, spans: Spans) -> None:
        self.given = spans

    def spans(self, n: int) -> Spans:
        assert n == self.given.n
        return self.given


def build(name: str, parameters: dict[str, Any], shape: Shape, dtype: str = "float32") -> Program:
    return blockwise.build(pattern_of(name, parameters), setting(shape, dtype, "cpu"))


@st.composite
def any_spans(draw: st.DrawFn) -> Spans:
    """Each row sees itself and neighbours at one step, keys before these at another, keys after these at a third."""
    n = draw(st.integers(1, 40))
    i = np.arange(n)

    def numbers(most: int) -> IntArray:
        return np.array(draw(st.lists(st.integers(0, most), min_size=n, max_size=n)))

    near, before, after = (draw(st.integers(1, most)) for most in (3, 5, 5))
    reach = numbers(3) * near
    start = numbers(4) if draw(st.booleans()) else np.full(n, draw(st.integers(0, 9)))
    looks_back = numbers(1) if draw(st.booleans()) else 1
    looks_ahead = numbers(1) if draw(st.booleans()) else 0
    return Spans.of(
        n,
        (i - reach, i + reach + 1, near),
        (start, (i - reach) * looks_back, before),
        (i + reach + 1 + numbers(3), n * looks_ahead, after),
    )


@settings(max_examples=100)
@given(spans=any_spans())
def test_parts_cover_each_allowed_pair_once(spans: Spans) -> None:
    found = np.zeros((spans.n, spans.n), int)
    for part in parts.parts(spans):
        keys = np.arange(spans.n) if part.keys is None else part.keys
        planned = np.zeros(spans.n, int)
        for group in part.groups:
            mask = np.ones((group.rows.shape[1], group.keys.shape[1]), bool)
            mask[:, mask.shape[1] - group.mask.shape[1] :] = group.mask
            assert mask.any(axis=1).all()
            for queries, numbered in zip(group.rows, group.keys, strict=True):
                planned[queries] += 1
                found[np.ix_(queries, keys[numbered])] += mask
        assert planned.max() == 1
    assert (found == spans.mask()).all()


@settings(max_examples=60)
@given(spans=any_spans(), heads=st.sampled_from([(1, 1), (3, 3), (4, 2), (3, 1)]), batch=st.integers(1, 2))
def test_any_parts_equal_the_oracle(spans: Spans, heads: tuple[int, int], batch: int) -> None:
    shape = Shape(batch, *heads, spans.n, 8)
    kernel = blockwise.build(Given(spans), setting(shape, "float64", "cpu"))
    assert check(kernel.call, spans, shape, "float64", "cpu", gradients=True).problem is None
    assert check(kernel.call, spans, shape, "float64", "cpu").problem is None


MERGED = [
    ("strided", {"stride": 20}),
    ("strided", {"stride": 32, "causal": False}),
    ("fixed", {"block": 24, "summary": 3}),
    ("fixed", {"block": 32, "summary": 1, "causal": False}),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "parameters"), MERGED, ids=label)
def test_reduced_numbers_are_merged_as_well_as_the_plain_computation(
    name: str, parameters: dict[str, Any], dtype: str
) -> None:
    shape = Shape(2, 4, 2, 389, 64)
    kernel, spans = build(name, parameters, shape, dtype), pattern_of(name, parameters).spans(389)
    assert check(kernel.call, spans, shape, dtype, "cpu", gradients=True).problem is None


@pytest.mark.parametrize(("name", "parameters"), MERGED, ids=label)
def test_memory_order_does_not_matter_and_a_graph_can_be_used_again(name: str, parameters: dict[str, Any]) -> None:
    shape = Shape(2, 4, 2, 131, 8)
    kernel = build(name, parameters, shape)
    tensors = inputs(shape, "float32", "cpu", 0)
    turned = [each.transpose(1, 2).contiguous().transpose(1, 2) for each in tensors]
    found = []
    for *given_, dout in (tensors, turned):
        leaves = [each.requires_grad_() for each in given_]
        out = kernel.call(*leaves)
        first, second = (torch.autograd.grad(out, leaves, dout, retain_graph=True) for _ in range(2))
        assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
        found.append((out, *first))
    assert all(torch.allclose(first, second, atol=1e-6) for first, second in zip(*found, strict=True))


def test_only_what_is_asked_for_needs_a_gradient() -> None:
    shape = Shape(1, 2, 2, 61, 8)
    kernel = build("strided", {"stride": 7}, shape)
    q, k, v, dout = inputs(shape, "float32", "cpu", 0)
    assert not kernel.call(q, k, v).requires_grad
    (dk,) = torch.autograd.grad(kernel.call(q, k.requires_grad_(), v), k, dout)
    assert dk.abs().sum() > 0


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_written_out_equals_the_fused_kernel(dtype: torch.dtype, masked: bool) -> None:
    q, dout = torch.randn(2, 2, 3, 33, 8, dtype=dtype)
    k, v = torch.randn(2, 2, 3, 70, 8, dtype=dtype)
    mask = torch.zeros(33, 70, dtype=dtype).masked_fill(torch.ones(33, 70, dtype=torch.bool).triu(9), -torch.inf)
    hidden = mask if masked else None
    fused = partial.attend(q, k, v, hidden)
    written = partial.written_attend(q, k, v, hidden)
    # Gradients are asked for as if other keys had been seen too: every query's log-sum-exp is larger than its own.
    out, sums = torch.randn_like(q), fused[1] + 1
    fused_grads = partial.gradients(dout, q, k, v, out, sums, hidden)
    written_grads = partial.written_gradients(dout, q, k, v, out, sums, hidden)
    for first, second in zip((*fused, *fused_grads), (*written, *written_grads), strict=True):
        assert torch.allclose(first, second, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_reduced_numbers_are_written_out_in_float32() -> None:
    q, k, v = torch.randn(3, 1, 1, 5, 8).bfloat16()
    out, sums = partial.written_attend(q, k, v, None)
    assert (out.dtype, sums.dtype) == (torch.bfloat16, torch.float32)
    grads = partial.written_gradients(out, q, k, v, out, sums, None)
    assert {each.dtype for each in grads} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "parameters", "n", "expected"),
    [
        ("local_window", {"window": 17, "dilation": 3}, 1000, 1),
        ("local_window", {"window": 17, "dilation": 3, "causal": True}, 1000, 1),
        ("bigbird", {}, 1000, 1),
        ("strided", {}, 1000, 2),
        ("strided", {}, 129, 2),
        ("strided", {}, 128, 1),
        ("strided", {"causal": False}, 128, 1),
        ("strided", {"stride": 1}, 1000, 1),
        ("fixed", {}, 1000, 2),
        ("fixed", {}, 256, 2),
        ("fixed", {}, 128, 1),
        ("fixed", {"summary": 128, "causal": False}, 1000, 1),
    ],
    ids=label,
)
def test_there_is_a_part_for_each_step(name: str, parameters: dict[str, Any], n: int, expected: int) -> None:
    assert len(parts.parts(pattern_of(name, parameters).spans(n))) == expected


LITTLE_WASTE = [
    *(("strided", {"stride": stride}) for stride in (32, 64, 90, 128, 256)),
    *(("fixed", {"block": block, "summary": summary}) for block, summary in ((32, 1), (64, 4), (90, 8), (128, 32))),
]


@pytest.mark.parametrize("n", [4096, 8192])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("name", "parameters"), LITTLE_WASTE, ids=label)
def test_waste_is_little(name: str, parameters: dict[str, Any], causal: bool, n: int) -> None:
    spans = pattern_of(name, {**parameters, "causal": causal}).spans(n)
    computed = sum(group.pairs for part in parts.parts(spans) for group in part.groups)
    assert 1 <= computed / spans.pairs() <= 2.2


def strided_pairs(n: int, stride: int, causal: bool) -> int:
    i = np.arange(n)
    before = np.minimum(i + 1, stride) + i // stride
    after = np.minimum(n - i, stride) + (n - 1 - i) // stride
    return int((before if causal else before + after - 1).sum())


def fixed_pairs(n: int, block: int, summary: int, causal: bool) -> int:
    i = np.arange(n)
    if causal:
        return int((i % block + 1 + i // block * summary).sum())
    summaries = i % block >= block - summary
    own = [~summaries[first : first + block] for first in range(0, n, block)]
    return int(sum(len(each) * each.sum() for each in own) + n * summaries.sum())


PAIRS: dict[str, Callable[..., int]] = {"strided": strided_pairs, "fixed": fixed_pairs}


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("strided", {"stride": 128}), ("strided", {"stride": 90}), ("fixed", {"block": 128, "summary": 8})],
    ids=label,
)
def test_a_long_sequence_is_planned_in_little_space(name: str, parameters: dict[str, Any], causal: bool) -> None:
    spans = pattern_of(name, {**parameters, "causal": causal}).spans(LONG)
    expected = PAIRS[name](LONG, **parameters, causal=causal)
    assert spans.pairs() == expected
    groups = [group for part in parts.parts(spans) for group in part.groups]
    assert sum(group.pairs for group in groups) < 2.2 * expected
    assert sum(group.rows.size + group.keys.size + group.mask.size for group in groups) < 50 * LONG


def test_a_long_sequence_is_laid_out() -> None:
    tile_rows, columns = pattern_of("strided", {"stride": 128}).spans(LONG).layout(64, 64)
    counts = np.bincount(tile_rows)
    r = np.arange(LONG // 64)
    # Every second tile up to the query's, which are its residue class, and the neighbours in the tile before.
    assert (counts == r // 2 + 1 + (r > 0)).all()
    assert (columns <= tile_rows).all()


def test_blocks_that_interleave_are_a_view_and_are_added_to_once() -> None:
    index = np.arange(3)[:, None] + np.arange(4) * 5 + 2
    found = rows(index, "cpu")
    assert isinstance(found, Strided)
    assert not found.copied
    tensor = torch.randn(2, 20, 3)
    gathered = Gathered(torch.from_numpy(index))
    assert torch.equal(found.read(tensor), gathered.read(tensor))
    sums = [torch.zeros(2, 20, 3) for _ in range(2)]
    found.add(sums[0], torch.arange(72.0).view(2, 3, 4, 3))
    gathered.add(sums[1], torch.arange(72.0).view(2, 3, 4, 3))
    assert torch.equal(*sums)


@pytest.mark.parametrize(
    "index", [[[0, 5], [5, 10]], [[0, 5], [1, 6], [2, 7]], [[0, 1], [0, 1]], [[0, 5], [3, 8], [6, 11]]]
)
def test_rows_that_lie_irregularly_or_twice_are_added_right(index: list[list[int]]) -> None:
    numbers = np.array(index)
    total, expected = torch.zeros(1, 12, 1), torch.zeros(1, 12, 1)
    rows(numbers, "cpu").add(total, torch.ones(1, *numbers.shape, 1))
    for each in numbers.flat:
        expected[0, each] += 1
    assert torch.equal(total, expected)
