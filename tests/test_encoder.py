"""The encoder: blocks of layers with a classifier, each with its own weights, and the step of an optimiser."""

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from definitions import CASES, MECHANISMS, label
from settings import case_at, case_of
from stages import unheard as step
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.worker import admission, timing
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import Inputs, inputs_of
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.call.weights import all_weights, held, weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import contents, recall
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Shape, kernels, levels
from attnbench.variants.kernels import Program
from attnbench.variants.levels.encoder import Encoder

BUDGET = 2**32
OF_BLOCK = 8


case = partial(case_at, level="encoder")


def started(made: Case) -> tuple[calls.Call, Inputs]:
    """A case's call and its inputs."""
    given = inputs_of(made.setting)
    return calls.call(programs.build(made), given, made.setting.direction), given


ONE = list({name: (name, parameters) for name, parameters in MECHANISMS}.values())
"""One of each mechanism. test_mechanisms.py has all parameters, test_levels.py in a layer."""
PROVED = [(*each, "float32") for each in [*CASES[::12], *ONE]]
PROVED += [(*each, "bfloat16") for each in [*CASES[::24], *ONE[::2]]]


@pytest.mark.parametrize(("name", "parameters", "dtype"), PROVED, ids=label)
def test_a_probe_proves_every_element_of_an_encoder(
    name: str, parameters: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "look", lambda *_: None)  # as in test_levels.py
    how = kernels.PORTABLE if variants.load(name).is_pattern else "own"
    found = probe(case(name, parameters, how, 70, dtype=dtype), BUDGET, step)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1
    assert found.flops is not None


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_positions_are_proved(positions: str, direction: str) -> None:
    made = case("full", {}, "sdpa", level=f"encoder(layers=3, positions={positions})", direction=direction)
    found = probe(made, BUDGET, step)
    assert found.status is Status.PASSED, found.reason


def test_a_block_is_torchs_encoder_layer() -> None:
    made = case_of("full", {}, "eager", Shape(2, 4, 4, 13, 6), "float64")
    made = made.changed(level="encoder(mlp=3, positions=none)")
    every = held(made)
    embedding, *blocks, scale, shift, w, b = every.outer
    tokens, labels, _ = inputs_of(made.setting)
    with torch.no_grad():
        x = embedding[tokens]
        for at, (w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o) in enumerate(every.inner):
            scale_1, shift_1, scale_2, shift_2, w_1, b_1, w_2, b_2 = blocks[OF_BLOCK * at : OF_BLOCK * (at + 1)]
            theirs = nn.TransformerEncoderLayer(
                24, 4, 72, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
            )
            mine = {
                "self_attn.in_proj_weight": torch.cat([w_q, w_k, w_v]),
                "self_attn.in_proj_bias": torch.cat([b_q, b_k, b_v]),
                "self_attn.out_proj.weight": w_o,
                "self_attn.out_proj.bias": b_o,
                "linear1.weight": w_1,
                "linear1.bias": b_1,
                "linear2.weight": w_2,
                "linear2.bias": b_2,
                "norm1.weight": scale_1,
                "norm1.bias": shift_1,
                "norm2.weight": scale_2,
                "norm2.bias": shift_2,
            }
            theirs.load_state_dict(mine)
            x = theirs(x)
        pooled = nn.functional.layer_norm(x, [24], scale, shift).mean(dim=1)
        right = nn.functional.cross_entropy(pooled @ w.T + b, labels, reduction="none")
        assert torch.allclose(programs.build(made).call(tokens, labels)[:, 0], right)


def test_gradients_are_those_of_the_mean_loss() -> None:
    made = case("full", {}, "eager", dtype="float64")
    call, given = started(made)
    losses, *found = call.run()
    weights = all_weights(made)
    mean = programs.build(made.changed(direction="forward")).call(*given.tensors).mean()
    assert torch.allclose(losses.mean(), mean)
    program = replace(programs.build(made), update=None, state=())
    right = torch.autograd.grad(program.call(*given.tensors).mean(), program.weights)
    assert len(found) == len(weights)
    assert all(torch.allclose(*pair) for pair in zip(found, right, strict=True))


def test_a_step_is_torchs_and_is_taken_back() -> None:
    made = case("linformer", {"projected": 5})
    call, _ = started(made)
    weights = all_weights(made)
    theirs = [each.detach().clone().requires_grad_() for each in weights]
    optimiser = torch.optim.AdamW(theirs)
    first, second = call.run(), call.run()
    assert not torch.equal(first[0], second[0])
    for gradients in (first[1:], second[1:]):
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient
        optimiser.step()
    for mine, right, before in zip(call.weights, theirs, weights, strict=True):
        assert torch.equal(mine, right)
        assert not torch.equal(mine, before)
    contents.put_back(call, weights)
    assert all(map(torch.equal, call.weights, weights))
    assert all(torch.equal(*pair) for pair in call.state)
    assert all(map(torch.equal, call.run(), first))


def test_every_value_begins_with_the_weights_of_its_content() -> None:
    made = case("full", {}, "eager")
    call, given = started(made)
    content, weights = inputs_of(made.setting), all_weights(made)
    call.run()
    contents.rotate(call, given, content, weights, 3)
    for mine, kept in zip(call.weights, weights, strict=True):
        assert torch.equal(mine, kept.roll(-3 % kept.shape[0], 0))
    assert torch.equal(given[0], content[0].roll(-3, 1))
    moved = {id(each) for each in call.weights}
    assert all(torch.equal(*pair) for pair in call.state if id(pair[0]) not in moved)
    contents.rotate(call, given, content, weights)
    assert all(map(torch.equal, given, content))


def test_cases_of_a_group_are_timed() -> None:
    group = [case("full", {}, "sdpa"), case("topk", {"keys": 5}), case("gru", {})]
    proved = [probe(each, BUDGET, step).output_digest for each in group]
    planned = [(each, Plan(2, 3), told) for each, told in zip(group, proved, strict=True)]
    found = timing.group(planned, 0, "", 1e5, lambda _: None)
    assert [each.status for each in found] == [Status.PASSED] * 3, [each.reason for each in found]
    assert all(len(each.values_ns) == 3 for each in found)


def spoil(monkeypatch: pytest.MonkeyPatch, layer: int, layers: int, wrong: Any) -> None:
    """Let every `layers`th call of a mechanism's program, as of one layer, return what `wrong` makes of it."""
    mechanism: Any = programs._mechanism

    def spoiled(made: Case, own: Any) -> Program:
        program: Program = mechanism(made, own)
        turn = itertools.count()

        def call(*inputs: Tensor) -> Tensor:
            out: Tensor = wrong(program, inputs) if next(turn) % layers == layer else program.call(*inputs)
            return out

        return replace(program, call=call)

    monkeypatch.setattr(programs, "_mechanism", spoiled)


class Larger(torch.autograd.Function):
    """Keys with a gradient that is larger by two percent."""

    @staticmethod
    def forward(ctx: Any, k: Tensor) -> Tensor:
        return k.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 1.02


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("direction", ["forward", "training"])
def test_a_wrong_output_of_one_layers_attention_is_found(
    layer: int, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = case("full", {}, "eager", level="encoder(layers=3)", direction=direction)
    spoil(monkeypatch, layer, 3, lambda program, inputs: 1.02 * program.call(*inputs))
    assert probe(made, BUDGET, step).status is Status.WRONG


@pytest.mark.parametrize("layer", range(3))
def test_a_wrong_gradient_of_one_layers_attention_is_found(layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(program: Program, inputs: Any) -> Tensor:
        apply: Any = Larger.apply
        q, k, v = inputs
        return program.call(q, apply(k), v)

    spoil(monkeypatch, layer, 3, wrong)
    found = probe(case("full", {}, "eager", level="encoder(layers=3)"), BUDGET, step)
    assert found.status is Status.WRONG
    assert "dW" in found.reason


@pytest.mark.parametrize("layer", range(2))
def test_the_choice_of_every_layer_is_checked(layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism: Any = programs._mechanism

    def spoiled(made: Case, own: Any) -> Program:
        program: Program = mechanism(made, own)
        turn = itertools.count()

        def choice(q: Tensor, k: Tensor, v: Tensor) -> Any:
            assert program.choice
            told: Any = program.choice(q, k, v)
            return k.shape[2] - 1 - told if next(turn) % 2 == layer else told

        return replace(program, choice=choice)

    monkeypatch.setattr(programs, "_mechanism", spoiled)
    found = probe(case("topk", {"keys": 5}), BUDGET, step)
    assert found.status is Status.WRONG
    assert "choice" in found.reason or "output" in found.reason


@pytest.mark.parametrize("name", ["linformer", "performer", "conv1d"])
def test_every_layer_has_its_own_weights(name: str) -> None:
    made = case(name, {})
    every, alone = held(made), weights(made.changed(level=variants.load(name).level))
    first, second = every.own
    assert all(map(torch.equal, first, alone))
    assert not any(map(torch.equal, first, second))
    assert not any(map(torch.equal, *every.inner))
    assert len(programs.build(made).weights) == len(every.flat)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(("name", "how"), [("full", "eager"), ("linformer", "own"), ("window_mlp", "own")])
def test_its_work_is_what_torch_counts(name: str, how: str, direction: str) -> None:
    made = case(name, {}, how, 128, level="encoder(layers=3, mlp=4)", direction=direction)
    # Of torch's fused kernels, the counter knows those on CUDA alone.
    with sdpa_kernel(SDPBackend.MATH):
        call, _ = started(made)
        with FlopCounterMode(display=False) as counter:
            call.run()
    assert admission.work(made, made.spans)[1] == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("how", ["eager", "sdpa", "blockwise"])
@pytest.mark.parametrize("shape", [Shape(2, 4, 4, 512, 16), Shape(4, 2, 1, 300, 32)], ids=str)
@pytest.mark.parametrize("level", ["encoder", "encoder(layers=4, mlp=4)"])
def test_its_peak_is_predicted(how: str, direction: str, shape: Shape, level: str) -> None:
    made = case_of("full", {}, how, shape, "float32", "cpu", direction).changed(level=level)
    call, _ = started(made)
    call.run()
    assert admission.admit(made, BUDGET) == pytest.approx(memory.cpu_peaks(call.run).allocated_bytes, rel=0.1)


SUITE = """
name: encoders
question: What does an encoder cost?
level: {level}
shape: {{heads: [2, 4], head_dim: 8, seq_len: 64}}
variants: [full]
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("encoder", ["encoder"]),
        ("{encoder: {layers: [2, 3], mlp: 4}}", ["encoder(mlp=4)", "encoder(layers=3, mlp=4)"]),
        ("{encoder: {positions: [rotary, learned]}}", ["encoder(positions=rotary)", "encoder"]),
    ],
)
def test_a_suite_names_encoders(level: str, expected: list[str]) -> None:
    suite = parse(SUITE.format(level=level))
    assert list(dict.fromkeys(each.setting.level for each in suite.cases())) == expected
    assert from_dict(suite.to_json()).cases() == suite.cases()


def test_the_width_is_that_of_the_heads() -> None:
    text = SUITE.replace("[2, 4]", "4")
    told, plain = (parse(text.format(level=f"{{encoder: {{{each}}}}}")) for each in ("width: 32", ""))
    assert told.cases() == plain.cases()
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.format(level="{encoder: {width: 32}}"), "mine.yaml")
    assert str(caught.value) == ("mine.yaml:4:8: level: expected width = heads x head_dim = 16, found 32; leave it out")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (case("lstm", {}, level="encoder(positions=rotary)"), "use other positions"),
        (case("full", {}, "eager", dtype="float16"), "underflow"),
        (case("full", {}, "eager", level="encoder(width=8)"), "heads x head_dim = 16"),
        (
            case_of("full", {}, "eager", Shape(1, 2, 2, 8, 5)).changed(level="encoder(positions=rotary)"),
            "even head_dim",
        ),
        (case_of("full", {}, "eager", Shape(1, 2, 2, 8, 4, "bnhd")).changed(level="encoder"), "layout: bhnd"),
        (case_of("full", {}, "sdpa", Shape(1, 2, 2, 2**15 + 1, 2)).changed(level="encoder"), "2,147,483,648 pairs"),
    ],
)
def test_what_does_not_exist_in_an_encoder_is_unsupported(made: Case, words: str) -> None:
    found = probe(made, BUDGET, step)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


def test_an_encoder_is_written_and_read() -> None:
    for each in (Encoder(), Encoder(layers=5, positions="rotary"), Encoder(mlp=1, width=12)):
        assert levels.read(levels.written("encoder", each)) == each
    with pytest.raises(ValueError, match="layers"):
        levels.read("encoder(layers=0)")
