"""Decoding: a call computes one token after N - 1 others, alone or in a layer; its output and new state are proved."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rows
import torch
from commands import bench
from definitions import CASES, MECHANISMS, exists, label
from hypothesis import given, settings
from plans import any_spans
from settings import case_of
from stages import unheard
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from attnbench import variants
from attnbench.reports import figures
from attnbench.reports.findings.run import load
from attnbench.reports.tables import tables
from attnbench.runner.machine import memory
from attnbench.runner.worker import admission, capacity
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import earlier, inputs_of
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.call.weights import all_weights, held, weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import contents, recall
from attnbench.runner.worker.timing import group
from attnbench.suites import Case, Probe, Status, SuiteError
from attnbench.suites.schema.load import parse
from attnbench.variants import ATTENTION, OWN, Scored, Shape, Spans, kernels, levels
from attnbench.variants.kernels import Program, _decoding
from attnbench.variants.kernels._decoding import NAMES, _is_ring
from attnbench.variants.levels.layer import Layer

BUDGET = 2**32
SHAPES = (Shape(2, 6, 2, 130, 8), Shape(1, 3, 3, 61, 5), Shape(2, 2, 1, 1, 8))
DECODING = [each for each in MECHANISMS if variants.load(each[0]).decoding]
POSITIONS: tuple[Literal["none", "sinusoidal", "learned", "rotary"], ...] = ("none", "sinusoidal", "learned", "rotary")


def decode(
    name: str, parameters: dict[str, Any], how: str = OWN, shape: Shape = SHAPES[0], dtype: str = "float32"
) -> Case:
    """A case that decodes, at the lowest level of its variant."""
    return case_of(name, parameters, how, shape, dtype, "cpu", "decode").changed(level=variants.load(name).level)


def in_layer(made: Case, positions: Literal["none", "sinusoidal", "learned", "rotary"] = "none") -> Case:
    """The case in a layer."""
    return made.changed(level=levels.written("layer", Layer(positions)))


def tokens(made: Case) -> list[Tensor]:
    """The inputs of all N tokens."""
    last = inputs_of(made.setting)
    return [torch.cat(pair, dim=-2) for pair in zip(earlier(made.setting), last.tensors, strict=True)]


def stepped(made: Case) -> tuple[Tensor, ...]:
    """The output of a call and the state after it."""
    call = calls.call(programs.build(made), inputs_of(made.setting), "decode")
    return call.found(call.run())


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about kernels that remember, and short calls on a busy machine may look like them."""
    monkeypatch.setattr(recall, "look", lambda *_: None)


# Patterns


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_it_is_the_last_row_of_the_forward_pass(name: str, parameters: dict[str, Any], how: str, shape: Shape) -> None:
    if not exists(name, parameters, shape.seq_len):
        return
    made = decode(name, parameters, how, shape, "float64")
    if admission.implementation(made).supports(made.pattern, made.setting):
        assert how == "sdpa"
        assert not made.pattern.spans(shape.seq_len).mask()[-1].all()
        return
    q, k, v = tokens(made)
    forward = kernels.load("eager").build(made.pattern, made.changed(direction="forward").setting)
    out, *slots = stepped(made)
    assert torch.allclose(out, forward.call(q, k, v)[:, :, -1:])
    assert torch.equal(slots[0], k[:, :, -1:])
    assert torch.equal(slots[1], v[:, :, -1:])


@pytest.mark.parametrize("layout", ["bhnd", "bnhd"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("name", "parameters", "how"),
    [
        ("full", {}, "sdpa"),
        ("full", {"causal": True}, "eager"),
        ("local_window", {"window": 17, "causal": True}, "blockwise"),
        ("local_window", {"window": 12, "causal": True, "sinks": 4}, "blockwise"),
        ("bigbird", {"block": 8}, "blockwise"),
        ("strided", {"stride": 16}, "eager"),
    ],
    ids=label,
)
def test_a_probe_proves_patterns(name: str, parameters: dict[str, Any], how: str, dtype: str, layout: Any) -> None:
    made = decode(name, parameters, how, replace(SHAPES[0], layout=layout), dtype)
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1
    assert found.repeats_exactly
    keys = int(made.pattern.spans(130).mask()[-1].sum())
    assert found.allowed_pairs == 2 * 6 * keys
    assert found.flops == 4 * 8 * found.allowed_pairs
    assert (found.error_vs_full, found.error_of_mean) == (None, None)


@pytest.mark.parametrize(
    ("name", "parameters", "held"),
    [
        ("full", {}, 130),
        ("local_window", {"window": 17, "causal": True}, 17),
        ("local_window", {"window": 12, "causal": True, "sinks": 4}, 16),
        ("local_window", {"window": 17}, 9),
        ("local_window", {"window": 9, "dilation": 3, "causal": True}, 130),
        ("longformer", {"window": 17, "globals": 3, "causal": True}, 12),
        ("block_local", {"block": 65}, 65),
        ("strided", {"stride": 16}, 130),
        ("bigbird", {"block": 16}, 130),
    ],
    ids=label,
)
def test_a_cache_is_a_ring_where_no_token_is_seen_again(name: str, parameters: dict[str, Any], held: int) -> None:
    found = programs.build(decode(name, parameters, "blockwise")).state_bytes
    assert found == 2 * 2 * 2 * held * 8 * 4
    assert programs.build(decode(name, parameters, "eager")).state_bytes == 2 * 2 * 2 * 130 * 8 * 4


@settings(max_examples=200)
@given(spans=any_spans(12, reach=4))
def test_a_ring_never_lacks_a_token(spans: Spans) -> None:
    """A cache that drops what a query does not see has all that later ones see."""
    mask = np.tril(spans.mask())
    if not _is_ring(spans):
        return
    held: set[int] = set()
    for i, row in enumerate(mask):
        seen = set(np.flatnonzero(row).tolist())
        assert seen <= held | {i}
        held = seen


@pytest.mark.parametrize("level", [ATTENTION, "layer(positions=learned)", "layer(positions=rotary)"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [Shape(1, 8, 4, 4096, 64), Shape(2, 4, 4, 1000, 32, "bnhd")], ids=str)
@pytest.mark.parametrize(
    ("name", "parameters", "how"),
    [
        ("full", {}, "sdpa"),
        ("full", {}, "eager"),
        ("local_window", {"window": 257, "causal": True}, "eager"),
        ("local_window", {"window": 257, "causal": True}, "blockwise"),
        ("local_window", {"window": 9, "dilation": 3, "causal": True}, "blockwise"),
        ("bigbird", {"block": 32}, "blockwise"),
    ],
    ids=label,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_predicted_bytes_are_those_allocated(
    name: str, parameters: dict[str, Any], how: str, shape: Shape, threads: int, dtype: str, level: str
) -> None:
    shape = shape if level == ATTENTION else replace(shape, layout="bhnd")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = decode(name, parameters, how, shape, dtype).changed(level=level)
        call = calls.call(programs.build(made), inputs_of(made.setting), "decode").run
        call()
        predicted = admission.admit(made, BUDGET)
        assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)
    finally:
        torch.set_num_threads(before)


# Mechanisms with a state


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "parameters"), DECODING, ids=label)
def test_a_step_is_the_last_row_of_the_chunked_form(name: str, parameters: dict[str, Any], shape: Shape) -> None:
    made = decode(name, parameters, OWN, shape, "float64")
    if admission.plan(made, BUDGET)["status"]:
        assert parameters.get("bidirectional") or name == "performer"
        return
    every = tokens(made)
    with torch.no_grad():
        right = programs.build(made.changed(direction="forward")).call(*every)[..., -1:, :]
    out, *state = stepped(made)
    assert torch.allclose(out, right)
    decoding: Any = variants.load(name).decoding
    for mine, theirs in zip(state, decoding.state(made.parameters, *every, weights(made)), strict=True):
        assert torch.allclose(mine, theirs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["linear", "retention", "gated_linear", "gated_delta", "performer", "lstm", "gru", "ssm"]
)
def test_a_probe_proves_mechanisms(name: str, dtype: str) -> None:
    made = decode(name, {"causal": True} if name in ("linear", "performer") else {}, dtype=dtype)
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1
    assert found.allowed_pairs is None
    assert found.flops
    assert found.state_bytes == sum(each.nbytes for each in programs.build(made).state)


@pytest.mark.parametrize(
    "name", ["linear", "gated_linear", "gated_delta", "performer", "lstm", "gru", "retention", "ssm"]
)
def test_its_work_is_that_of_its_products(name: str) -> None:
    """Torch counts matrix products. It counts no product of one key and one value, and no cell of a network."""
    made = decode(name, {"causal": True} if name in ("linear", "performer") else {}, shape=Shape(2, 4, 2, 70, 16))
    told = admission.work(made, None)[1]
    if name == "ssm":
        assert told == 2 * 2 * 64 * 32 * (6 + 2)
        return
    if name in ("lstm", "gru"):
        gates = {"lstm": 4, "gru": 3}[name]
        assert told == 2 * 2 * gates * 64 * (64 + 64)
        return
    call = calls.call(programs.build(made), inputs_of(made.setting), "decode")
    with FlopCounterMode(display=False) as counter:
        call.run()
    outer = {"performer": 256 * 16 * 2, "retention": 16 * 16 * 4}.get(name, 16 * 16 * 2)
    assert told == counter.get_total_flops() + 2 * 2 * outer


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("linformer", {}, "linformer does not decode"),
        ("topk", {}, "topk does not decode"),
        ("lstm", {"bidirectional": True}, "later tokens"),
        ("performer", {}, "causal: true"),
        ("performer", {"causal": True, "kernel": "relu"}, "chooses by content"),
        ("conv1d", {}, "conv1d does not decode"),
    ],
    ids=label,
)
def test_what_has_no_state_is_unsupported(name: str, parameters: dict[str, Any], words: str) -> None:
    found = probe(decode(name, parameters), BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (decode("full", {}, "native"), "native does not decode; use sdpa, blockwise, eager"),
        (decode("local_window", {"window": 17}, "sdpa"), "use blockwise"),
        (decode("full", {}, "sdpa").changed(level="encoder"), "at level attention or layer, found encoder"),
        (decode("alibi", {}, "eager"), "modify scores do not decode"),
        (in_layer(decode("full", {}, "sdpa", SHAPES[1]), "rotary"), "even head_dim"),
        (decode("linear", {}, dtype="float16"), "overflow in float16"),
    ],
)
def test_other_combinations_are_unsupported(made: Case, words: str) -> None:
    found = probe(made, BUDGET, unheard)
    assert found.status is Status.UNSUPPORTED
    assert words in found.reason


# Layers


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(
    ("name", "parameters", "how"),
    [
        ("full", {}, "sdpa"),
        ("full", {"causal": True}, "eager"),
        *((*each, "blockwise") for each in CASES[::3]),
        *((*each, OWN) for each in DECODING if variants.load(each[0]).level == ATTENTION),
    ],
    ids=label,
)
def test_a_layer_gives_the_last_token_of_its_forward_pass(
    name: str, parameters: dict[str, Any], how: str, positions: Any
) -> None:
    for shape in (SHAPES[0], Shape(1, 3, 3, 61, 6), SHAPES[2]):
        made = in_layer(decode(name, parameters, how, shape, "float64"), positions)
        if how != OWN and not exists(name, parameters, shape.seq_len):
            continue
        if admission.plan(made, BUDGET)["status"]:
            assert name == "performer"
            return
        every = tokens(made)
        with torch.no_grad():
            right = programs.build(made.changed(direction="forward")).call(*every)[:, -1:]
        out, *state = stepped(made)
        assert torch.allclose(out, right)
        own, decoding = held(made), variants.load(name).decoding
        q, k, v = Layer(positions).project(made.setting, own.inner[0], every[0], 0)
        wanted = decoding.state(made.parameters, q, k, v, own.own[0]) if decoding else (k[:, :, -1:], v[:, :, -1:])
        assert len(state) == len(wanted)
        assert all(map(torch.allclose, state, wanted))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "parameters", "how", "positions"),
    [
        ("full", {}, "sdpa", "rotary"),
        ("full", {"causal": True}, "eager", "learned"),
        ("local_window", {"window": 12, "causal": True, "sinks": 4}, "blockwise", "rotary"),
        ("bigbird", {"block": 8}, "blockwise", "sinusoidal"),
        ("linear", {"causal": True}, OWN, "none"),
        ("performer", {"causal": True}, OWN, "sinusoidal"),
        ("retention", {}, OWN, "rotary"),
        ("gated_linear", {}, OWN, "learned"),
        ("gated_delta", {}, OWN, "rotary"),
    ],
    ids=label,
)
def test_a_probe_proves_layers(name: str, parameters: dict[str, Any], how: str, positions: Any, dtype: str) -> None:
    alone = decode(name, parameters, how, dtype=dtype)
    found = probe(in_layer(alone, positions), BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1
    assert found.state_bytes == programs.build(alone).state_bytes
    pairs, flops = admission.work(alone, alone.spans)
    assert flops is not None
    # Tokens have 48 numbers, keys and values 16.
    assert (found.allowed_pairs, found.flops) == (pairs, flops + 2 * 2 * 48 * (48 + 16 + 16 + 48))
    own = levels.learned(variants.load(name), alone.parameters, alone.setting)
    table = 130 * 48 if positions == "learned" else 0
    assert found.parameter_count == own + (48 + 1) * (48 + 16 + 16 + 48) + table


@pytest.mark.parametrize("level", ["layer", "encoder"])
@pytest.mark.parametrize("name", variants.names())
def test_every_variant_decodes_or_says_why_not(name: str, level: str) -> None:
    variant = variants.load(name)
    near, n = variant.parameters(**variant.examples[0]).near(61)
    how = kernels.usual(variant.implementation, ["cpu"], ["decode"]) if variant.is_pattern else OWN
    made = decode(name, asdict(near), how, Shape(1, 2, 1, n, 8)).changed(level=level)
    found = probe(made, BUDGET, unheard)
    decodes = not issubclass(variant.parameters, Scored) if variant.is_pattern else variant.decoding
    # A performer decodes if it is causal.
    if level == "layer" and decodes and name != "performer":
        assert found.status is Status.PASSED, found.reason
        assert found.state_bytes
    else:
        assert found.status is Status.UNSUPPORTED
        assert "decode" in found.reason


@pytest.mark.parametrize("positions", POSITIONS[1:])
@pytest.mark.parametrize("where", ["token", "cache"])
def test_another_position_is_found(where: str, positions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new token counts as the one before it, or the earlier ones as those after them."""
    project = Layer.project

    def shifted(self: Layer, setting: Any, weights: Any, x: Tensor, first: int) -> Any:
        n, many = setting.shape.seq_len, x.shape[1]
        if where == "token" and many == 1 < n:
            first -= 1
        if where == "cache" and many == n - 1:
            first += 1
        return project(self, setting, weights, x, first)

    monkeypatch.setattr(Layer, "project", shifted)
    found = probe(in_layer(decode("full", {}, "sdpa"), positions), BUDGET, unheard)
    assert found.status is Status.WRONG, found


def test_a_call_needs_one_token_and_its_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_PATIENCE_S", 0.0)
    for made, numbers in ((decode("full", {}, "sdpa"), 48 + 2 * 16), (in_layer(decode("full", {}, "sdpa")), 48)):
        program, peak = programs.build(made), admission.admit(made, BUDGET)
        assert peak is not None
        weights = sum(each.nbytes for each in program.weights)
        (*_, longest) = capacity.needed_bytes(made, program, 0, BUDGET)
        assert longest == (130, peak + 2 * numbers * 4, 2 * 2 * 2 * 130 * 8 * 4 + weights)


# The proof

Spoil = Callable[[Program], Callable[..., Tensor]]


def stale(program: Program) -> Callable[..., Tensor]:
    """The new token is not written."""

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return program.call(q, *(slot.clone() for slot in program.state))

    return call


def elsewhere(program: Program) -> Callable[..., Tensor]:
    """The new token is written, but not into its slot: the output is right."""

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        before = [slot.clone() for slot in program.state]
        out = program.call(q, k, v)
        for slot, kept in zip(program.state, before, strict=True):
            slot.copy_(kept)
        return out

    return call


def overwriting(program: Program) -> Callable[..., Tensor]:
    """The new token is also written over an earlier one, after the output is computed."""

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = program.call(q, k, v)
        for slot, token in zip(program.state, (k, v), strict=True):
            whole = slot._base
            assert whole is not None
            whole[:, :, :1] = token
        return out

    return call


def shared(program: Program) -> Callable[..., Tensor]:
    """The output lies in the cache."""

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        slot = program.state[0]
        slot.copy_(program.call(q, k, v)[:, : slot.shape[1]])
        return slot.expand(q.shape) if slot.shape[1] == 1 else slot

    return call


@pytest.mark.parametrize("spoil", [stale, elsewhere, overwriting, shared])
@pytest.mark.parametrize("how", NAMES)
def test_a_fault_of_a_cache_is_found(how: str, spoil: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    build = _decoding.Decoder.build

    def spoiled(*given: Any) -> Program:
        program = build(*given)
        return replace(program, call=spoil(program))

    monkeypatch.setattr(_decoding.Decoder, "build", spoiled)
    found = probe(decode("full", {}, how, Shape(1, 2, 2, 130, 8)), BUDGET, unheard)
    assert found.status is Status.WRONG, found


def advanced(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The state that is read is replaced by the next one."""

    def run(before: tuple[Tensor, ...], after: tuple[Tensor, ...], *inputs: Tensor) -> Tensor:
        out = step(before, after, *inputs)
        for old, new in zip(before, after, strict=True):
            old.copy_(new)
        return out

    return run


def unwritten(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The next state is not kept."""

    def run(before: tuple[Tensor, ...], after: tuple[Tensor, ...], *inputs: Tensor) -> Tensor:
        return step(before, tuple(map(torch.empty_like, after)), *inputs)

    return run


def late(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The output is that of the state before the token."""

    def run(before: tuple[Tensor, ...], after: tuple[Tensor, ...], *inputs: Tensor) -> Tensor:
        step(before, after, *inputs)
        *queries, last = inputs
        return step(before, tuple(map(torch.empty_like, after)), *queries, torch.zeros_like(last))

    return run


@pytest.mark.parametrize("spoil", [advanced, unwritten, late])
@pytest.mark.parametrize("name", ["linear", "retention", "gated_linear", "gated_delta", "lstm", "gru", "ssm"])
def test_a_fault_of_a_state_is_found(name: str, spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = variants.load(name)
    decoding: Any = variant.decoding
    spoiled = replace(variant, decoding=replace(decoding, step=lambda *given: spoil(decoding.step(*given))))
    monkeypatch.setattr(variants, "load", lambda _: spoiled)
    found = probe(decode(name, {}), BUDGET, unheard)
    assert found.status is Status.WRONG, found


def test_the_state_is_put_back_before_each_value() -> None:
    for made in (decode("full", {}, "sdpa"), decode("retention", {}), in_layer(decode("full", {}, "sdpa"))):
        given = inputs_of(made.setting)
        call = calls.call(programs.build(made), given.copy(), "decode")
        before = [each.clone() for each, _ in call.state]
        call.run()
        assert not any(torch.equal(each, kept) for (each, _), kept in zip(call.state, before, strict=True))
        contents.rotate(call, given.copy(), given, all_weights(made), by=3)
        assert all(torch.equal(each, kept) for (each, _), kept in zip(call.state, before, strict=True))


def test_every_value_has_another_token() -> None:
    made = decode("full", {}, "sdpa")
    given = inputs_of(made.setting)
    to = given.copy()
    call = calls.call(programs.build(made), to, "decode")
    contents.rotate(call, to, given, (), by=3)
    assert torch.equal(to.q, given.q.roll(-3, dims=-1))
    assert not torch.equal(to.q, given.q)


@pytest.mark.parametrize("level", [ATTENTION, "layer(positions=rotary)"])
def test_cases_of_a_group_are_timed_and_their_last_results_checked(level: str) -> None:
    alone = [decode("full", {}, "sdpa"), decode("retention", {}), decode("linear", {"causal": True})]
    made = [each.changed(level=level) for each in alone]
    probes = [probe(each, BUDGET, unheard) for each in made]
    timed = [(each, Plan(2, 3), found.output_digest) for each, found in zip(made, probes, strict=True)]
    for sample in group(timed, 0, "seed", 1e5, lambda _: None):
        assert sample.status is Status.PASSED, sample.reason
        assert len(sample.values_ns) == 3


# Suites and reports

SUITE = """
name: next
question: What does the next token cost?
shape: {heads: 2, head_dim: 8, seq_len: [64, 128]}
direction: DIRECTION
variants: [full, {local_window: {window: 8, causal: true}}, linear]
"""


def test_a_suite_names_the_direction() -> None:
    cases = parse(SUITE.replace("DIRECTION", "[forward, decode]")).cases()
    assert {each.setting.direction for each in cases} == {"forward", "decode"}
    assert {each.implementation for each in cases} == {"sdpa", "blockwise", "own"}, "and native does not decode"
    assert len({each.key for each in cases}) == 12


def test_a_wrong_direction_is_one_error() -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.replace("DIRECTION", "decoding"))
    (problem,) = caught.value.problems
    assert "decode" in str(problem)
    assert problem.line == 5


def test_a_run_from_the_suite_to_the_report(tmp_path: Path) -> None:
    text = SUITE.replace("DIRECTION", "decode") + "measure: {processes: 1, values: 2, value_ms: 1}\n"
    text += "level: [attention, layer]\n"
    (tmp_path / "next.yaml").write_text(text)
    code, said = bench("run", tmp_path / "next.yaml", "--out", tmp_path / "run", "--quiet")
    assert code == 0, said
    run = load(tmp_path / "run")
    frame = run.frame.set_index(["variant", "seq_len", "level"])
    assert set(frame["status"]) == {"passed"}
    for level in ("attention", "layer"):
        assert frame.loc[("full", 128, level), "state_bytes"] == 2 * 2 * 128 * 8 * 4
        assert frame.loc[("linear", 64, level), "state_bytes"] == 2 * (8 * 8 + 8) * 4
    assert set(run.frame.loc[run.frame["variant"] == "local_window", "state_bytes"]) == {2 * 2 * 8 * 8 * 4}, "a ring"
    held = frame["gross_bytes"] - frame["peak_bytes"] - frame["prepared_bytes"] - frame["state_bytes"]
    assert set(held.loc[:, :, "layer"]) == {16 * 4}, "one token"
    tokens = 1e9 / frame["time_ns"]
    assert np.allclose(frame["tokens_per_s"], tokens)
    assert "decode, float32, cpu, layer: cache or state" in tables.markdown(run)
    assert "decode" in (tmp_path / "run" / "report.md").read_text()
    assert [*figures.of(run)] == ["time", "memory", "state", "speedup", "patterns"]
    assert (tmp_path / "run" / "figures" / "state.svg").is_file()


def test_columns_of_other_directions(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUIET))
    assert run.frame["state_bytes"].isna().all()
    assert np.allclose(run.frame["tokens_per_s"], run.frame["seq_len"] / run.frame["time_ns"] * 1e9)
    assert not any(each.kept for each in run.results)


def test_gross_memory_counts_one_token_and_what_is_kept(tmp_path: Path) -> None:
    plan = replace(rows.QUIET, directions=("decode",))
    told = [replace(row, state_bytes=64) if isinstance(row, Probe) else row for row in rows.rows(plan)]
    frame = load(rows.write_rows(tmp_path, rows.meta(plan), told)).frame
    assert set(frame["gross_bytes"] - frame["peak_bytes"] - frame["prepared_bytes"]) == {3 * 8 * 64 * 4 + 64}
    assert set(frame["peak_bytes"] - frame["net_bytes"]) == {8 * 64 * 4}
