"""The oracle is right, and whoever differs from it is caught."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from definitions import CASES, label
from proofs import check_whole, step
from settings import check, pattern_of
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.proof import expected, oracle, stream
from attnbench.runner.worker.proof.small import small
from attnbench.runner.worker.proof.verdict import Verdict
from attnbench.variants import Shape, Spans
from attnbench.variants.local_window import LocalWindow
from attnbench.variants.local_window_2d import LocalWindow2d
from attnbench.variants.strided import Strided
from attnbench.variants.truncated import Truncated

SHAPE = Shape(1, 4, 2, 97, 8)


def spans(n: int = SHAPE.seq_len) -> Spans:
    return Truncated(left=9, right=4).spans(n)


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return oracle.attention(q, k, v, torch.from_numpy(spans(q.shape[2]).mask()))


def test_the_oracle_is_the_formula() -> None:
    q, k, v, _ = inputs(Shape(2, 4, 2, 5, 3), "float64", "cpu", 0)
    mask = torch.rand(5, 5) < 0.6
    mask.fill_diagonal_(True)
    out = oracle.attention(q, k, v, mask)
    for b, h, i in np.ndindex(2, 4, 5):
        seen = [j for j in range(5) if mask[i, j]]
        key = h // 2
        weights = [math.exp(sum(float(q[b, h, i, d] * k[b, key, j, d]) for d in range(3)) / math.sqrt(3)) for j in seen]
        for d in range(3):
            expected = sum(w * float(v[b, key, j, d]) for w, j in zip(weights, seen, strict=True)) / sum(weights)
            assert float(out[b, h, i, d]) == pytest.approx(expected, abs=1e-12)


def test_the_gradients_are_those_of_the_formula() -> None:
    q, k, v, dout = inputs(Shape(1, 2, 1, 4, 3), "float64", "cpu", 0)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    _, *found = oracle.gradients((q, k, v), mask, dout)
    step = 1e-6
    for tensor, gradient in zip((q, k, v), found, strict=True):
        for place in np.ndindex(*tensor.shape):
            old = tensor[place].item()
            ends = []
            for moved in (old + step, old - step):
                tensor[place] = moved
                ends.append(float((oracle.attention(q, k, v, mask) * dout).sum()))
            tensor[place] = old
            assert float(gradient[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_some_rows_are_the_rows_of_all() -> None:
    q, k, v, _ = inputs(SHAPE, "float64", "cpu", 0)
    mask = torch.from_numpy(spans().mask())
    rows = torch.tensor([0, 13, 96])
    some = oracle.attention(q[:, :, rows], k, v, mask[rows])
    assert torch.allclose(some, oracle.attention(q, k, v, mask)[:, :, rows], atol=1e-14, rtol=0)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("n", [1, 5, 97])
def test_a_right_kernel_passes(dtype: str, n: int, gradients: bool) -> None:
    verdict = check(right, spans(n), SHAPE.at(n), dtype, "cpu", gradients=gradients)
    assert verdict.problem is None
    assert verdict.max_abs_error < 0.05


class WrongGradient(torch.autograd.Function):
    """Nothing, whose gradient is too large by a thousandth."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        del ctx
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        return gradient * 1.001


wrong_gradient: Callable[[Tensor], Tensor] = WrongGradient.apply


def scale_off(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q * 1.001, k, v)


def mask_shifted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = q.shape[2]
    mask = Truncated(left=8, right=5).spans(n).mask()
    return oracle.attention(q, k, v, torch.from_numpy(mask))


def wrong_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k.flip(1), v)


def not_finite(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    row = torch.zeros(q.shape[2], 1)
    row[-1] = torch.nan
    return right(q, k, v) + row


def infinite(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k, v) * torch.inf


def other_dtype(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k, v).double()


def other_shape(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k, v).transpose(1, 2)


FORWARD = [
    (
        scale_off,
        r"output differs from the oracle by \d\.\de-0\d at N=97, batch \d, head \d, row \d+, allowed \d\.\de-0\d",
    ),
    (mask_shifted, "output differs from the oracle"),
    (wrong_head, "output differs from the oracle"),
    (not_finite, "output is not finite at N=97, batch 0, head 0, row 96"),
    (infinite, "output is not finite at N=97, batch 0, head 0, row 0"),
    (other_dtype, "output: expected a torch.Tensor torch.float32 .* found torch.float64"),
    (other_shape, r"output: expected .* \[1, 4, 97, 8\] on cpu, found torch.float32 \[1, 97, 4, 8\] on cpu"),
]


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(("attend", "problem"), FORWARD, ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_output_is_caught(attend: Callable[..., Tensor], problem: str, gradients: bool) -> None:
    assert_caught(check(attend, spans(), SHAPE, "float32", "cpu", gradients=gradients), problem)


@pytest.mark.parametrize(("attend", "problem"), FORWARD, ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_output_is_caught_at_any_length(attend: Callable[..., Tensor], problem: str) -> None:
    assert_caught(check_whole(attend, spans(), inputs(SHAPE, "float32", "cpu", 0), grads=False), problem)


def assert_caught(verdict: Verdict, problem: str) -> None:
    assert verdict.problem is not None
    assert re.match(problem, verdict.problem), verdict.problem


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_gradient_is_caught(which: int) -> None:
    def attend(*tensors: Tensor) -> Tensor:
        changed = [wrong_gradient(each) if place == which else each for place, each in enumerate(tensors)]
        return right(*changed)

    verdict = check(attend, spans(), SHAPE, "float32", "cpu", gradients=True)
    assert verdict.problem is not None
    assert verdict.problem.startswith(f"{('dQ', 'dK', 'dV')[which]} differs from the oracle by")
    assert check(attend, spans(), SHAPE, "float32", "cpu").problem is None


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_the_streaming_oracle_is_the_dense_one(name: str, parameters: dict[str, Any], dtype: str) -> None:
    pattern, n = pattern_of(name, parameters).near(149)
    assert pattern.unsupported(n) is None
    spans, shape = pattern.spans(n), Shape(2, 4, 2, n, 8)
    given = inputs(shape, dtype, "cpu", 5)
    (want,) = expected.of_pattern(spans, [given], grads=True, step=step)
    q, k, v, dout = (each.double() for each in given)
    right = oracle.gradients((q, k, v), torch.from_numpy(spans.mask()), dout)
    bound = 1e-14 if dtype == "float64" else 3e-6
    for found, exact in zip(want.values, right, strict=True):
        assert float((found.double() - exact).abs().max()) <= bound * max(1.0, float(exact.abs().max()))
    assert want.proved == 1
    keys = np.array([0, n // 2, n - 1])
    units = stream.units(given, torch.float64)
    for some, whole in zip(stream.at_keys(spans, keys, units, step), right[2:], strict=True):
        assert torch.allclose(some, whole.flatten(0, 1)[:, keys], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_blocks_hold_each_allowed_pair_once(name: str, parameters: dict[str, Any]) -> None:
    pattern, n = pattern_of(name, parameters).near(211)
    assert pattern.unsupported(n) is None
    spans = pattern.spans(n)
    found = np.zeros((n, n), np.int64)
    for rows, keys, mask in stream.blocks(spans, 32):
        found[np.ix_(rows, keys)] += 1 if mask is None else mask
    assert (found == spans.mask()).all()


def test_the_oracle_works_in_proportion_to_the_allowed_pairs() -> None:
    """Of patterns that see few keys in each row, wherever they lie."""
    for pattern in (Truncated(64, 64), Strided(stride=64), LocalWindow(65, dilation=32)):
        spans = pattern.spans(4096)
        computed = sum(len(rows) * len(keys) for rows, keys, _ in stream.blocks(spans, 64))
        assert computed <= 3 * spans.pairs()


def test_bfloat16_may_be_as_wrong_as_its_plain_computation() -> None:
    def rounded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return right(q.double(), k.double(), v.double()).to(q.dtype)

    def worse(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (right(q.double(), k.double(), v.double()) + 0.1).to(q.dtype)

    assert check(rounded, spans(), SHAPE, "bfloat16", "cpu").problem is None
    assert check(worse, spans(), SHAPE, "bfloat16", "cpu").problem is not None


@pytest.mark.parametrize(
    ("name", "parameters", "n", "expected"),
    [
        ("full", {}, 4096, [1, 5, 61, 97]),
        ("full", {}, 64, [1, 5, 61]),
        ("full", {}, 3, [1]),
        ("full", {}, 1, []),
        ("local_window", {"window": 257}, 4096, [1, 5, 61, 389]),
        ("local_window", {"window": 33}, 4096, [1, 5, 61, 97]),
        ("local_window", {"window": 257, "edges": "slide"}, 4096, [389]),
        ("truncated", {"left": 1000, "right": 1000}, 700, [1, 5, 61, 97]),
        ("truncated", {"left": 128, "right": 0}, 4096, [1, 5, 61, 389]),
        ("full", {"causal": True}, 4096, [1, 5, 61, 97]),
        ("local_window", {"window": 2049}, 4096, [1, 5, 61, 1553]),
        ("strided", {}, 4096, [1, 5, 61, 389]),
        ("fixed", {}, 4096, [1, 5, 61, 193]),
        ("local_window_2d", {"window": (7, 7)}, 3136, [1, 4, 49, 81]),
        ("local_window_2d", {"window": (13, 13)}, 3136, [1, 4, 49, 169]),
        ("local_window_2d", {"window": (7, 7), "edges": "slide"}, 3136, [49, 81]),
        ("local_window_2d", {"window": (7, 7)}, 36, [1, 4]),
    ],
)
def test_small_lengths_show_structure(name: str, parameters: dict[str, Any], n: int, expected: list[int]) -> None:
    pattern = pattern_of(name, parameters)
    found = small(pattern, Shape(3, 12, 4, n, 64))
    shapes = [shape for _, shape in found]
    assert all(kind == pattern for kind, _ in found)
    assert [shape.seq_len for shape in shapes] == expected
    assert {(shape.batch, shape.heads, shape.kv_heads, shape.head_dim) for shape in shapes} <= {(2, 6, 2, 64)}


def test_a_kernel_for_a_gpu_is_checked_beyond_one_tile() -> None:
    found = small(variants.load("full").parameters(), Shape(1, 8, 8, 65_536, 64), device="cuda")
    assert [shape.seq_len for _, shape in found] == [1, 5, 61, 389]


def test_a_pattern_that_exists_at_one_length_is_checked_as_others_near_small_lengths() -> None:
    pattern = LocalWindow2d(window=(7, 5), grid=(32, 98))
    found = [(vars(kind), shape.seq_len) for kind, shape in small(pattern, Shape(1, 1, 1, 3136, 8))]
    grids = {2: (2, 1), 6: (3, 2), 56: (8, 7), 90: (10, 9)}
    assert found == [({**vars(pattern), "grid": grid}, n) for n, grid in grids.items()]


def test_what_exists_at_long_lengths_alone_is_not_checked_at_any() -> None:
    assert small(LocalWindow(window=129, dilation=64, edges="slide"), Shape(1, 1, 1, 8256, 8)) == []


@pytest.mark.parametrize(
    ("taken", "n", "expected"),
    [
        (lambda n: n >= 5, 4096, [5, 61, 97]),
        (lambda n: n in (1, 389), 4096, [1, 389]),
        (lambda n: n % 64 == 0, 4096, []),
    ],
)
def test_lengths_that_are_not_taken_are_left_out(taken: Callable[[int], bool], n: int, expected: list[int]) -> None:
    found = small(Truncated(left=9, right=4), Shape(1, 1, 1, n, 8), lambda kind, shape: taken(shape.seq_len))
    assert [shape.seq_len for _, shape in found] == expected


def test_one_batch_entry_is_checked_where_two_are_not_taken() -> None:
    found = small(Truncated(left=9, right=4), Shape(1, 1, 1, 99, 8), lambda kind, shape: shape.batch == 1)
    assert [(shape.batch, shape.seq_len) for _, shape in found] == [(1, 1), (1, 5), (1, 61), (1, 97)]


def test_inputs_are_the_same_every_time() -> None:
    first, second, other = (inputs(SHAPE, "float32", "cpu", seed) for seed in (3, 3, 4))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
