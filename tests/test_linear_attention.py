"""Mechanisms that are linear in the sequence, against their recurrences step by step and where the answer is known."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from definitions import label
from settings import case_of
from torch import Tensor
from torch.nn.functional import softplus

from attnbench import variants
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.call.weights import weights
from attnbench.suites import Case
from attnbench.variants import Shape

N, HEADS, KV_HEADS, D = 150, 4, 2, 8
"""Two whole chunks and a part of a third, and groups of two query heads."""
CAUSAL: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"causal": True}),
    ("performer", {"features": 7, "causal": True}),
    ("performer", {"features": 7, "causal": True, "kernel": "relu"}),
    ("retention", {}),
    ("gated_linear", {}),
    ("gated_delta", {}),
]


def case(name: str, parameters: dict[str, Any], n: int = N, dtype: str = "float64") -> Case:
    return case_of(name, parameters, "own", Shape(2, HEADS, KV_HEADS, n, D), dtype)


def output(made: Case, q: Tensor, k: Tensor, v: Tensor, own: Sequence[Tensor] | None = None) -> Tensor:
    """The outputs of a case's program, with weights of one's own if there are any."""
    given = weights(made) if own is None else tuple(own)
    with torch.no_grad():
        return variants.load(made.mechanism.name).program(made.parameters, made.setting, given).call(q, k, v)


@pytest.mark.parametrize(("name", "parameters"), CAUSAL, ids=label)
def test_a_row_depends_on_earlier_tokens_and_no_later_one(name: str, parameters: dict[str, Any]) -> None:
    made = case(name, parameters)
    given, other = (inputs(made.setting.shape, "float64", "cpu", content)[:3] for content in (0, 1))
    late = (torch.arange(N) >= 100)[:, None]
    before = output(made, given[0], given[1], given[2])
    q, k, v = (torch.where(late, new, old) for new, old in zip(other, given, strict=True))
    changed = output(made, q, k, v)
    assert torch.allclose(before[:, :, :100], changed[:, :, :100], rtol=0, atol=1e-12)
    first = (torch.arange(N) == 0)[:, None]
    _, k, v = (torch.where(first, new, old) for new, old in zip(other, given, strict=True))
    assert ((before - output(made, given[0], k, v)).abs().amax(dim=-1) > 1e-9)[:, :, :4].all()


def linear(state: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Any, Tensor]:
    """Sums of values and of features."""
    q, k = (torch.where(each > 0, each + 1, each.exp()) for each in (q, k))
    values, features = state
    values, features = values + k[..., None] * v[..., None, :], features + k
    return (values, features), (q[..., None] * values).sum(dim=-2) / (q * features).sum(dim=-1, keepdim=True)


def retention(state: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Any, Tensor]:
    """Four heads keep 31, 63, 127 and 255 parts of 32, 64, 128 and 256."""
    kept = torch.tensor([31 / 32, 63 / 64, 127 / 128, 255 / 256], dtype=q.dtype)[:, None, None]
    state = kept * state + k[..., None] * v[..., None, :]
    return state, (q[..., None] * state).sum(dim=-2) / math.sqrt(D)


def gated_linear(state: Any, q: Tensor, k: Tensor, v: Tensor, *weights: Tensor) -> tuple[Any, Tensor]:
    """A gate for each place of the key."""
    down, up, bias = (each.repeat_interleave(HEADS // KV_HEADS, dim=0) for each in weights)
    logits = torch.einsum("bhd,hdr,hre->bhe", k, down, up) + bias
    state = logits.sigmoid()[..., None] ** (1 / 16) * state + k[..., None] * v[..., None, :]
    return state, (q[..., None] * state).sum(dim=-2) / math.sqrt(D)


def gated_delta(state: Any, q: Tensor, k: Tensor, v: Tensor, *weights: Tensor) -> tuple[Any, Tensor]:
    """The paper's equation, with a state of values times keys."""
    w, a, b = (each.repeat_interleave(HEADS // KV_HEADS, dim=0) for each in weights)
    fading, writing = torch.einsum("bhd,hdw->bhw", k, w).unbind(dim=-1)
    alpha = (-a.exp() * softplus(fading + b)).exp()[..., None, None]
    beta = writing.sigmoid()[..., None, None]
    q, k = (each / each.norm(dim=-1, keepdim=True) for each in (q, k))
    kept = alpha * (torch.eye(D, dtype=q.dtype) - beta * k[..., None] * k[..., None, :])
    state = state @ kept + beta * v[..., None] * k[..., None, :]
    return state, (state @ q[..., None])[..., 0]


def stepped(step: Callable[..., tuple[Any, Tensor]], state: Any, given: Sequence[Tensor], *weights: Tensor) -> Tensor:
    """The outputs of a recurrence."""
    outs = []
    for token in zip(*(each.unbind(dim=2) for each in given), strict=True):
        state, out = step(state, *token, *weights)
        outs.append(out)
    return torch.stack(outs, dim=2)


RECURRENCES = {"linear": linear, "retention": retention, "gated_linear": gated_linear, "gated_delta": gated_delta}


@pytest.mark.parametrize("name", RECURRENCES)
def test_it_equals_its_recurrence_step_by_step(name: str) -> None:
    made = case(name, {"causal": True} if name == "linear" else {})
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    own = [each.detach() for each in weights(made)]
    empty = torch.zeros(2, HEADS, D, D, dtype=torch.float64)
    every = (q, *(each.repeat_interleave(HEADS // KV_HEADS, dim=1) for each in (k, v)))
    right = stepped(RECURRENCES[name], (empty, empty[..., 0]) if name == "linear" else empty, every, *own)
    assert torch.allclose(output(made, q, k, v), right, rtol=0, atol=1e-6 if name.startswith("gated") else 1e-10)


def test_causal_performer_comes_near_to_causal_softmax_attention() -> None:
    made = case("performer", {"features": 8192, "causal": True}, 70)
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    q, k = q / 3, k / 3
    later = torch.ones(70, 70, dtype=torch.bool).triu(1)
    scores = torch.einsum("bkgid,bkjd->bkgij", torch.unflatten(q, 1, (KV_HEADS, -1)), k) / math.sqrt(D)
    shares = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
    right = torch.einsum("bkgij,bkjd->bkgid", shares, v).flatten(1, 2)
    assert float((output(made, q, k, v) - right).norm() / right.norm()) < 0.1


@pytest.mark.parametrize("causal", [False, True])
def test_generalized_attention_is_relu_of_random_projections(causal: bool) -> None:
    made = case("performer", {"features": 5, "kernel": "relu", "causal": causal}, 70)
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    (w,) = weights(made)
    k, v = (each.repeat_interleave(HEADS // KV_HEADS, dim=1) for each in (k, v))
    q, k = (torch.einsum("bhid,md->bhim", each, w).clamp(min=0) / D**0.25 + 1e-3 for each in (q, k))
    pairs = torch.einsum("bhim,bhjm->bhij", q, k)
    pairs = pairs.tril() if causal else pairs
    right = torch.einsum("bhij,bhjd->bhid", pairs / pairs.sum(dim=-1, keepdim=True), v)
    given = inputs(made.setting.shape, "float64", "cpu")
    assert torch.allclose(output(made, given.q, given.k, given.v), right)


def test_only_relu_chooses() -> None:
    assert mechanisms.options(case("performer", {})) is None
    assert mechanisms.options(case("performer", {"kernel": "relu"})) is not None


def gates(bias: float) -> tuple[Tensor, ...]:
    """Weights of gates that are the same for every key."""
    down, up = torch.zeros(KV_HEADS, D, 1), torch.zeros(KV_HEADS, 1, D)
    return tuple(each.double() for each in (down, up, torch.full((KV_HEADS, D), bias)))


def test_open_gates_sum_all_keys() -> None:
    made = case("gated_linear", {"rank": 1})
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    pairs = torch.einsum("bkgid,bkjd->bkgij", torch.unflatten(q, 1, (KV_HEADS, -1)), k).tril() / math.sqrt(D)
    right = torch.einsum("bkgij,bkjd->bkgid", pairs, v).flatten(1, 2)
    assert torch.allclose(output(made, q, k, v, gates(50.0)), right)


@pytest.mark.parametrize("bias", [-1e3, -1e5])
def test_closed_gates_leave_a_token_alone_and_overflow_nowhere(bias: float) -> None:
    made = case("gated_linear", {"rank": 1}, dtype="float32")
    q, k, v, dout = inputs(made.setting.shape, "float32", "cpu")
    weights = [torch.nn.Parameter(each.float()) for each in gates(bias)]
    keys, values = (each.repeat_interleave(HEADS // KV_HEADS, dim=1) for each in (k, v))
    right = (q * keys).sum(dim=-1, keepdim=True) / math.sqrt(D) * values
    leaves = [each.requires_grad_() for each in (q, k, v)]
    out = variants.load("gated_linear").program(made.parameters, made.setting, tuple(weights)).call(*leaves)
    assert torch.allclose(out, right, atol=1e-5)
    assert all(bool(each.isfinite().all()) for each in torch.autograd.grad(out, [*leaves, *weights], dout))


def test_a_delta_rule_replaces_the_value_of_a_key() -> None:
    """Nothing fades, and every token writes all of its value; the last token has the key of the first."""
    made = case("gated_delta", {}, D + 1)
    keys = torch.cat([torch.eye(D), torch.eye(D)[:1]]).double().expand(2, KV_HEADS, -1, -1) * 3
    _, _, v, _ = inputs(made.setting.shape, "float64", "cpu")
    w = torch.stack([torch.zeros(KV_HEADS, D), torch.full((KV_HEADS, D), 100.0)], dim=-1)
    weights = [each.double() for each in (w, torch.zeros(KV_HEADS), torch.full((KV_HEADS,), -100.0))]
    first, second = (torch.eye(D).double()[place].expand(2, HEADS, D + 1, D) for place in (0, 1))
    values = v.repeat_interleave(HEADS // KV_HEADS, dim=1)
    found = output(made, first, keys, v, weights)
    assert torch.allclose(found[:, :, :D], values[:, :, :1].expand(-1, -1, D, -1))
    assert torch.allclose(found[:, :, D], values[:, :, D])
    found = output(made, second, keys, v, weights)
    assert torch.allclose(found[:, :, 0], torch.zeros(1).double())
    assert torch.allclose(found[:, :, 1:], values[:, :, 1:2].expand(-1, -1, D, -1))
