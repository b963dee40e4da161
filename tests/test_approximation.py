"""The error against full attention: of one batch entry, on inputs with structure, by the mechanism's own oracle."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from settings import case_of, pattern_of

from attnbench.runner.worker.proof import approximation, oracle
from attnbench.suites import Case
from attnbench.variants import Shape


def case(name: str, parameters: dict[str, Any], n: int = 256, heads: int = 1) -> Case:
    return case_of(name, parameters, "blockwise", Shape(2, heads, 1, n, 8))


def errors(made: Case) -> tuple[float, float]:
    return approximation.of_case(made, made.spans, lambda: None)


def norm(tensor: torch.Tensor) -> float:
    return math.sqrt(float((tensor**2).sum()))


@pytest.mark.parametrize("causal", [False, True])
def test_full_attention_has_none(causal: bool) -> None:
    error, mean = errors(case("full", {"causal": causal}))
    assert error == 0
    assert 0.2 < mean < 1.5


def test_it_is_the_formula() -> None:
    parameters = {"left": 5, "right": 0}
    q, k, v, _ = approximation.inputs(Shape(2, 1, 1, 200, 8))
    every = torch.from_numpy(pattern_of("full", {"causal": True}).spans(200).mask())
    mask = torch.from_numpy(pattern_of("truncated", parameters).spans(200).mask())
    right = oracle.attention(q, k, v, every)
    means = torch.stack([v[:, :, : t + 1].mean(dim=2) for t in range(200)], dim=2)
    expected = [norm(each - right) / norm(right) for each in (oracle.attention(q, k, v, mask), means)]
    assert errors(case("truncated", parameters, 200)) == pytest.approx(expected, rel=1e-9)


def test_a_wider_window_and_more_landmarks_are_nearer() -> None:
    windows = [errors(case("local_window", {"window": window}, 1024))[0] for window in (9, 65, 257, 1025)]
    assert windows == sorted(windows, reverse=True)
    few, many = (errors(case("nystromformer", {"landmarks": m, "steps": 6}, 1024, 2))[0] for m in (4, 128))
    assert many < few < 1


def test_heads_that_share_a_key_head_are_counted() -> None:
    error, mean = errors(case("linear", {}, 256, heads=4))
    assert 0 < error < 2
    assert mean > 0


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(2, 8, 4, 1024, 64), (2, 8, 4)),
        (Shape(64, 8, 4, 16384, 64), (4, 8, 4)),
        (Shape(4, 32, 8, 65536, 128), (1, 4, 1)),
        (Shape(4, 32, 8, 2**20, 128), (1, 4, 1)),
        (Shape(1, 16, 16, 65536, 64), (1, 8, 8)),
    ],
)
def test_a_large_shape_is_looked_at_in_part(shape: Shape, expected: tuple[int, int, int]) -> None:
    part = approximation.few(shape, shape.head_dim)
    assert (part.batch, part.heads, part.kv_heads) == expected
    assert (part.seq_len, part.head_dim) == (shape.seq_len, shape.head_dim)


def test_neighbours_are_alike_and_peaks_stand_out() -> None:
    q, k, *_ = approximation.inputs(Shape(1, 1, 1, 4096, 64))
    scores = (q @ k.transpose(-2, -1))[0, 0].numpy() / 8
    own, near, far = (float(np.diagonal(scores, by).mean()) for by in (0, 32, 128))
    assert own == pytest.approx(8, abs=1)
    assert near == pytest.approx(4, abs=1)
    assert far == pytest.approx(0, abs=1)
    columns = np.sort(scores.mean(axis=0))
    assert columns[-20] > 3 > columns[-150]
