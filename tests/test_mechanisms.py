"""Mechanisms that are no pattern: each is its formula, with its weights, and says what it costs."""

import importlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from definitions import MECHANISMS, label
from folders import forgotten
from settings import case_of
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attnbench import variants
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs, inputs_of
from attnbench.runner.worker.call.weights import weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import oracle, small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, Status
from attnbench.variants import Shape
from attnbench.variants.scores import Scores

WEIGHTS = "attnbench.runner.worker.call.weights.weights"
LENGTHS = (1, 5, 61, 97)
BUDGET = 2**32


def case(name: str, parameters: dict[str, Any], n: int, dtype: str = "float32", direction: str = "training") -> Case:
    """A case of two query heads that share a key head, at about a length."""
    near, n = variants.load(name).parameters(**parameters).near(n)
    told = {each: getattr(near, each) for each in parameters}
    kv_heads = 2 if name == "torch_mha" else 1  # it shares none
    made = case_of(name, told, "own", Shape(2, 2, kv_heads, n, 8), dtype, "cpu", direction)
    return made.changed(level=variants.load(name).level)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for variants, which are forgotten afterwards."""
    with forgotten():
        yield tmp_path


def step(*_: Any, **__: Any) -> None:
    """A step that nobody waits for."""


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("name", "parameters"), MECHANISMS, ids=label)
def test_it_equals_its_reference_with_all_gradients(name: str, parameters: dict[str, Any], n: int, dtype: str) -> None:
    made = case(name, parameters, n, dtype)
    try:
        program = programs.build(made)
    except NotImplementedError:
        # Their sums over all keys overflow there; no other mechanism and no other dtype may be refused.
        assert (dtype, name) in [("float16", "linear"), ("float16", "performer")]
        return
    assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


@pytest.mark.parametrize(("name", "parameters"), MECHANISMS, ids=label)
def test_a_probe_fills_every_number_but_pairs(name: str, parameters: dict[str, Any]) -> None:
    found = probe(case(name, parameters, 130), BUDGET, step)
    assert found.status is Status.PASSED, found.reason
    assert found.allowed_pairs is None
    assert found.flops is not None
    assert found.proved == 1
    assert found.max_abs_error is not None


def of_system(matrix: torch.Size, sides: torch.Size, **_: Any) -> int:
    """FLOPs of a triangular system, which torch does not count: a product and a sum for each pair of unknowns."""
    return matrix[-1] * sides.numel()


MASKED = ("topk", "block_topk", "nsa")
"""What computes more than its formula: gradients that are zero, tiles that are not full, scores that a mask hides."""
MASKED_IF_CAUSAL = ("synthesizer", "dense_synthesizer", "routing", "scores")
UNKNOWN = ("lstm", "gru", "ssm", "gat", "torch_mha")
"""What torch does not count: recurrent layers, products of complex numbers, sums along edges, one fused layer."""
COUNTED = [
    (name, given)
    for name, given in MECHANISMS
    if name not in (*UNKNOWN, *MASKED)
    and not (name in MASKED_IF_CAUSAL and given.get("causal"))
    and given.get("score") != "additive"  # computes its scores again for gradients
]
SYSTEMS = {torch.ops.aten.linalg_solve_triangular: of_system}


@pytest.mark.parametrize(("name", "parameters"), COUNTED, ids=label)
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_its_work_is_what_torch_counts(name: str, parameters: dict[str, Any], direction: str) -> None:
    if parameters.get("depthwise"):
        parameters = {**parameters, "depthwise": False}  # torch counts its backward pass as if it were not
    made = case(name, parameters, 128, direction=direction)
    assert admission.work(made, None)[1] == pytest.approx(counted(made), rel=0.02)


def test_the_work_of_additive_scores_is_what_torch_counts_forward() -> None:
    made = case("scores", {"score": "additive"}, 128, direction="forward")
    assert admission.work(made, None)[1] == pytest.approx(counted(made), rel=0.02)


def counted(made: Case) -> int:
    """The FLOPs that torch counts."""
    given = inputs_of(made.setting)
    # Of torch's fused kernels, the counter knows those on CUDA alone.
    with sdpa_kernel(SDPBackend.MATH):
        call = calls.call(programs.build(made), given, made.setting.direction)
        with FlopCounterMode(display=False, custom_mapping=SYSTEMS) as counter:
            call.run()
    return int(counter.get_total_flops())


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention over all keys, of as many key heads as query heads."""
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def outputs(made: Case) -> tuple[Tensor, Tensor]:
    """The case's outputs in float64, and those of softmax attention, where scores are small."""
    given = inputs(made.setting.shape, "float64", "cpu")
    q, k = given.q / 3, given.k / 3
    right = attention(q, *(each.repeat_interleave(2, dim=1) for each in (k, given.v)))
    return programs.build(made).call(q, k, given.v), right


def apart(found: Tensor, right: Tensor) -> float:
    """The Frobenius norm of a difference, over that of what is right."""
    return float((found - right).norm() / right.norm())


def test_nystromformer_with_a_landmark_for_each_token_is_softmax_attention() -> None:
    assert apart(*outputs(case("nystromformer", {"landmarks": 16, "steps": 40}, 16, "float64"))) < 1e-6


def test_performer_comes_nearer_to_softmax_attention_with_more_features() -> None:
    few, many = (apart(*outputs(case("performer", {"features": m}, 61, "float64"))) for m in (8, 8192))
    assert many < 0.1 < few


def test_linformer_averages_where_all_projections_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("linformer", {"projected": 3}, 61, "float64")
    mean = torch.full((3, 61), 1 / 61, dtype=torch.float64)
    monkeypatch.setattr(WEIGHTS, lambda *_: (mean, mean))
    given = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(*given[:3])
    assert torch.allclose(found, given.v.mean(dim=2, keepdim=True).expand_as(found))


def test_linear_attention_reads_a_sum_over_the_keys() -> None:
    made = case("linear", {}, 5, "float64")
    given = inputs(made.setting.shape, "float64", "cpu")
    features = [torch.where(each > 0, each + 1, each.exp()) for each in given[:2]]
    pairs = torch.einsum("bhid,bkjd->bhij", *features)
    right = torch.einsum("bhij,bkjd->bhid", pairs / pairs.sum(dim=-1, keepdim=True), given.v)
    assert torch.allclose(programs.build(made).call(*given[:3]), right)


CAUSAL = [(name, given) for name, given in MECHANISMS if given.get("causal") and name not in ("conv1d", "routing")]
"""`routing` chooses the tokens of a cluster among all. `conv1d` takes tokens: see test_levels.py."""


@pytest.mark.parametrize(("name", "parameters"), CAUSAL, ids=label)
def test_causal_rows_do_not_depend_on_later_tokens(name: str, parameters: dict[str, Any]) -> None:
    made, at = case(name, parameters, 150, "float64"), 70
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    call = programs.build(made).call
    found = call(q, k, v)
    other = call(*(torch.cat([each[:, :, :at], 2 * each[:, :, at:].flip(2)], dim=2) for each in (q, k, v)))
    assert torch.allclose(found[:, :, :at], other[:, :, :at], atol=1e-12)
    assert bool((found[:, :, at:] - other[:, :, at:]).abs().amax(dim=-1).min() > 1e-9)


def test_sinkhorn_with_one_block_is_softmax_attention() -> None:
    assert apart(*outputs(case("sinkhorn", {"block": 61}, 61, "float64"))) < 1e-12


def test_sinkhorn_sees_its_own_block_and_the_one_that_its_queries_look_for() -> None:
    made = case("sinkhorn", {"block": 4, "temperature": 0.02}, 16, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    sought = torch.tensor([2, 3, 1, 0])
    directions = 3 * torch.eye(8, dtype=torch.float64)
    q, k = q / 9 + directions[sought.repeat_interleave(4)], k / 9 + directions[torch.arange(4).repeat_interleave(4)]
    found = programs.build(made).call(q, k, v)
    for block in range(4):
        own, other = (slice(4 * at, 4 * at + 4) for at in (block, int(sought[block])))
        keys, values = (torch.cat([each[:, :, own], each[:, :, other]], dim=2) for each in (k, v))
        right = attention(q[:, :, own], keys.expand(2, 2, 8, 8), values.expand(2, 2, 8, 8))
        assert torch.allclose(found[:, :, own], right, atol=1e-9)


def test_sinkhorn_mixes_all_blocks_alike_where_all_look_for_the_same() -> None:
    """Scores are zero. The last of four blocks has 13 tokens of 16."""
    made = case("sinkhorn", {"block": 16}, 61, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q * 0, k, v)
    for block in range(4):
        own = v[:, :, 16 * block : 16 * block + 16]
        right = (v.sum(dim=2) / 4 + own.sum(dim=2)) / (16 + own.shape[2])
        rows = found[:, :, 16 * block : 16 * block + 16]
        assert torch.allclose(rows, right[:, :, None].expand_as(rows))


def test_sinkhorn_when_causal_balances_what_is_known_so_far() -> None:
    """Three blocks of one token, balanced once: block 1 sees block 0, and block 2 both, by hand."""
    made = case("sinkhorn", {"block": 1, "iterations": 1, "temperature": 1.0, "causal": True}, 3, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, k, v)
    k, v = k[:, 0], v[:, 0]
    assert torch.allclose(found[:, :, 0], v[:, None, 0].expand(2, 2, 8))
    assert torch.allclose(found[:, :, 1:2], attention(q[:, :, 1:2], k[:, None, :2], v[:, None, :2]))
    for head in range(2):
        logits = (q[:, head].mean(dim=1)[:, None] * k[:, :2]).sum(dim=-1) / 8**0.5
        row = logits.softmax(dim=-1)
        # Row 1 is [1, 0]: in the sums of columns up to row 2, only that of column 0 has more than row 2.
        row = row / (row + torch.tensor([1.0, 0.0]))
        mixed = [(row[:, :, None] * each[:, :2]).sum(dim=1) for each in (k, v)]
        keys, values = (torch.stack([one, each[:, 2]], dim=1) for one, each in zip(mixed, (k, v), strict=True))
        right = attention(q[:, head, 2:], keys, values)
        assert torch.allclose(found[:, head, 2:], right)


def test_synthesizer_averages_where_all_its_weights_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WEIGHTS, lambda *_: (torch.zeros(2, 61, 61, dtype=torch.float64),))
    given = inputs(case("synthesizer", {}, 61).setting.shape, "float64", "cpu")
    found = programs.build(case("synthesizer", {"rank": None}, 61, "float64")).call(*given[:3])
    assert torch.allclose(found, given.v.mean(dim=2, keepdim=True).expand_as(found))
    found = programs.build(case("synthesizer", {"rank": None, "causal": True}, 61, "float64")).call(*given[:3])
    assert torch.allclose(found, (given.v.cumsum(dim=2) / torch.arange(1, 62)[:, None]).expand_as(found))


def test_synthesizer_with_a_rank_multiplies_two_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("synthesizer", {"rank": 3}, 61, "float64")
    first, second = weights(made)
    given = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(*given[:3])
    monkeypatch.setattr(WEIGHTS, lambda *_: (torch.einsum("hir,hjr->hij", first, second),))
    assert torch.allclose(found, programs.build(case("synthesizer", {"rank": None}, 61, "float64")).call(*given[:3]))


def test_dense_synthesizer_reads_where_its_weights_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer and scores are the query itself: a query that points along axis j reads value j."""
    identity = torch.eye(8, dtype=torch.float64).expand(2, 8, 8)
    monkeypatch.setattr(WEIGHTS, lambda *_: (identity, identity))
    made = case("dense_synthesizer", {"hidden": 8}, 8, "float64")
    _, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    q = 50 * identity[0][order] - 50 * identity[0][order.flip(0)]
    found = programs.build(made).call(q.expand(2, 2, 8, 8), k, v)
    assert torch.allclose(found, v[:, :, order].expand_as(found))


@pytest.mark.parametrize("name", ["synthesizer", "dense_synthesizer"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_weights_are_the_same_in_parts(name: str, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(name, {"causal": causal}, 61)
    given = inputs(made.setting.shape, "float32", "cpu")
    whole = programs.build(made).call(*given[:3])
    module = importlib.import_module(f"attnbench.variants.{name}")
    monkeypatch.setattr(module, "_MOST_SCORES", {"cpu": 4 * 61 * 7})
    assert torch.allclose(programs.build(made).call(*given[:3]), whole, atol=1e-6)


def test_cosformer_weighs_pairs_by_the_cosine_of_their_distance() -> None:
    made = case("cosformer", {}, 5, "float64")
    _, _, v, _ = inputs(made.setting.shape, "float64", "cpu")
    ones = torch.ones(2, 2, 5, 8, dtype=torch.float64)
    found = programs.build(made).call(ones, ones[:, :1], v)
    for i in range(5):
        near = torch.tensor([math.cos(math.pi / 2 * (i - j) / 5) for j in range(5)], dtype=torch.float64)
        right = (near[:, None] * v).sum(dim=2) / near.sum()
        assert torch.allclose(found[:, :, i], right.expand(2, 2, 8))


def test_cosformer_when_causal_is_a_recurrence() -> None:
    """A state of N = 150 tokens, over three chunks, step by step."""
    made = case("cosformer", {"causal": True}, 150, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, k, v)
    state, total = (torch.zeros(2, 1, 16, width, dtype=torch.float64) for width in (8, 1))
    for i in range(150):
        angle = torch.tensor(math.pi * i / 300, dtype=torch.float64)
        turn = torch.stack([angle.cos(), angle.sin()]).repeat_interleave(8)
        query, key = (each[:, :, i].relu().repeat(1, 1, 2) * turn for each in (q, k))
        state, total = state + key[..., None] * v[:, :, i, None], total + key[..., None]
        right = (query[:, :, None] @ state)[:, :, 0] / (query[:, :, None] @ total)[:, :, 0].clamp(min=1e-6)
        assert torch.allclose(found[:, :, i], right.expand(2, 2, 8))


@pytest.mark.parametrize("causal", [False, True])
def test_cosformer_without_a_key_that_fits_gives_zeros_and_no_gradient(causal: bool) -> None:
    made = case("cosformer", {"causal": causal}, 5)
    q, k, v, dout = inputs(made.setting.shape, "float32", "cpu")
    leaves = tuple(each.requires_grad_() for each in (q.abs(), -k.abs(), v))
    out = programs.build(made).call(*leaves)
    for each in (out, *torch.autograd.grad(out, leaves, dout)):
        assert not bool(each.any())


@pytest.mark.parametrize("causal", [False, True])
def test_scores_that_are_products_are_those_of_softmax_attention(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("scores", {"causal": causal}, 61, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    mask = torch.ones(61, 61, dtype=torch.bool).tril() if causal else torch.ones(61, 61, dtype=torch.bool)
    right = oracle.attention(q, k, v, mask)
    assert torch.allclose(programs.build(made).call(q, k, v), right)
    same = torch.eye(8, dtype=torch.float64).expand(2, 8, 8) / math.sqrt(8)
    for score, scale, drawn in (("dot", math.sqrt(8), ()), ("general", 1, (same,))):
        monkeypatch.setattr(WEIGHTS, lambda *_, held=drawn: held)
        found = programs.build(case("scores", {"score": score, "causal": causal}, 61, "float64")).call(q / scale, k, v)
        assert torch.allclose(found, right)


def test_a_linear_concat_gives_all_queries_the_same_weights() -> None:
    made = case("scores", {"score": "concat"}, 61, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, k, v)
    _, b = weights(made)
    right = ((k @ b).softmax(dim=2) * v).sum(dim=2, keepdim=True)
    assert torch.allclose(found, right.expand_as(found))


def test_additive_scores_pair_by_pair() -> None:
    made = case("scores", {"score": "additive"}, 5, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, k, v)
    a, b, u = weights(made)
    for entry, head, i in itertools.product(range(2), range(2), range(5)):
        scores = [((q[entry, head, i] @ a[head] + k[entry, 0, j] @ b[0]).tanh() @ u[head]) for j in range(5)]
        right = torch.cat(scores).softmax(dim=0) @ v[entry, 0]
        assert torch.allclose(found[entry, head, i], right)


def test_a_sigmoid_needs_its_bias() -> None:
    """The weights of scores that are 0 sum to N / (1 + N) with the bias of -log N, and to N / 2 without one."""
    for bias, right in ((None, 61 / 62), (0.0, 61 / 2)):
        made = case("scores", {"normalizer": "sigmoid", "bias": bias}, 61, "float64")
        q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
        found = programs.build(made).call(q * 0, k, v * 0 + 1)
        assert torch.allclose(found, torch.full_like(found, right))
    told = Scores(bias=0.0).unsupported(61)
    assert told == "only a sigmoid has a bias, found bias: 0.0 and normalizer: softmax"


def test_relu_over_n_is_the_mean_of_what_is_positive() -> None:
    made = case("scores", {"score": "dot", "normalizer": "relu_n"}, 61, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, k, v * 0 + 1)
    right = torch.einsum("bhid,bkjd->bhij", q, k).clamp(min=0).mean(dim=-1, keepdim=True)
    assert torch.allclose(found, right.expand_as(found))


@pytest.mark.parametrize("score", ["scaled_dot", "additive", "concat"])
def test_scores_are_the_same_in_parts(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("scores", {"score": score, "normalizer": "relu_n", "causal": True}, 61, "float64")
    given = inputs(made.setting.shape, "float64", "cpu")
    whole = programs.build(made)
    monkeypatch.setattr("attnbench.variants.scores._MOST", {"cpu": 4 * 61 * 7})
    parts = programs.build(made)
    assert torch.allclose(parts.call(*given[:3]), whole.call(*given[:3]))
    assert torch.equal(calls.chosen(parts, given), calls.chosen(whole, given))


def test_yoso_pair_by_pair() -> None:
    """Vectors of a plane, so that angles are known: a query at 0 degrees, keys at 0, 60, 90 and 180."""
    made = case_of("yoso", {"tau": 3}, "own", Shape(1, 1, 1, 4, 2), "float64", "cpu", "forward")
    degrees = torch.tensor([0.0, 60.0, 90.0, 180.0], dtype=torch.float64)
    k = torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], dim=-1).expand(1, 1, 4, 2)
    v = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], dtype=torch.float64).expand(1, 1, 4, 2)
    found = programs.build(made).call(7 * k[:, :, :1].expand(1, 1, 4, 2), 0.1 * k, v)
    summed = (torch.tensor([1.0, 8 / 27, 1 / 8, 0.0], dtype=torch.float64)[:, None] * v).sum(dim=2)
    # A cosine of 1 is cut to 1 - 1e-6, an angle of 0.08 degrees.
    assert torch.allclose(found, (summed / summed.norm()).expand_as(found), atol=2e-3)


def test_yoso_with_weights_of_one_plane_is_what_hashes_give() -> None:
    """The share of random planes that have query and key on the same side."""
    made = case_of("yoso", {"tau": 1}, "own", Shape(1, 1, 1, 6, 4), "float64", "cpu", "forward")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    planes = torch.randn(4, 100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = ((q @ planes > 0)[:, :, :, None] == (k @ planes > 0)[:, :, None]).double().mean(dim=-1)
    summed = shares @ v
    assert torch.allclose(programs.build(made).call(q, k, v), summed / summed.norm(dim=-1, keepdim=True), atol=0.02)


def test_yoso_of_equal_vectors_has_gradients() -> None:
    made = case("yoso", {}, 5)
    q, _, v, dout = inputs(made.setting.shape, "float32", "cpu")
    leaves = tuple(each.requires_grad_() for each in (q, q[:, :1].clone(), v))
    for each in torch.autograd.grad(programs.build(made).call(*leaves), leaves, dout):
        assert bool(each.isfinite().all())


def test_yoso_with_many_planes_answers_with_the_value_of_the_nearest_key() -> None:
    made = case("yoso", {"tau": 2**30}, 61, "float64")
    q, k, v, _ = inputs(made.setting.shape, "float64", "cpu")
    q, k = (each / each.norm(dim=-1, keepdim=True) for each in (q, k))
    nearest = (q @ k.mT).argmax(dim=-1)
    right = torch.stack([each[0][of] for each, of in zip(v, nearest, strict=True)])
    assert torch.allclose(programs.build(made).call(q, k, v), right / right.norm(dim=-1, keepdim=True))


def test_yoso_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("yoso", {}, 61, "float64")
    given = inputs(made.setting.shape, "float64", "cpu")
    whole = programs.build(made).call(*given[:3])
    monkeypatch.setattr("attnbench.variants.yoso._MOST_SCORES", {"cpu": 4 * 61 * 7})
    assert torch.allclose(programs.build(made).call(*given[:3]), whole)


def test_weights_belong_to_a_mechanism_and_its_sizes() -> None:
    made = case("performer", {"features": 8}, 61)
    (first,) = weights(made)
    for same in (
        made,
        made.changed(direction="forward"),
        made.changed(shape=replace(made.setting.shape, layout="bnhd")),
    ):
        assert torch.equal(first, weights(same)[0])
    for other in (case("performer", {"features": 9}, 61), case("performer", {"features": 8}, 97)):
        assert not torch.equal(first, weights(other)[0][:8])
    assert torch.equal(first.bfloat16(), weights(made.changed(dtype="bfloat16"))[0])


def test_a_parameter_that_was_added_later_leaves_weights_as_they_were() -> None:
    before, now = case("performer", {"features": 8}, 61), {"features": 8, "kernel": "softmax", "causal": False}
    assert torch.equal(weights(before)[0], weights(case("performer", now, 61))[0])


def test_learned_weights_have_another_second_content_and_fixed_ones_have_not() -> None:
    made = case("linformer", {"projected": 3}, 61)
    assert not torch.equal(weights(made, 0)[0], weights(made, 1)[0])
    fixed = case("performer", {"features": 8}, 61)
    assert torch.equal(weights(fixed, 0)[0], weights(fixed, 1)[0])


def test_random_features_are_orthogonal_and_as_long_as_gaussian_rows() -> None:
    (w,) = weights(case("performer", {"features": 4096}, 61, "float64"))
    block = w[:8] / w[:8].norm(dim=1, keepdim=True)
    assert torch.allclose(block @ block.T, torch.eye(8, dtype=torch.float64), atol=1e-5)
    assert float((w.norm(dim=1) ** 2).mean()) == pytest.approx(8, rel=0.05)


CALL = "return scaled_dot_product_attention(q, e @ k, f @ v, enable_gqa=enable_gqa)"
FAULTS = {
    "dW1": ("training", 3, "e, f = weights", "e, f = weights; e = e * 2 - e.detach()", "dW1 differs"),
    "dW2": ("training", 3, "e, f = weights", "e, f = weights; f = f.detach()", "dW2 differs"),
    "unlearned": ("training", 3, "e, f = weights", "e, f = weights; f.requires_grad_(False)", "expected 6 results"),
    "small": ("training", 9, "e, f = weights", "e, f = weights; len(e[0]) < 5 and f.data.zero_()", "differs from"),
    "kept": ("forward", 3, "e, f = weights", "e, f = (each.detach().clone() for each in weights)", "differs from"),
    "changed": ("forward", 3, CALL, f"out = {CALL[7:]}; e.data.mul_(1.5); return out", "changes its weight W1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_are_misused_are_found(fault: str, folder: Path) -> None:
    direction, n, right, wrong, expected = FAULTS[fault]
    head, built = variants.file("linformer").read_text().split("def build")
    assert right in built
    (folder / "mine.py").write_text(f"{head}def build{built.replace(right, wrong)}")
    variants.extend(folder)
    found = probe(case("mine", {"projected": 5}, n, direction=direction), BUDGET, step)
    assert found.status is Status.WRONG
    assert expected in found.reason


def test_what_is_missing_or_too_much_is_named(folder: Path) -> None:
    from attnbench.suites.schema import catalog

    text = variants.file("linear").read_text()
    (folder / "workless.py").write_text(text.replace("    work=work,\n", "").replace("    build=build,\n", ""))
    window = variants.file("truncated").read_text()
    (folder / "weighted.py").write_text(re.sub(r"(VARIANT = Variant\(\s*\w+,)", r"\1 work=print,", window))
    variants.extend(folder)
    workless, weighted = sorted(map(str, catalog.problems()), key=lambda each: "workless" not in each)
    assert "expected build and work in Variant(...), found none" in workless
    assert "expected no work beside a pattern" in weighted


@pytest.mark.parametrize("told", ["Work(-1)", "Work(0.5)", "7", "None"])
def test_work_that_is_none_ends_the_case(told: str, folder: Path) -> None:
    text = variants.file("linear").read_text().replace("    work=work,", f"    work=lambda *_: {told},")
    (folder / "mine.py").write_text(text)
    variants.extend(folder)
    found = probe(case("mine", {}, 5), BUDGET, step)
    assert found.status is Status.FAILED
    assert "work: expected Work(flops)" in found.reason


def test_a_small_gradient_beside_a_large_one_is_proved(folder: Path) -> None:
    """A learned gain, whose gradient is larger than those of E and F by far, loosens nothing of theirs."""
    text = variants.file("linformer").read_text()
    text = text.replace("map(torch.nn.Parameter, drawn)", "map(torch.nn.Parameter, (*drawn, torch.full((1,), 0.01)))")
    text = text.replace("e, f = weights", "e, f, gain = weights").replace("@ v\n", "@ v * 100 * gain\n")
    text = text.replace(
        "e @ k, f @ v, enable_gqa=enable_gqa)", "e @ k, f.detach() @ v, enable_gqa=enable_gqa) * 100 * gain"
    )
    (folder / "gained.py").write_text(text)
    variants.extend(folder)
    found = probe(case("gained", {"projected": 5}, 70, "bfloat16"), BUDGET, step)
    assert (found.status, "dW2 differs" in found.reason) == (Status.WRONG, True), found.reason


@pytest.mark.parametrize("drawn", ["[drawn]", "(drawn.long(),)", "(drawn[0, 0],)", "(drawn / 0,)", "(drawn[:0],)"])
def test_weights_that_are_none_are_told(drawn: str, folder: Path) -> None:
    text = variants.file("performer").read_text()
    (folder / "mine.py").write_text(
        text.replace("    weights=weights,", f"    weights=lambda *_: (lambda drawn: {drawn})(*weights(*_)),")
    )
    variants.extend(folder)
    found = probe(case("mine", {"features": 8}, 5), BUDGET, step)
    assert found.status is Status.FAILED
    assert "weights: expected a tuple of tensors in float32" in found.reason
