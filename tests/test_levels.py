"""Levels: what stands around a mechanism is measured and proved with it, and means what it means elsewhere."""

import itertools
import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from definitions import CASES, MECHANISMS, label
from folders import forgotten
from settings import case_at as case
from settings import case_of
from stages import unheard as step
from torch import Tensor, nn

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, mechanisms, programs
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.call.weights import all_weights
from attnbench.runner.worker.probe import probe
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Parameters, Shape, kernels, levels, of_module
from attnbench.variants.graph import Edges
from attnbench.variants.levels import _around
from attnbench.variants.levels.layer import Layer

BUDGET = 2**32
POSITIONS: tuple[Literal["none", "sinusoidal", "learned", "rotary"], ...] = ("none", "sinusoidal", "learned", "rotary")
TOKENS = [each for each in MECHANISMS if variants.load(each[0]).level != "attention"]
"""Every mechanism that is a layer of its own. test_mechanisms.py proves these in float32."""
INNER = [*CASES[::8], *(each for each in MECHANISMS if each not in TOKENS)]
PROVED = [(*each, dtype) for each, dtype in zip(INNER, itertools.cycle(("float32", "bfloat16")), strict=False)]
PROVED += [(*each, "bfloat16") for each in TOKENS]
"""The sizes of each mechanism in one dtype: around it is the same layer, and test_mechanisms.py has all dtypes."""


@pytest.mark.parametrize(("name", "parameters", "dtype"), PROVED, ids=label)
def test_a_probe_proves_every_element_of_a_layer(name: str, parameters: dict[str, Any], dtype: str) -> None:
    how = kernels.PORTABLE if variants.load(name).is_pattern else "own"
    made = case(name, parameters, how, 70, dtype=dtype)
    found = probe(made, BUDGET, step)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1
    assert found.flops is not None


@pytest.mark.parametrize("level", [f"layer(positions={each})" for each in POSITIONS[1:]])
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_positions_are_proved(level: str, direction: str) -> None:
    for how in ("sdpa", "eager"):
        found = probe(case("full", {}, how, level=level, direction=direction), BUDGET, step)
        assert found.status is Status.PASSED, found.reason


def through(made: Case, *inputs: Tensor) -> Tensor:
    """The output of a case's program in float64."""
    return programs.build(made.changed(dtype="float64", direction="forward")).call(*inputs)


def test_a_layer_is_torchs_multi_head_attention() -> None:
    made = case_of("full", {}, "eager", Shape(2, 4, 4, 13, 6), "float64").changed(level="layer")
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o = all_weights(made)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([w_q, w_k, w_v]))
        theirs.in_proj_bias.copy_(torch.cat([b_q, b_k, b_v]))
        theirs.out_proj.weight.copy_(w_o)
        theirs.out_proj.bias.copy_(b_o)
    (x, _) = inputs_of(made.setting)
    with torch.no_grad():
        assert torch.allclose(through(made, x), theirs(x, x, x)[0])


def test_torch_mha_is_full_attention_as_a_layer_on_the_fast_path() -> None:
    shape = Shape(2, 4, 4, 13, 6)
    made, full = (
        case_of(name, {}, how, shape, direction="forward").changed(level="layer")
        for name, how in (("torch_mha", "own"), ("full", "sdpa"))
    )
    assert admission.work(made, None)[1] == admission.work(full, full.spans)[1]
    call = calls.call(programs.build(made), inputs_of(made.setting), "forward").run
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        call()
    assert "aten::_native_multi_head_attention" in {event.name for event in profiler.events()}


def test_torch_mha_refuses_shared_key_heads() -> None:
    made = case_of("torch_mha", {}, "own", Shape(1, 4, 2, 13, 6), direction="forward").changed(level="layer")
    with pytest.raises(NotImplementedError, match="takes as many kv_heads as heads, found kv_heads 2 and heads 4"):
        programs.build(made)


def test_rotary_positions_leave_scores_that_depend_on_distance_alone() -> None:
    setting = case("full", {}, "eager", level="layer(positions=rotary)", dtype="float64").setting
    level, (cos, sin) = Layer("rotary"), Layer("rotary").weights(setting, torch.Generator())[-2:]
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64).expand(-1, -1, -1, 61, -1)
    seen: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen.append((q @ k.transpose(-2, -1))[0, 0])
        return v

    eye, zero = torch.eye(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
    one = case_of("full", {}, "eager", Shape(1, 1, 1, 61, 8), "float64").setting
    level.call(
        one, (attend,), (eye, q[0, 0, 0], eye, k[0, 0, 0], eye, zero, eye, zero, cos.double(), sin.double()), 0 * q[0]
    )
    scores = seen[0]
    assert torch.allclose(scores[1:, 1:], scores[:-1, :-1], atol=1e-5)
    assert not torch.allclose(scores[0, 1:], scores[0, :-1], atol=1e-2)


def test_sinusoidal_positions_are_those_of_the_paper() -> None:
    setting = case("full", {}, "eager").setting
    table = Layer("sinusoidal").weights(setting, torch.Generator())[-1]
    for t, i in ((0, 0), (7, 3), (60, 7)):
        angle = t / 10_000 ** (2 * i / 16)
        assert table[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_work_adds_the_projections() -> None:
    made = case("full", {}, "eager", direction="forward")
    alone = admission.work(made.changed(level="attention"), made.spans)[1]
    around = admission.work(made, made.spans)[1]
    assert alone is not None
    assert around is not None
    assert around - alone == 2 * 2 * 61 * 16 * (16 + 8 + 8 + 16)


@pytest.mark.parametrize("place", range(10))
def test_a_wrong_gradient_of_any_weight_is_found(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    made, build = case("full", {}, "eager"), programs.build

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(each.clone() for each in tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
            return tuple(grad * (1.01 if at == place else 1) for at, grad in enumerate(grads))

    class Spoiled(Layer):
        def call(self, setting: Any, within: Any, weights: Any, *inputs: Tensor) -> Tensor:
            if not spoil:
                return super().call(setting, within, weights, *inputs)
            apply: Any = Wrong.apply
            x, *spoiled = apply(*inputs, *weights)
            return super().call(setting, within, tuple(spoiled), x)

    spoil = False

    def spoiled(*given: Any) -> Any:
        program = build(*given)

        def call(*inputs: Tensor) -> Tensor:
            nonlocal spoil
            spoil = True
            try:
                return program.call(*inputs)
            finally:
                spoil = False

        return type(program)(**{**vars(program), "call": call})

    monkeypatch.setattr(_around, "read", lambda level: Spoiled())
    monkeypatch.setattr(programs, "build", spoiled)
    found = probe(made, BUDGET, step)
    # A bias of all keys adds the same to all scores of a query, so its gradient is 0.
    assert (found.status is Status.PASSED) == (place in (4, 9)), found.reason


def test_a_choice_within_a_layer_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("topk", {"keys": 5})
    build: Any = variants.load("topk").build

    def other(*given: Any) -> Any:
        program = build(*given)
        return type(program)(**{**vars(program), "choice": lambda q, k, v: k.shape[2] - 1 - program.choice(q, k, v)})

    monkeypatch.setattr(variants.Variant, "program", lambda self, *given: other(*given))
    found = probe(made, BUDGET, step)
    assert found.status is Status.WRONG
    assert "choice" in found.reason or "output" in found.reason


SUITE = """
name: layers
question: What do projections add?
level: {level}
shape: {{heads: 2, head_dim: 8, seq_len: 64}}
variants: [full]
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("layer", ["layer"]),
        ("{layer: {}}", ["layer"]),
        ("[attention, layer]", ["attention", "layer"]),
        ("{layer: {positions: [none, rotary]}}", ["layer", "layer(positions=rotary)"]),
        ("[{layer: {positions: learned}}, attention]", ["layer(positions=learned)", "attention"]),
    ],
)
def test_a_suite_names_levels(level: str, expected: list[str]) -> None:
    suite = parse(SUITE.format(level=level))
    assert [each.setting.level for each in suite.cases()] == expected
    assert from_dict(suite.to_json()).cases() == suite.cases()
    assert len({each.key for each in suite.cases()}) == len(expected)


def test_attention_keeps_the_keys_that_it_had_without_levels() -> None:
    named, plain = (
        parse(SUITE.format(level="attention")),
        parse(SUITE.format(level="attention").replace("level: ", "# ")),
    )
    assert [each.key for each in named.cases()] == [each.key for each in plain.cases()]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("encode", "attention, encoder, encoder_decoder, layer"),
        ("{layer: {position: rotary}}", "positions"),
        ("{layer: {positions: round}}", "rotary"),
        ("[]", "list"),
        ("7", "7"),
        ("{layer: {}, attention: {}}", "mapping"),
    ],
)
def test_a_wrong_level_is_one_error(level: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.format(level=level))
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert problem.line == 4


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (case("lstm", {}, level="attention"), "from level layer on"),
        (case("lstm", {}, level="layer(positions=rotary)"), "level: layer"),
        (case_of("full", {}, "eager", Shape(1, 2, 2, 8, 5)).changed(level="layer(positions=rotary)"), "even head_dim"),
        (case_of("full", {}, "eager", Shape(1, 2, 2, 8, 4, "bnhd")).changed(level="layer"), "layout: bhnd"),
        (
            case_of("full", {}, "sdpa", Shape(1, 2, 2, 2**15 + 1, 2), direction="training").changed(level="layer"),
            "2,147,483,648 pairs",
        ),
    ],
)
def test_what_does_not_exist_at_a_level_is_unsupported(made: Case, words: str) -> None:
    found = probe(made, BUDGET, step)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("name", "theirs"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_recurrent_networks_are_torchs(name: str, theirs: Any, bidirectional: bool) -> None:
    made = case(name, {"bidirectional": bidirectional}, dtype="float64")
    module = theirs(16, 16 // (1 + bidirectional), batch_first=True, bidirectional=bidirectional, dtype=torch.float64)
    (x, _), weights = inputs_of(made.setting), all_weights(made)
    with torch.no_grad():
        for mine, given in zip(module.parameters(), weights, strict=True):
            mine.copy_(given)
        right, _ = module(x)
        reference = mechanisms.reference(made)
        assert reference
        assert torch.allclose(through(made, x), right)
        assert torch.allclose(reference(x, torch.arange(61), *weights), right)


def test_a_state_space_is_its_impulse_response() -> None:
    made = case("ssm", {"state": 6}, dtype="float64")
    (x, _) = inputs_of(made.setting)
    impulse = torch.zeros_like(x)
    impulse[:, 0] = 1
    with torch.no_grad():
        kernel, found = through(made, impulse)[0], through(made, x)
        right = sum(torch.roll(x, by, dims=1) * (torch.arange(61) >= by)[:, None] * kernel[by] for by in range(61))
    assert torch.allclose(found, torch.as_tensor(right))


def test_a_convolution_of_one_token_is_a_product() -> None:
    made = case("conv1d", {"kernel": 1}, dtype="float64")
    (x, _), (w, b) = inputs_of(made.setting), all_weights(made)
    with torch.no_grad():
        assert torch.allclose(through(made, x), x @ w[:, :, 0].T + b)


def test_the_last_tokens_do_not_reach_the_first_in_causal_layers() -> None:
    for name, parameters in (("conv1d", {"causal": True}), ("lstm", {}), ("gru", {}), ("ssm", {})):
        made = case(name, parameters, dtype="float64")
        (x, _) = inputs_of(made.setting)
        other = x.clone()
        other[:, 40:] += 1
        with torch.no_grad():
            assert torch.allclose(through(made, x)[:, :40], through(made, other)[:, :40])


def line(monkeypatch: pytest.MonkeyPatch, *weights: Tensor) -> Case:
    """Graph attention of one head with one number, on three tokens in a row, with these W, a_l and a_r."""
    parameters = {"kind": "grid", "degree": 4, "grid": (1, 3)}
    w, left, right = (each.double() for each in weights)
    drawn = (w, torch.stack([left, right], dim=-1))
    monkeypatch.setattr("attnbench.runner.worker.call.weights.weights", lambda *_: drawn)
    return case_of("gat", parameters, "own", Shape(1, 1, 1, 3, 1), "float64").changed(level="layer")


def test_graph_attention_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = line(monkeypatch, torch.tensor([[2]]), torch.tensor([[0.5]]), torch.tensor([[0.25]]))
    found = through(made, torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64).view(1, 3, 1)).flatten()
    # h is 2, -2 and 4. Of the middle token's numbers, the first two are below 0: -0.5 and -1.5.
    e = math.exp
    assert found.tolist() == pytest.approx(
        [
            (2 * e(1.5) - 2 * e(0.5)) / (e(1.5) + e(0.5)),
            (2 * e(-0.1) - 2 * e(-0.3) + 4 * e(0)) / (e(-0.1) + e(-0.3) + e(0)),
            (-2 * e(1.5) + 4 * e(3)) / (e(1.5) + e(3)),
        ]
    )


def test_graph_attention_without_scores_is_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    made = line(monkeypatch, torch.tensor([[1]]), torch.tensor([[0]]), torch.tensor([[0]]))
    found = through(made, torch.tensor([1.0, -1.0, 3.0], dtype=torch.float64).view(1, 3, 1)).flatten()
    assert found.tolist() == pytest.approx([0, 1, 1])


@pytest.mark.parametrize("parameters", [{"kind": "expander", "degree": 4}, {"kind": "erdos_renyi", "degree": 3}, {}])
def test_graph_attention_is_that_of_torch_geometric(parameters: dict[str, Any]) -> None:
    """Its GATConv edge by edge, with a loop at each token and without a bias: messages go from source to target."""
    made = case("gat", parameters, n=13, dtype="float64")
    (x, _), (w, a) = inputs_of(made.setting), (each.detach() for each in all_weights(made))
    assert isinstance(made.parameters, Edges)
    targets, sources = made.parameters.pairs(13)
    right = torch.zeros_like(x)
    for entry, head in itertools.product(range(2), range(2)):
        h = x[entry] @ w[8 * head : 8 * head + 8].T
        att_target, att_source = a[head].unbind(dim=-1)
        for target in range(13):
            seen = [int(each) for each in sources[targets == target]]
            assert target in seen
            alpha = torch.stack([h[source] @ att_source + h[target] @ att_target for source in seen])
            alpha = torch.where(alpha < 0, 0.2 * alpha, alpha)
            alpha = (alpha - alpha.max()).exp() / ((alpha - alpha.max()).exp().sum() + 1e-16)
            message = sum(each * h[source] for each, source in zip(alpha, seen, strict=True))
            right[entry, target, 8 * head : 8 * head + 8] = message
    with torch.no_grad():
        assert torch.allclose(through(made, x), right)


def test_graph_attention_takes_memory_along_the_edges() -> None:
    def peak(n: int) -> int:
        made = case("gat", {"degree": 2}, n=n)
        program, given = programs.build(made), inputs_of(made.setting)
        call = calls.call(program, given, "training").run
        call()
        return int(memory.cpu_peaks(call).allocated_bytes) + program.prepared_bytes

    assert peak(4000) < 2.1 * peak(2000)


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("[1] <= 0", "[1] > 0", "an option is left out"),
        ("leaky_relu(scores, _SLOPE)", "leaky_relu(scores, 0.1)", "output differs"),
        ("leaky_relu(scores, _SLOPE)", "scores", "output differs"),
        ("searchsorted(i,", "searchsorted(i + 1,", "differs"),
        ("/ total.view(-1, 1)", "", "differs"),
        ("own.gather(1, queries)", "own.detach().gather(1, queries)", "differs"),
    ],
)
def test_a_wrong_graph_attention_is_found(right: str, wrong: str, expected: str, tmp_path: Path) -> None:
    text = variants.file("gat").read_text()
    assert text.count(right) == 1
    with forgotten():
        (tmp_path / "mine.py").write_text(text.replace(right, wrong))
        variants.extend(tmp_path)
        found = probe(case("mine", {}), BUDGET, step)
    assert found.status is Status.WRONG, found.reason
    assert expected in found.reason


class Mine(Parameters):
    """No parameters."""


def test_a_module_is_a_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = of_module(Mine, lambda _, width: nn.TransformerEncoderLayer(width, 2, 24, batch_first=True), source="a test")
    monkeypatch.setattr(variants, "load", lambda name: mine)
    for direction in ("forward", "training"):
        found = probe(
            case_of("mine", {}, "own", Shape(2, 2, 2, 97, 8), direction=direction).changed(level="layer"), BUDGET, step
        )
        assert found.status is Status.PASSED, found.reason
        assert found.flops


def test_levels_are_written_and_read(tmp_path: Path) -> None:
    del tmp_path
    for each in POSITIONS:
        level = Layer(each)
        assert levels.read(levels.written("layer", level)) == level
    for wrong in ("layer(", "layer()", "layer(positions=7)", "layer(x=1)", "nothing"):
        with pytest.raises(ValueError, match=r"level|positions"):
            levels.read(wrong)
