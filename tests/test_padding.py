"""Padded batches: sequences of different lengths, each in the first of its N places."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import bench
from definitions import CASES, SCORED, exists, label
from settings import case_of, pattern_of, setting
from stages import unheard
from torch import Tensor

from attnbench.reports.data.settings import settings
from attnbench.reports.findings.run import load
from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import Inputs, inputs, inputs_of
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import contents, padded, small, verdict
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Direction, Padding, Pattern, Scored, Shape, Spans, kernels
from attnbench.variants.kernels import Program, flex

HEAD = "name: n\nquestion: Q?\nvariants: [full]\n"
SKIPPING = ("blockwise", "native")
PLAIN = ("eager", "sdpa_masked", *SKIPPING)
"""The implementations that take every pattern of plain softmax attention, with gradients on a CPU."""
BUDGET = 2**33


def padded_shape(n: int, lengths: tuple[int, ...], heads: int = 4, kv_heads: int = 2, width: int = 8) -> Shape:
    return Shape(len(lengths), heads, kv_heads, n, width, padding=str(Padding(lengths=lengths)))


# Lengths


def test_drawn_lengths_are_the_same_everywhere_and_keep_their_share() -> None:
    drawn = Padding(least=0.5).of(6, 1000)
    assert drawn == Padding(least=0.5).of(6, 1000)
    assert all(500 <= each <= 1000 for each in drawn)
    assert len({*drawn, *Padding(least=0.5, seed=1).of(6, 1000)}) == 12
    assert Padding(least=0.5).of(2, 1000) == drawn[:2]
    np.testing.assert_allclose(Padding(least=0.5).of(6, 100_000), 100 * np.array(drawn), rtol=0.01)


def test_drawn_lengths_are_uniform() -> None:
    found = np.bincount(Padding(least=0.5).of(7000, 7))
    assert list(np.flatnonzero(found)) == [4, 5, 6, 7]
    assert (abs(found[4:] - 1750) < 200).all()
    assert set(Padding(least=1.0).of(50, 9)) == {9}
    assert set(Padding(least=0.001).of(500, 3)) == {1, 2, 3}


def test_exact_lengths_are_repeated_and_scaled() -> None:
    shape = Shape(5, 1, 1, 512, 8, padding="padded(lengths=512x300)")
    assert shape.lengths == (512, 300, 512, 300, 512)
    assert shape.at(61).lengths == (61, 35, 61, 35, 61)
    assert shape.at(1).lengths == (1, 1, 1, 1, 1)
    assert shape.at(1024).at(512) == shape
    assert replace(shape, padding="none").lengths is None


@pytest.mark.parametrize("text", ["padded(least=0.5)", "padded(least=1e-05, seed=3)", "padded(lengths=3)", "none"])
def test_a_text_is_read_as_it_is_written(text: str) -> None:
    shape = Shape(2, 1, 1, 8, 8, padding=text)
    assert shape.at(8).padding == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("padded", "expected none, padded"),
        ("padded(least=0.50)", "expected none, padded"),
        ("padded(least=1.5)", "expected a least above 0, at most 1, found 1.5"),
        ("padded(least=0)", "expected a least above 0"),
        ("padded(lengths=0)", "expected lengths of at least 1, found 0"),
        ("padded(lengths=8x9)", "expected lengths of at most seq_len=8, found 9"),
        (f"padded(lengths={'x'.join(101 * ['1'])})", "expected at most 100 lengths, found 101"),
    ],
)
def test_another_text_is_refused(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"padding: {found}".replace("(", r"\(")):
        Shape(2, 1, 1, 8, 8, padding=text)


# Suites


def paddings(text: str) -> list[str]:
    """The padding of each case of a suite with this shape."""
    return [each.setting.shape.padding for each in parse(f"{HEAD}shape: {{seq_len: 64, padding: {text}}}").cases()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("null", ["none"]),
        ("{least: 0.5}", ["padded(least=0.5)"]),
        ("{least: 1, seed: 2}", ["padded(least=1.0, seed=2)"]),
        ("[null, {least: 0.5}]", ["none", "padded(least=0.5)"]),
        (
            "{least: [0.5, 0.25], seed: [0, 1]}",
            [f"padded(least={a}{b})" for a in (0.5, 0.25) for b in ("", ", seed=1")],
        ),
        ("{lengths: [64, 30]}", ["padded(lengths=64x30)"]),
        ("{lengths: [[64, 30], [1]]}", ["padded(lengths=64x30)", "padded(lengths=1)"]),
        ("[{lengths: [64]}, {lengths: [64]}]", ["padded(lengths=64)"]),
    ],
)
def test_a_suite_has_paddings(text: str, found: list[str]) -> None:
    assert paddings(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", "expected least or lengths, found neither"),
        ("{seed: 3}", "expected least or lengths, found neither"),
        ("{least: 0.5, lengths: [3]}", "expected least or lengths, found both"),
        ("{seed: 0, lengths: [3]}", "expected no seed beside lengths"),
        ("{least: 0}", "expected a number above 0, at most 1"),
        ("{least: 1.01}", "expected a number above 0, at most 1"),
        ("{least: 0.5, seed: -1}", "expected an integer from 0 to"),
        ("{lengths: [0]}", "expected a list of integers from 1 to 16777216, found [0]"),
        ("{lengths: []}", "expected at least one entry"),
        ("{lengths: [64, 65]}", "expected lengths of at most the shortest seq_len, 64, found 65"),
        ("{leest: 0.5}", 'expected one of least, seed, lengths, found "leest"'),
        ("0.5", "expected a mapping such as {least: 0.5}, or null, found 0.5"),
        ("[]", "expected at least one entry"),
    ],
)
def test_a_mistake_is_one_line_at_its_place(text: str, found: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(f"{HEAD}shape:\n  seq_len: [64, 128]\n  padding: {text}\n", "s.yaml")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("s.yaml:6:")
    assert found in line


def test_a_case_without_padding_has_the_key_and_the_title_of_before() -> None:
    usual, other = parse(f"{HEAD}shape: {{seq_len: 64, padding: [null, {{least: 0.5}}]}}").cases()
    (before,) = parse(f"{HEAD}shape: {{seq_len: 64}}").cases()
    assert usual == before
    assert usual.key == Case.from_json({name: each for name, each in usual.flat().items() if name != "padding"}).key
    told = {
        name: each
        for name, each in usual.flat().items()
        if name not in ("layout", "padding", "level", "world", "hardware")
    }
    assert usual.key == hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    assert usual.title == "full/sdpa N=64 float32 cpu forward"
    assert other.title == "full/sdpa N=64 float32 cpu forward padded(least=0.5)"
    assert other == Case.from_json(json.loads(json.dumps(other.flat()))) == Case.read(other.flat())
    assert len({usual.key, other.key}) == len({usual.family, other.family}) == len({usual.setting, other.setting}) == 2


def test_exact_lengths_are_families_of_their_own() -> None:
    first, second = parse(f"{HEAD}shape: {{seq_len: 64, padding: {{lengths: [[64], [9]]}}}}").cases()
    assert first.family != second.family


def test_a_suite_is_read_again_from_what_it_writes() -> None:
    suite = parse(f"{HEAD}shape: {{seq_len: 64, padding: [null, {{least: 0.5}}, {{lengths: [3, 4]}}]}}")
    again = from_dict(json.loads(json.dumps(suite.to_json())))
    assert [each.key for each in again.cases()] == [each.key for each in suite.cases()]


def test_a_padding_can_be_excluded() -> None:
    text = f"{HEAD}shape: {{seq_len: 64, padding: [null, {{least: 0.5}}]}}\nexclude: [{{padding: none}}]"
    assert [each.setting.shape.padding for each in parse(text).cases()] == ["padded(least=0.5)"]


# Results


def truth(pattern: Pattern, shape: Shape, given: Inputs) -> tuple[Tensor, ...]:
    """Output, dQ, dK and dV in float64, one sequence and one head after another."""
    assert shape.lengths
    mask, group = torch.from_numpy(pattern.spans(shape.seq_len).mask()), shape.heads // shape.kv_heads
    q, k, v = (each.double().requires_grad_() for each in given.tensors)
    out = torch.zeros_like(q)
    rows = torch.arange(shape.seq_len)
    for entry, length in enumerate(shape.lengths):
        for head in range(shape.heads):
            keys, values = (each[entry, head // group, :length] for each in (k, v))
            scores = q[entry, head, :length] @ keys.T / shape.head_dim**0.5
            if isinstance(pattern, Scored):
                at = torch.tensor(head), rows[:length, None], rows[:length]
                scores = pattern.modified(scores, *at, shape.heads)
            seen = mask[:length, :length]
            some = seen.any(dim=1)
            weights = scores[some].masked_fill(~seen[some], -torch.inf).softmax(dim=1)
            out[entry, head, torch.arange(length)[some]] = weights @ values
    return out.detach(), *torch.autograd.grad(out, (q, k, v), given.dout.double())


def results(pattern: Pattern, how: str, shape: Shape, given: Inputs, direction: Direction) -> tuple[Tensor, ...]:
    """What an implementation gives."""
    where = setting(shape, direction=direction)
    assert kernels.load(how).supports(pattern, where) is None
    call = calls.call(kernels.load(how).build(pattern, where), given, direction)
    return call.found(call.run())


def assert_right(pattern: Pattern, hows: tuple[str, ...], shape: Shape) -> None:
    given = inputs(shape, "float32", "cpu")
    want = truth(pattern, shape, given)
    ends = torch.tensor(shape.lengths)[:, None, None]
    padding = (torch.arange(shape.seq_len) >= ends)[..., None]
    for how in hows:
        found = results(pattern, how, shape, given, "training")
        for name, got, right in zip(("output", "dQ", "dK", "dV"), found, want, strict=True):
            told = f"{how} {name}"
            assert torch.allclose(got.double(), right, rtol=1e-4, atol=2e-5), told
            assert not (got * padding).any(), told
        (forward,) = results(pattern, how, shape, given, "forward")
        torch.testing.assert_close(forward.double(), want[0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "n"),
    [(*each, n) for each in CASES for n in (61, 130) if exists(*each, n)],
    ids=label,
)
def test_every_pattern_is_cut_at_the_end_of_each_sequence(name: str, parameters: dict[str, Any], n: int) -> None:
    assert_right(pattern_of(name, parameters), PLAIN, padded_shape(n, (n, 1, 47, 2 * n // 3)))


@pytest.mark.parametrize(("name", "parameters"), SCORED, ids=label)
def test_modified_scores_are_masked(name: str, parameters: dict[str, Any]) -> None:
    pattern = pattern_of(name, parameters)
    assert isinstance(pattern, Scored)
    assert_right(pattern, ("eager", "sdpa_masked") if pattern.adds else ("eager",), padded_shape(61, (61, 1, 40)))


@pytest.mark.parametrize("causal", [False, True])
def test_full_attention_is_one_call_for_each_sequence(causal: bool) -> None:
    pattern = pattern_of("full", {"causal": causal})
    assert_right(pattern, ("sdpa",), padded_shape(97, (5, 97, 60)))
    assert_right(pattern, ("sdpa", "eager", "blockwise"), replace(padded_shape(97, (5, 97, 60)), layout="bnhd"))


@dataclass(frozen=True)
class Mirror(Pattern):
    """A query sees only the key that is as far from the other end. In a shorter sequence that may be past its end."""

    def spans(self, n: int) -> Spans:
        """Return one key for each query."""
        i = np.arange(n)
        return Spans.of(n, (n - 1 - i, n - i))


def test_a_query_whose_keys_are_all_past_the_end_has_output_0() -> None:
    shape = padded_shape(61, (61, 40, 20, 31))
    assert_right(Mirror(), PLAIN, shape)
    given = inputs(shape, "float32", "cpu")
    out = results(Mirror(), "blockwise", shape, given, "forward")[0]
    assert not out[2].any()
    assert torch.equal(out[1].any(dim=-1)[0], (torch.arange(61) >= 21) & (torch.arange(61) < 40))


def test_flex_has_the_tiles_of_each_sequence() -> None:
    lengths, n = (300, 130, 7), 300
    spans = pattern_of("local_window", {"window": 65}).spans(n)
    sees = flex._seen(flex._bounds(spans, "cpu"), torch.tensor(lengths))
    i = torch.arange(n)
    for entry, length in enumerate(lengths):
        mask = sees(torch.tensor(entry), i, i[:, None], i[None, :]).numpy()
        assert np.array_equal(mask, np.pad(spans.cut(length).mask(), (0, n - length)))
        assert np.array_equal(mask, spans.within(length).mask())
        assert flex.tiles(spans.within(length), 128).pairs.sum() == mask.sum()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("pattern", [pattern_of("local_window", {"window": 65}), Mirror()], ids=["window", "mirror"])
def test_flex_computes_them(pattern: Pattern) -> None:
    shape = padded_shape(300, (300, 130, 7), width=16)
    given = inputs(shape, "float32", "cpu")
    (found,) = results(pattern, "flex", shape, given, "forward")
    torch.testing.assert_close(found.double(), truth(pattern, shape, given)[0], rtol=1e-4, atol=2e-5)


# The proof


CASE = case_of("local_window", {"window": 17}, "blockwise", padded_shape(131, (131, 90, 20)), direction="training")


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", [*PLAIN, "sdpa"])
def test_a_probe_passes(how: str, dtype: str, direction: Direction) -> None:
    name, parameters = ("full", {}) if how == "sdpa" else ("bigbird", {"block": 8})
    case = case_of(name, parameters, how, CASE.setting.shape, dtype, direction=direction)
    found = probe(case, BUDGET, unheard)
    assert (found.status, found.reason) == (Status.PASSED, "")
    assert found.proved == 1
    pairs = sum(int(case.pattern.spans(131).mask()[:length, :length].sum()) for length in (131, 90, 20))
    assert found.allowed_pairs == 4 * pairs
    assert found.flops == {"forward": 4, "backward": 8, "training": 12}[direction] * 4 * pairs * 8
    assert found.computed_pairs is not None
    assert found.computed_pairs >= found.allowed_pairs


@pytest.mark.parametrize(("name", "how"), [("alibi", "sdpa_masked"), ("softcap", "eager")])
def test_a_probe_of_modified_scores_passes(name: str, how: str) -> None:
    found = probe(case_of(name, {}, how, CASE.setting.shape, direction="training"), BUDGET, unheard)
    assert (found.status, found.reason) == (Status.PASSED, "")


Attend = Callable[..., Tensor]


def leaves_some(right: Attend) -> Attend:
    """A kernel that leaves something tiny in the last row, which is padding of all but one sequence."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = right(q, k, v).clone()
        out[-1, :, -1] += 1e-30
        return out

    return attend


def leaks_a_gradient(right: Attend) -> Attend:
    """A kernel whose output is right, and whose dK is not 0 in the padding."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = right(q, k, v)
        return out + 1e-20 * (k[:, :1, -1:] - k[:, :1, -1:].detach())

    return attend


def forgets_the_keys(right: Attend) -> Attend:
    """A kernel that masks its output, but lets queries see the padding."""
    del right

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        unpadded = setting(replace(CASE.setting.shape, batch=q.shape[0], seq_len=q.shape[2], padding="none"))
        out = kernels.load("eager").build(CASE.pattern, unpadded).call(q, k, v)
        return out * (q != 0).any(dim=-1, keepdim=True)

    return attend


@pytest.mark.parametrize("flaw", [leaves_some, leaks_a_gradient, forgets_the_keys])
@pytest.mark.parametrize("only_long", [False, True])
def test_what_leaves_something_in_the_padding_is_wrong(
    flaw: Callable[[Attend], Attend], only_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = programs.build

    def flawed(case: Case, *asked: Any) -> Program:
        program = build(case, *asked)
        spares = only_long and case.setting.shape.seq_len < 131
        return program if spares else replace(program, call=flaw(program.call), computed_pairs=None)

    monkeypatch.setattr(programs, "build", flawed)
    found = probe(CASE, BUDGET, unheard)
    assert found.status is Status.WRONG
    if flaw is not forgets_the_keys:
        assert "is not 0 in the padding at N=" in found.reason


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["local_window", "bigbird"])
def test_both_oracles_agree(name: str, dtype: str) -> None:
    case = case_of(name, {}, "eager", CASE.setting.shape, dtype, direction="training")
    given, spans = inputs_of(case.setting), case.pattern.spans(131)
    (whole,) = padded.of_case(case, spans, [given], lambda: None)
    dense = small.dense(spans, given, gradients=True)
    for first, second in zip(whole.values, dense.values, strict=True):
        torch.testing.assert_close(first.double(), second, rtol=1e-5, atol=1e-5)
    found = tuple(each.to(given.q.dtype) for each in dense.values)
    assert verdict.judge(found, whole, given, spans, lambda: None).problem is None
    assert all(a <= 3 * b and b <= 3 * a for a, b in zip(whole.allowed, dense.allowed, strict=True))


def test_inputs_are_0_in_the_padding_and_rows_stay_in_their_sequence() -> None:
    shape = CASE.setting.shape
    usual, given = (inputs(each, "float32", "cpu") for each in (replace(shape, padding="none"), shape))
    assert shape.lengths
    call = calls.call(programs.build(CASE), given.copy(), "forward")
    into = given.copy()
    contents.rotate(call, into, given, (), 33)
    for before, each, turned in zip(usual, given, into, strict=True):
        for entry, length in enumerate(shape.lengths):
            assert torch.equal(each[entry, :, :length], before[entry, :, :length])
            assert not each[entry, :, length:].any()
            assert torch.equal(turned[entry, :, :length], each[entry, :, :length].roll(-33, dims=1))
            assert not turned[entry, :, length:].any()
    contents.mix(call, into, (given, inputs(shape, "float32", "cpu", 1)), ((), ()), 5)
    assert not into.q[1, :, 90:].any()
    assert not torch.equal(into.q[1, :, :90], given.q[1, :, :90])


# What is refused


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (replace(CASE, implementation="compiled"), "this batch is padded; use native, blockwise"),
        (CASE.changed(direction="decode"), "decode has no padded batch"),
        (CASE.changed(level="layer"), "a padded batch is measured at level attention, found layer"),
        (case_of("linear", {}, "own", CASE.setting.shape), "linear does not know which tokens are padding"),
    ],
    ids=["compiled", "decode", "layer", "linear"],
)
def test_what_knows_no_padding_is_unsupported(case: Case, reason: str) -> None:
    found = admission.plan(case, BUDGET)
    assert found["status"] is Status.UNSUPPORTED
    assert reason in found["reason"]


# Memory


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("how", "name", "parameters"),
    [
        ("eager", "full", {}),
        ("sdpa", "full", {}),
        ("sdpa_masked", "local_window", {"window": 65}),
        ("blockwise", "local_window", {"window": 65}),
        ("native", "local_window", {"window": 65}),
    ],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(
    how: str, name: str, parameters: dict[str, Any], direction: Direction
) -> None:
    shape = Shape(4, 8, 8, 1024, 64, padding="padded(least=0.5)")
    case = case_of(name, parameters, how, shape, direction=direction, threads="auto")
    call = calls.call(programs.build(case), inputs_of(case.setting), direction).run
    call()
    predicted = kernels.load(how).predict_bytes(case.pattern, case.setting, torch.get_num_threads())
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


# A run


SUITE = """
name: padded
question: What does padding cost?
shape: {batch: 3, heads: 2, head_dim: 8, seq_len: 32, padding: [null, {lengths: [20, 7]}]}
direction: training
variants:
  - full
  - local_window: {window: 9, implementation: blockwise}
  - linear
measure: {processes: 1, values: 2, value_ms: 0.2}
"""


def test_a_suite_runs_from_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    code, said = bench("run", tmp_path / "suite.yaml", "--out", tmp_path / "run")
    assert code == 0, said
    frame = load(tmp_path / "run").frame
    mine = frame[frame["variant"] != "linear"]
    assert set(mine["status"]) == {"passed"}, mine[["label", "implementation", "padding", "reason"]].to_string()
    none = frame["padding"] == "none"
    assert set(frame[~none & (frame["variant"] == "linear")]["status"]) == {"unsupported"}
    assert set(frame["padding"]) == {"none", "padded(lengths=20x7)"}
    exact = mine[mine["padding"] != "none"]
    np.testing.assert_allclose(exact["tokens_per_s"], (20 + 7 + 20) / exact["time_ns"] * 1e9)
    full = exact[exact["variant"] == "full"]
    assert set(full["allowed_pairs"]) == {2 * (400 + 49 + 400)}
    assert {each.title.rpartition(" ")[2] for each in settings(frame)} == {"D8", "padded(lengths=20x7)"}
