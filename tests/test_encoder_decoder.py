"""The encoder and decoder: masked layers at their own length, cross-attention, and the loss of the next tokens."""

from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from definitions import MECHANISMS, label
from proofs import step
from settings import case_at, case_of
from stages import unheard
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import Inputs, inputs_of
from attnbench.runner.worker.call.weights import all_weights, held
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import recall, verdict
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Shape, levels
from attnbench.variants.kernels import Program
from attnbench.variants.levels.encoder_decoder import EncoderDecoder

BUDGET = 2**32
LEVEL = "encoder_decoder"
ENCODER, DECODER = 8, 18
"""Weights of a block besides those of its layer."""
CAUSAL = [
    (name, parameters)
    for name, parameters in MECHANISMS
    if "causal" not in parameters and any(each.name == "causal" for each in fields(variants.load(name).parameters))
]
"""Mechanisms that can hide later keys, and are not told to."""

case = partial(case_at, level=LEVEL)


def started(made: Case) -> tuple[calls.Call, Inputs]:
    """A case's call and its inputs."""
    given = inputs_of(made.setting)
    return calls.call(programs.build(made), given, made.setting.direction), given


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("how", "level"),
    [
        ("sdpa", LEVEL),
        ("eager", "encoder_decoder(layers=1, mlp=3, positions=sinusoidal, target=40)"),
        ("blockwise", "encoder_decoder(positions=rotary, target=97)"),
        ("eager", "encoder_decoder(positions=relative, target=1)"),
        ("eager", "encoder_decoder(positions=none)"),
    ],
)
def test_every_element_is_proved(how: str, level: str, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "look", lambda *_: None)
    found = probe(case("full", {}, how, level=level, direction=direction), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1


PROVED = [(*each, "own", "float32") for each in CAUSAL]
PROVED += [("local_window", {"window": 9}, "blockwise", dtype) for dtype in ("float32", "bfloat16")]
PROVED += [("linear", {}, "own", "bfloat16"), ("strided", {"stride": 7}, "blockwise", "float32")]


@pytest.mark.parametrize(("name", "parameters", "how", "dtype"), PROVED, ids=label)
def test_mechanisms_are_proved(
    name: str, parameters: dict[str, Any], how: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "look", lambda *_: None)
    level = "encoder_decoder(layers=1)"
    found = probe(case(name, parameters, how, 70, level=level, dtype=dtype), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason


def of_attention(prefix: str, weights: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Weights of a layer by their names in torch."""
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o = weights
    return {
        f"{prefix}.in_proj_weight": torch.cat([w_q, w_k, w_v]),
        f"{prefix}.in_proj_bias": torch.cat([b_q, b_k, b_v]),
        f"{prefix}.out_proj.weight": w_o,
        f"{prefix}.out_proj.bias": b_o,
    }


def of_block(weights: tuple[Tensor, ...], norms: int) -> dict[str, Tensor]:
    """Norms and feed-forward network of a block by their names in torch."""
    names = [f"norm{at}.{which}" for at in range(1, norms + 1) for which in ("weight", "bias")]
    names += [f"linear{at}.{which}" for at in (1, 2) for which in ("weight", "bias")]
    return dict(zip(names, weights, strict=True))


@pytest.mark.parametrize("target", [1, 9, 30])
def test_it_is_torchs_encoder_and_decoder(target: int) -> None:
    made = case_of("full", {}, "eager", Shape(2, 4, 4, 13, 6), "float64")
    made = made.changed(level=f"encoder_decoder(mlp=3, target={target})")
    every = held(made)
    embedding, before, after, *rest = every.outer
    blocks, (scale, shift), rest = rest[: 2 * ENCODER], rest[2 * ENCODER :][:2], rest[2 * ENCODER + 2 :]
    *decoder, last_scale, last_shift, w, b = rest
    source, tokens, dout = inputs_of(made.setting)
    assert (source.shape, tokens.shape, dout.shape) == ((2, 13), (2, target + 1), (2, 1))
    told: Any = {"activation": "gelu", "batch_first": True, "norm_first": True, "dtype": torch.float64, "dropout": 0.0}
    with torch.no_grad():
        x = embedding[source] + before
        for at in range(2):
            ours = {
                **of_attention("self_attn", every.inner[at]),
                **of_block(tuple(blocks[ENCODER * at :][:ENCODER]), 2),
            }
            layer = nn.TransformerEncoderLayer(24, 4, 72, **told)
            layer.load_state_dict(ours)
            x = layer(x)
        x = nn.functional.layer_norm(x, [24], scale, shift)
        y = embedding[tokens[:, :-1]] + after
        hidden = torch.ones(target, target, dtype=torch.bool).triu(1)
        for at in range(2):
            mine = tuple(decoder[DECODER * at :][:DECODER])
            ours = {
                **of_attention("self_attn", every.inner[2 + at]),
                **of_attention("multihead_attn", mine[-8:]),
                **of_block(mine[:-8], 3),
            }
            block = nn.TransformerDecoderLayer(24, 4, 72, **told)
            block.load_state_dict(ours)
            y = block(y, x, tgt_mask=hidden)
        scores = nn.functional.layer_norm(y, [24], last_scale, last_shift) @ w.T + b
        right = nn.functional.cross_entropy(scores.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)
        assert torch.allclose(programs.build(made).call(source, tokens)[:, 0], right)


def test_a_step_is_torchs() -> None:
    made = case("linear", {})
    call, given = started(made)
    weights = all_weights(made)
    mean = programs.build(made.changed(direction="forward")).call(*given.tensors).mean()
    theirs = [each.detach().clone().requires_grad_() for each in weights]
    optimiser = torch.optim.AdamW(theirs)
    losses, *gradients = call.run()
    assert torch.allclose(losses.mean(), mean)
    for weight, gradient in zip(theirs, gradients, strict=True):
        weight.grad = gradient
    optimiser.step()
    assert all(map(torch.equal, call.weights, theirs))


@pytest.mark.parametrize("words", ["masked", "layer"])
@pytest.mark.parametrize("direction", ["forward", "training"])
def test_a_wrong_output_of_attention_is_found(words: str, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism: Any = programs._mechanism

    def spoiled(made: Case, own: Any) -> Program:
        program: Program = mechanism(made, own)
        if ("masked" in made.setting.level) != (words == "masked"):
            return program
        return replace(program, call=lambda *inputs: 1.02 * program.call(*inputs))

    monkeypatch.setattr(programs, "_mechanism", spoiled)
    found = probe(case("full", {}, "eager", direction=direction), BUDGET, unheard)
    assert found.status is Status.WRONG


def test_a_decoder_that_sees_later_tokens_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism: Any = programs._mechanism

    def spoiled(made: Case, own: Any) -> Program:
        program: Program = mechanism(made.changed(level="layer"), own)
        return program

    monkeypatch.setattr(programs, "_mechanism", spoiled)
    found = probe(case("full", {}, "eager", direction="forward"), BUDGET, unheard)
    assert found.status is Status.WRONG


def test_a_wrong_gradient_of_any_weight_is_found() -> None:
    made = case("full", {}, "eager", level="encoder_decoder(layers=1)")
    call, given = started(made)
    want = must_give(made, programs.build(made), made.spans, given)
    right = call.found(call.run())

    def problem(found: tuple[Tensor, ...]) -> str | None:
        return verdict.judge(found, want, given, None, step).problem

    assert problem(right) is None
    wrong = (tuple(each * (1.05 if at == place else 1) for at, each in enumerate(right)) for place in range(len(right)))
    missed = [place for place, found in enumerate(wrong) if problem(found) is None]
    # Biases of keys add the same to all scores of a query, so their gradients are 0.
    assert len(missed) == 3
    assert all(float(right[place].abs().max()) < 1e-6 for place in missed)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(("name", "how"), [("full", "eager"), ("linear", "own"), ("conv1d", "own")])
def test_its_work_is_what_torch_counts(name: str, how: str, direction: str) -> None:
    made = case(name, {}, how, 128, level="encoder_decoder(layers=3, mlp=4, target=200)", direction=direction)
    # Of torch's fused kernels, the counter knows those on CUDA alone.
    with sdpa_kernel(SDPBackend.MATH):
        call, _ = started(made)
        with FlopCounterMode(display=False) as counter:
            call.run()
    # The textbook computes all pairs of a masked layer, and half of them are allowed.
    half = 3 * {"forward": 4, "backward": 8, "training": 12}[direction] * 2 * 2 * 8 * (200 * 199 // 2)
    counted = counter.get_total_flops() - (half if name == "full" else 0)
    assert admission.work(made, made.spans)[1] == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("how", ["eager", "sdpa", "blockwise"])
@pytest.mark.parametrize("shape", [Shape(2, 4, 4, 512, 16), Shape(4, 2, 1, 300, 32)], ids=str)
@pytest.mark.parametrize("level", [LEVEL, "encoder_decoder(layers=4, mlp=4, target=150)"])
def test_its_peak_is_predicted(how: str, direction: str, shape: Shape, level: str) -> None:
    made = case_of("full", {}, how, shape, "float32", "cpu", direction).changed(level=level)
    call, _ = started(made)
    call.run()
    assert admission.admit(made, BUDGET) == pytest.approx(memory.cpu_peaks(call.run).allocated_bytes, rel=0.1)


def test_its_weights_are_counted() -> None:
    for name in ("full", "synthesizer"):
        made = case(name, {}, "own", level="encoder_decoder(target=30, positions=learned)")
        counted = levels.learned(variants.load(name), made.parameters, made.setting)
        assert counted == sum(each.numel() for each in all_weights(made) if each.requires_grad)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (case("linformer", {}), "the parameter causal"),
        (case("lstm", {}), "the parameter causal"),
        (case("lstm", {}, level="encoder_decoder(positions=rotary)"), "use other positions"),
        (case("full", {}, "eager", dtype="float16"), "underflow"),
        (case("full", {}, "eager", direction="decode"), "decoded at level attention or layer"),
        (case("linear", {}, level="encoder_decoder(positions=relative)"), "only eager and sdpa_masked"),
        (case("local_window_2d", {}, "eager", 64, level="encoder_decoder(target=63)"), "square"),
        (case("full", {}, "sdpa", level="encoder_decoder(target=40000)"), "2,147,483,648 pairs"),
    ],
    ids=lambda given: given.title if isinstance(given, Case) else "",
)
def test_what_does_not_exist_is_unsupported(made: Case, words: str) -> None:
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


SUITE = """
name: translators
question: What does a decoder cost?
level: {level}
shape: {{heads: 2, head_dim: 8, seq_len: 64}}
variants: [full]
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (LEVEL, [LEVEL]),
        ("{encoder_decoder: {target: [16, 64], width: 16}}", [f"{LEVEL}(target=16)", f"{LEVEL}(target=64)"]),
    ],
)
def test_a_suite_names_it(level: str, expected: list[str]) -> None:
    suite = parse(SUITE.format(level=level))
    assert [each.setting.level for each in suite.cases()] == expected
    assert from_dict(suite.to_json()).cases() == suite.cases()


@pytest.mark.parametrize(
    ("level", "words"),
    [("{encoder_decoder: {width: 32}}", "heads x head_dim = 16"), ("{encoder_decoder: {target: 0}}", "from 1")],
)
def test_a_wrong_one_is_one_error(level: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.format(level=level), "mine.yaml")
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert str(problem).startswith("mine.yaml:4:")


def test_it_is_written_and_read() -> None:
    for each in (EncoderDecoder(), EncoderDecoder(layers=5, target=3), EncoderDecoder(mlp=1, positions="rotary")):
        assert levels.read(levels.written(LEVEL, each)) == each
