"""What a layer attends to: its own tokens, those up to the query, or the tokens of a memory."""

from typing import Any

import pytest
import torch
from settings import case_at, case_of
from stages import unheard
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import approximation, recall
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Named, Shape, levels
from attnbench.variants.levels.layer import Layer

BUDGET = 2**32
MASKED = "layer(attention=masked)"
CROSS = "layer(attention=cross)"


def cross(kv_len: int) -> str:
    """The level of a layer with a memory of some tokens."""
    return f"layer(attention=cross, kv_len={kv_len})"


def started(made: Case) -> Call:
    """A case's call."""
    return calls.call(programs.build(made), inputs_of(made.setting), made.setting.direction)


def torchs(made: Case, heads: int) -> nn.MultiheadAttention:
    """Torch's layer with the weights of a case."""
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o = all_weights(made)
    theirs = nn.MultiheadAttention(len(w_q), heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([w_q, w_k, w_v]))
        theirs.in_proj_bias.copy_(torch.cat([b_q, b_k, b_v]))
        theirs.out_proj.weight.copy_(w_o)
        theirs.out_proj.bias.copy_(b_o)
    return theirs


@pytest.mark.parametrize("kv_len", [1, 9, 30])
@pytest.mark.parametrize("how", ["eager", "sdpa"])
def test_cross_attention_is_torchs(how: str, kv_len: int) -> None:
    made = case_of("full", {}, how, Shape(2, 4, 4, 13, 6), "float64", direction="training")
    made = made.changed(level=cross(kv_len))
    given = inputs_of(made.setting)
    assert [each.shape for each in given] == [(2, 13, 24), (2, kv_len, 24), (2, 13, 24)]
    assert given.names == ("x", "memory", "dout")
    x, memory = given.leaves(gradients=True)
    right = torchs(made, 4)(x, memory, memory, need_weights=False)[0]
    found = started(made).run()
    assert isinstance(found, tuple)
    assert torch.allclose(found[0], right)
    for mine, theirs in zip(found[1:3], torch.autograd.grad(right, (x, memory), given.dout), strict=True):
        assert torch.allclose(mine, theirs)


def test_a_masked_layer_is_torchs() -> None:
    made = case_of("full", {}, "eager", Shape(2, 4, 4, 13, 6), "float64").changed(level=MASKED)
    (x, _) = inputs_of(made.setting)
    hidden = torch.ones(13, 13, dtype=torch.bool).triu(1)
    with torch.no_grad():
        right = torchs(made, 4)(x, x, x, attn_mask=hidden, need_weights=False)[0]
        assert torch.allclose(programs.build(made).call(x), right)


@pytest.mark.parametrize("name", ["full", "local_window", "linear", "performer", "routing", "strided", "retention"])
def test_no_token_of_a_masked_layer_depends_on_later_ones(name: str) -> None:
    how = "eager" if name in ("full", "local_window", "strided") else "own"
    made = case_at(name, {}, how, level=MASKED, dtype="float64", direction="forward")
    (x, _) = inputs_of(made.setting)
    other = x.clone()
    other[:, 40:] += 1
    with torch.no_grad():
        program = programs.build(made)
        assert torch.allclose(program.call(x)[:, :40], program.call(other)[:, :40])


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("name", "how", "level"),
    [
        ("full", "eager", CROSS),
        ("full", "sdpa", cross(7)),
        ("full", "sdpa", cross(200)),
        ("full", "eager", cross(1)),
        ("linear", "own", cross(90)),
        ("full", "sdpa", MASKED),
        ("full", "blockwise", "layer(positions=rotary, attention=masked)"),
        ("full", "eager", "layer(positions=relative, attention=masked)"),
        ("linear", "own", MASKED),
        ("local_window", "blockwise", MASKED),
    ],
)
def test_every_element_is_proved(name: str, how: str, level: str, direction: str) -> None:
    found = probe(case_at(name, {}, how, 130, level, direction=direction), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1


@pytest.mark.parametrize("how", ["eager", "sdpa"])
def test_it_is_proved_in_bfloat16(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "look", lambda *_: None)
    found = probe(case_at("full", {}, how, 130, cross(70), "bfloat16"), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason


@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_gradient_of_an_input_is_found(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Larger(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad * 1.01

    build = programs.build

    def spoiled(*given: Any) -> Any:
        program = build(*given)

        def call(*inputs: Tensor) -> Tensor:
            apply: Any = Larger.apply
            out: Tensor = program.call(*(apply(each) if at == place else each for at, each in enumerate(inputs)))
            return out

        return type(program)(**{**vars(program), "call": call})

    monkeypatch.setattr(programs, "build", spoiled)
    found = probe(case_at("full", {}, "eager", level=cross(90)), BUDGET, unheard)
    assert found.status is Status.WRONG
    assert ("dX", "dMEMORY")[place] in found.reason


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("kv_len", [40, 500])
@pytest.mark.parametrize(("name", "how"), [("full", "eager"), ("linear", "own")])
def test_its_work_is_what_torch_counts(name: str, how: str, kv_len: int, direction: str) -> None:
    made = case_at(name, {}, how, 128, cross(kv_len), direction=direction)
    # Of torch's fused kernels, the counter knows those on CUDA alone.
    with sdpa_kernel(SDPBackend.MATH):
        call = started(made)
        with FlopCounterMode(display=False) as counter:
            call.run()
    pairs, flops = admission.work(made, made.spans)
    assert flops == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert pairs == (2 * 2 * 128 * kv_len if name == "full" else None)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("kv_len", [300, 1500])
@pytest.mark.parametrize("how", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", [Shape(2, 4, 4, 512, 16), Shape(4, 2, 1, 300, 32)], ids=str)
def test_its_peak_is_predicted(shape: Shape, how: str, kv_len: int, direction: str) -> None:
    made = case_of("full", {}, how, shape, "float32", "cpu", direction).changed(level=cross(kv_len))
    call = started(made)
    call.run()
    assert admission.admit(made, BUDGET) == pytest.approx(memory.cpu_peaks(call.run).allocated_bytes, rel=0.1)


def test_a_masked_layer_has_the_errors_of_a_causal_mechanism() -> None:
    masked = case_at("local_window", {"window": 9}, "eager", 130, MASKED, direction="forward")
    causal = case_at("local_window", {"window": 9, "causal": True}, "eager", 130, direction="forward")
    found, right = (approximation.of_case(each, each.spans, lambda: None) for each in (masked, causal))
    assert found == right
    assert masked.mechanism == Named("local_window", {"window": 9})


@pytest.mark.parametrize(("name", "how"), [("full", "eager"), ("linear", "own")])
def test_errors_in_cross_attention_are_those_within_one_sequence(name: str, how: str) -> None:
    crossing = case_at(name, {}, how, 130, cross(40), direction="forward")
    within = crossing.changed(level="attention")
    found, right = (approximation.of_case(each, each.spans, lambda: None) for each in (crossing, within))
    assert found == right
    assert (found[0] < 1e-9) == (name == "full")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (case_at("linformer", {}, level=MASKED), "the parameter causal"),
        (case_at("local_window", {"window": 9, "edges": "slide"}, "eager", level=MASKED), "cannot slide inward"),
        (case_at("lstm", {}, level=MASKED), "use level: layer"),
        (case_at("lstm", {}, level=CROSS), "use level: layer"),
        (case_at("full", {"causal": True}, "sdpa", level=CROSS), "without places"),
        (case_at("local_window", {}, "eager", level=CROSS), "without places"),
        (case_at("linformer", {}, level=CROSS), "without places"),
        (case_at("full", {}, "blockwise", level=CROSS), "use full in eager, sdpa"),
        (case_at("full", {}, "sdpa_masked", level=CROSS), "use full in eager, sdpa"),
        (case_at("full", {}, "eager", level=CROSS, direction="decode"), "without a memory"),
        (case_at("full", {}, "sdpa", 9, cross(2**28)), "2,147,483,648 pairs"),
    ],
    ids=lambda given: given.title if isinstance(given, Case) else "",
)
def test_what_does_not_exist_is_unsupported(made: Case, words: str) -> None:
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


SUITE = """
name: layers
question: What does a memory cost?
level: {level}
shape: {{heads: 2, head_dim: 8, seq_len: 64}}
variants: [full]
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("{layer: {attention: self}}", ["layer"]),
        ("{layer: {attention: [self, masked]}}", ["layer", MASKED]),
        ("{layer: {attention: cross, kv_len: [16, 256]}}", [cross(16), cross(256)]),
        ("[layer, {layer: {attention: cross}}]", ["layer", CROSS]),
    ],
)
def test_a_suite_names_what_is_attended_to(level: str, expected: list[str]) -> None:
    suite = parse(SUITE.format(level=level))
    assert [each.setting.level for each in suite.cases()] == expected
    assert from_dict(suite.to_json()).cases() == suite.cases()


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("{layer: {kv_len: 7}}", "kv_len: expected attention: cross beside it, found attention: self"),
        ("{layer: {attention: cross, positions: rotary}}", "positions: expected none beside attention: cross"),
        ("{layer: {attention: cross, kv_len: 0}}", "kv_len: expected an integer from 1"),
        ("{layer: {attention: other}}", "self, masked, cross"),
    ],
)
def test_a_wrong_level_is_one_error(level: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.format(level=level), "mine.yaml")
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert str(problem).startswith("mine.yaml:4:")


def test_a_layer_is_written_and_read() -> None:
    for each in (Layer(), Layer(attention="masked"), Layer("rotary", "masked"), Layer("none", "cross", 5)):
        assert levels.read(levels.written("layer", each)) == each
    with pytest.raises(ValueError, match="kv_len"):
        levels.read("layer(kv_len=5)")
