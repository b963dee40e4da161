"""Relative positions: a layer adds a learned bias of distances to the scores of its mechanism."""

from typing import Any

import pytest
import torch
from proofs import step
from settings import case_at, case_of
from stages import unheard
from torch import Tensor, nn

from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import verdict
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, Status
from attnbench.suites.schema.load import parse
from attnbench.variants import Shape
from attnbench.variants.kernels import _support
from attnbench.variants.levels import BIAS_REFUSED

BUDGET = 2**32
LEVEL = "layer(positions=relative)"
REACH = 128


def bias(table: Tensor, n: int) -> Tensor:
    """What a table adds to scores, `H N N`, pair by pair."""
    found = torch.empty(len(table), n, n, dtype=table.dtype)
    for i in range(n):
        for j in range(n):
            found[:, i, j] = table[:, min(max(j - i, -REACH), REACH) + REACH]
    return found


@pytest.mark.parametrize("how", ["eager", "sdpa_masked"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_layer_is_torchs_multi_head_attention_with_a_bias(how: str, causal: bool) -> None:
    made = case_of("full", {"causal": causal}, how, Shape(2, 4, 4, 300, 6), "float64").changed(level=LEVEL)
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o, table = all_weights(made)
    assert table.shape == (4, 2 * REACH + 1)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([w_q, w_k, w_v]))
        theirs.in_proj_bias.copy_(torch.cat([b_q, b_k, b_v]))
        theirs.out_proj.weight.copy_(w_o)
        theirs.out_proj.bias.copy_(b_o)
        added = bias(table, 300)
        if causal:
            added = added.masked_fill(torch.ones(300, 300, dtype=torch.bool).triu(1), -torch.inf)
        (x, _) = inputs_of(made.setting)
        right = theirs(x, x, x, attn_mask=added.repeat(2, 1, 1), need_weights=False)[0]
        assert torch.allclose(programs.build(made).call(x), right)


@pytest.mark.parametrize("n", [1, 5, 61, 300])
def test_a_bias_and_its_gradient_are_those_of_every_pair(n: int) -> None:
    table = torch.randn(3, 2 * REACH + 1, dtype=torch.float64, requires_grad=True)
    found, right = _support.by_distance(table, n), bias(table, n)
    assert torch.equal(found, right)
    given = torch.randn(3, n, n, dtype=torch.float64)
    mine, theirs = (torch.autograd.grad(each, table, given)[0] for each in (found, right))
    assert torch.allclose(mine, theirs)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("name", "parameters", "how"),
    [
        ("full", {}, "eager"),
        ("full", {}, "sdpa_masked"),
        ("local_window", {"window": 9, "causal": True}, "eager"),
        ("bigbird", {"block": 8}, "sdpa_masked"),
        ("alibi", {}, "eager"),
        ("alibi", {"causal": True}, "sdpa_masked"),
        ("softcap", {}, "eager"),
    ],
)
def test_every_element_is_proved(name: str, parameters: dict[str, Any], how: str, direction: str) -> None:
    found = probe(case_at(name, parameters, how, 290, LEVEL, direction=direction), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("how", ["eager", "sdpa_masked"])
def test_it_is_proved_in_16_bits(how: str, dtype: str) -> None:
    found = probe(case_at("full", {}, how, 150, LEVEL, dtype), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason


@pytest.mark.parametrize("how", ["eager", "sdpa_masked"])
def test_an_encoder_has_a_table_in_every_layer(how: str) -> None:
    made = case_at("full", {}, how, level="encoder(positions=relative)")
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    tables = [each for each in all_weights(made) if each.shape == (2, 2 * REACH + 1)]
    assert len(tables) == 2
    assert not torch.equal(*tables)


def test_what_the_oracle_computes_in_part_is_unsupported() -> None:
    # The window has few pairs, and the oracle of a bias computes all.
    made = case_at("local_window", {"window": 3}, "eager", 2**15, "encoder(positions=relative)")
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert "4,294,967,296" in found.reason


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_wrong_gradient_of_the_table_is_found(dtype: str) -> None:
    made = case_at("full", {}, "eager", 130, LEVEL, dtype)
    given, program = inputs_of(made.setting), programs.build(made)
    call = calls.call(program, given, "training")
    right, want = call.found(call.run()), must_give(made, program, made.spans, given)

    def problem(found: tuple[Tensor, ...]) -> str | None:
        return verdict.judge(found, want, given, None, step).problem

    assert problem(right) is None
    share = {"float32": 1e-3, "bfloat16": 0.3}[dtype]
    for wrong in (right[-1] * (1 + share), right[-1].flip(1), torch.zeros_like(right[-1])):
        assert "dW9" in (problem((*right[:-1], wrong)) or "")


@pytest.mark.parametrize(
    "made",
    [
        case_at("full", {}, "sdpa", level=LEVEL),
        case_at("full", {}, "blockwise", level=LEVEL),
        case_at("full", {}, "native", level=LEVEL),
        case_at("softcap", {}, "flex", level=LEVEL),
        case_at("linear", {}, level=LEVEL),
        case_at("topk", {}, level="encoder(positions=relative)"),
    ],
    ids=lambda made: made.title,
)
def test_others_are_unsupported(made: Case) -> None:
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert found.reason == BIAS_REFUSED


def test_it_does_not_decode() -> None:
    found = probe(case_at("full", {}, "eager", level=LEVEL, direction="decode"), BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert "relative" in found.reason


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("how", ["eager", "sdpa_masked"])
@pytest.mark.parametrize("shape", [Shape(1, 4, 4, 512, 16), Shape(4, 2, 1, 300, 32)], ids=str)
def test_its_peak_is_predicted(shape: Shape, how: str, causal: bool, dtype: str, direction: str) -> None:
    made = case_of("full", {"causal": causal}, how, shape, dtype, "cpu", direction).changed(level=LEVEL)
    call = calls.call(programs.build(made), inputs_of(made.setting), made.setting.direction)
    call.run()
    assert admission.admit(made, BUDGET) == pytest.approx(memory.cpu_peaks(call.run).allocated_bytes, rel=0.1)


SUITE = """
name: relative
question: What do relative positions cost?
level: {layer: {positions: [none, relative]}}
shape: {heads: 2, head_dim: 8, seq_len: 64}
variants:
  - full: {implementation: [eager, sdpa_masked]}
"""


def test_a_suite_names_it() -> None:
    assert {each.setting.level for each in parse(SUITE).cases()} == {"layer", LEVEL}
