"""What is chosen by content is proved in two parts: the choice itself, and every element with this choice."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import forgotten
from settings import case_of
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import Inputs, inputs
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import choice, small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, Status
from attnbench.variants import Shape

WEIGHTS = "attnbench.runner.worker.call.weights.weights"
BUDGET = 2**32


def case(name: str, parameters: dict[str, Any], n: int = 61, direction: str = "training") -> Case:
    return case_of(name, parameters, "own", Shape(2, 2, 1, n, 8), "float32", "cpu", direction)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for variants, which are forgotten afterwards."""
    with forgotten():
        yield tmp_path


def step(*_: Any, **__: Any) -> None:
    """A step that nobody waits for."""


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Softmax attention over the pairs that are seen."""
    return (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(~seen, -torch.inf).softmax(dim=-1) @ v


def outputs(made: Case) -> tuple[Tensor, Inputs]:
    """The case's outputs in float64, and its inputs with as many key heads as query heads."""
    given = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made.changed(dtype="float64")).call(*given[:3])
    k, v = (each.repeat_interleave(2, dim=1) for each in (given.k, given.v))
    return found, Inputs(given.q, k, v, given.dout)


def test_topk_with_all_keys_is_full_attention() -> None:
    found, given = outputs(case("topk", {"keys": 100}))
    assert torch.allclose(found, attention(given.q, given.k, given.v, torch.ones(61, 61, dtype=torch.bool)))


def test_topk_with_one_key_answers_with_its_value() -> None:
    found, (q, k, v, _) = outputs(case("topk", {"keys": 1}))
    nearest = (q @ k.transpose(-2, -1)).argmax(dim=-1, keepdim=True)
    assert torch.allclose(found, v.gather(2, nearest.expand_as(found)))


def test_reformer_with_one_chunk_sees_all_but_itself() -> None:
    found, (q, _, v, _) = outputs(case("reformer", {"chunk": 61, "rounds": 3}))
    keys = q / q.norm(dim=-1, keepdim=True)
    assert torch.allclose(found, attention(q, keys, v, ~torch.eye(61, dtype=torch.bool)))


def test_reformer_finds_what_is_alike() -> None:
    """Sixteen directions, four copies of each: with chunks as long as these, a query sees its copies."""
    made = case("reformer", {"chunk": 4, "rounds": 4, "rotations": 32}, 64).changed(dtype="float64")
    directions = torch.randn(16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 8
    q = directions.repeat(4, 1).expand(2, 2, 64, 8)
    found = programs.build(made).call(q, q[:, :1], q[:, :1])
    assert float((found - q).norm() / q.norm()) < 0.1


def test_block_topk_with_blocks_of_one_key_is_topk() -> None:
    found, _ = outputs(case("block_topk", {"block": 1, "blocks": 7}))
    assert torch.allclose(found, outputs(case("topk", {"keys": 7}))[0])


@pytest.mark.parametrize("causal", [False, True])
def test_block_topk_with_all_blocks_is_full_attention(causal: bool) -> None:
    found, given = outputs(case("block_topk", {"block": 8, "blocks": 9, "causal": causal}))
    seen = torch.ones(61, 61, dtype=torch.bool)
    assert torch.allclose(found, attention(given.q, given.k, given.v, seen.tril() if causal else seen))


def test_block_topk_sees_the_block_whose_mean_is_nearest() -> None:
    """Keys of a block are alike. Each query looks for one block, and its answer is the value of that block."""
    made = case("block_topk", {"block": 4, "blocks": 1}, 32).changed(dtype="float64")
    directions = torch.eye(8, dtype=torch.float64)
    sought = torch.arange(32).flip(0) % 8
    values = torch.arange(8.0, dtype=torch.float64).repeat_interleave(4)[:, None].expand(2, 1, 32, 8)
    found = programs.build(made).call(
        directions[sought].expand(2, 2, 32, 8), directions.repeat_interleave(4, 0).expand(2, 1, 32, 8), values
    )
    assert torch.allclose(found, sought.double()[:, None].expand_as(found))


@pytest.mark.parametrize("causal", [False, True])
def test_block_topk_with_one_key_has_no_gradient_of_its_score(causal: bool) -> None:
    shape = Shape(2, 2, 1, 1, 64)
    made = case_of("block_topk", {"block": 8, "causal": causal}, "own", shape, "bfloat16", "cpu", "training")
    given = inputs(shape, "bfloat16", "cpu")
    _, dq, dk, dv = calls.call(programs.build(made), given, "training").run()
    assert not dq.any()
    assert not dk.any()
    assert torch.equal(dv, given.dout.sum(dim=1, keepdim=True))


def normal(x: Tensor) -> Tensor:
    """Vectors with mean 0 and variance 1."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize("clusters", [1, 3])
def test_routing_with_clusters_of_all_tokens_is_full_attention(clusters: int) -> None:
    """Each cluster gives the same output, and their mean is that output."""
    found, (q, k, v, _) = outputs(case("routing", {"window": 99, "clusters": clusters}))
    seen = torch.ones(61, 61, dtype=torch.bool)
    assert torch.allclose(found, attention(normal(q), normal(k), v, seen))
    found, _ = outputs(case("routing", {"window": 99, "clusters": clusters, "causal": True}))
    assert torch.allclose(found, attention(normal(q), normal(q), v, seen.tril()))


def test_routing_answers_the_queries_that_a_centroid_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """The centroids are two opposite directions: they take the ends of what lies between."""
    made = case("routing", {"window": 5, "clusters": 2}, 16).changed(dtype="float64")
    ends = torch.eye(8, dtype=torch.float64)[:2]
    monkeypatch.setattr(WEIGHTS, lambda *_: (ends[None],))
    angles = torch.linspace(0, torch.pi / 2, 16, dtype=torch.float64)[torch.randperm(16)]
    q = (angles.cos()[:, None] * ends[0] + angles.sin()[:, None] * ends[1]).expand(2, 2, 16, 8)
    given = inputs(made.setting.shape, "float64", "cpu")
    found = programs.build(made).call(q, q[:, :1], given.v)
    order = angles.argsort()
    expected = torch.zeros_like(found)
    for taken in (order[:5], order[-5:]):
        k = normal(q[:, :, taken])
        expected[:, :, taken] = attention(k, k, given.v[:, :, taken], torch.ones(5, 5, dtype=torch.bool))
    assert torch.allclose(found, expected)


def test_nsa_is_the_mean_of_its_branches_without_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all blocks and a long window, two branches are full attention; the third has one key for four tokens."""
    parameters = {"compressed": 4, "stride": 4, "block": 8, "blocks": 8, "window": 61}
    monkeypatch.setattr(WEIGHTS, lambda *_: (torch.zeros(2, 8, 3, dtype=torch.float64),))
    found, (q, k, v, _) = outputs(case("nsa", parameters))
    full = attention(q, k, v, torch.ones(61, 61, dtype=torch.bool).tril())
    short_k, short_v = (each[:, :, :60].reshape(2, 2, 15, 4, 8).mean(dim=3) for each in (k, v))
    ended = torch.arange(15) * 4 + 3 <= torch.arange(61)[:, None]
    short = attention(q, short_k, short_v, ended)
    assert torch.allclose(found[:, :, :3], full[:, :, :3])
    assert torch.allclose(found[:, :, 3:], (full + short / 2)[:, :, 3:])


CAUSAL: list[tuple[str, dict[str, Any]]] = [
    ("block_topk", {"block": 8, "blocks": 2, "causal": True}),
    ("nsa", {"compressed": 8, "stride": 4, "block": 8, "blocks": 4, "window": 5}),
    ("nsa", {"compressed": 4, "stride": 4, "block": 4, "blocks": 3, "window": 5, "pooling": "learned"}),
]


@pytest.mark.parametrize(("name", "parameters"), CAUSAL)
@pytest.mark.parametrize("first", [1, 17, 40])
def test_a_causal_choice_does_not_depend_on_later_tokens(name: str, parameters: dict[str, Any], first: int) -> None:
    made = case(name, parameters).changed(dtype="float64")
    given, other = (inputs(made.setting.shape, "float64", "cpu", content) for content in (0, 1))
    changed = [torch.cat([one[:, :, :first], two[:, :, first:]], dim=2) for one, two in zip(given, other, strict=True)]
    call = programs.build(made).call
    found, again = call(*given[:3]), call(*changed[:3])
    assert torch.allclose(found[:, :, :first], again[:, :, :first])
    assert not torch.allclose(found[:, :, first:], again[:, :, first:])


PARAMETERS: dict[str, dict[str, Any]] = {
    "topk": {"keys": 5},
    "reformer": {"rotations": 4, "chunk": 8},
    "block_topk": {"block": 8, "blocks": 2, "causal": True},
    "routing": {"window": 8},
    "nsa": {"compressed": 8, "stride": 4, "block": 8, "blocks": 4, "window": 8},
    "performer": {"features": 7, "kernel": "relu"},
}
PLACES, CHOSEN = "places = largest(scores.detach(), keys)", "return chosen(q, k)[1].view(*q.shape[:3], keys)"
FAULTS = {
    "smallest": ("topk", PLACES, "places = largest(-scores.detach(), keys)", "an option is left out"),
    "nearly": (
        "topk",
        PLACES,
        "places = scores.detach().topk(min(keys + 1, n)).indices[..., -keys:]",
        "an option is left out",
    ),
    "groups": ("topk", "grouped.amax(dim=-2)", "grouped[..., 0, :]", "an option is left out"),
    "twice": ("topk", CHOSEN, f"{CHOSEN} * 0", "found one twice"),
    "outside": ("topk", CHOSEN, f"{CHOSEN} + 60", "numbers from 0 to"),
    "int32": ("topk", CHOSEN, f"{CHOSEN}.int()", "choice: expected a torch.Tensor"),
    "none": ("topk", CHOSEN, "return None", "choice: expected a torch.Tensor"),
    "other": ("topk", "(places + first)", "(places.roll(1, 1) + first)", "output differs"),
    "equal": ("topk", "shares.softmax(dim=-1)", "(shares * 0).softmax(dim=-1)", "output differs"),
    "changing": ("topk", "del v\n", "del v\n        q.mul_(1 + (q.shape[2] == 61))\n", "changes its input q"),
    "random": ("reformer", "argmax(dim=-1, keepdim=True)", "argmax(dim=-1, keepdim=True) * 0", "an option is left out"),
    "itself": ("reformer", "((seen != places[..., None]) | (n == 1))", "True", "output differs"),
    "kept": ("reformer", "share = total.gather(3, place).softmax(dim=2)", "share = 1 / parameters.rounds", "differs"),
    "sides": ("performer", "dim=3) <= 0", "dim=3) > 0", "an option is left out"),
    "queries": (
        "performer",
        "_projected(k, w).repeat_interleave(group, dim=1)",
        "_projected(q, w)",
        "an option is left out",
    ),
    "kink": ("performer", "w).relu()", "w).abs()", "output differs"),
    "forbidden": ("block_topk", "numbers >= own", "numbers > own", "an option is left out"),
    "means": ("block_topk", ".sum(dim=3)", ".amax(dim=3)", "an option is left out"),
    "farthest": ("routing", "near: Tensor = centroids", "near: Tensor = -centroids", "an option is left out"),
    "added": ("routing", "(sums / times)", "sums", "output differs"),
    "one-head": ("nsa", ".nan_to_num(nan=0.0).sum(dim=2)", ".nan_to_num(nan=0.0)[:, :, 0]", "an option is left out"),
    "cut": ("nsa", "covered = (first + 1) // stride", "covered = 1", "an option is left out"),
    "ungated": ("nsa", "gates[..., 2:] * window", "window", "output differs"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_choice_is_found_and_so_is_a_wrong_output_with_a_right_one(fault: str, folder: Path) -> None:
    name, right, wrong, expected = FAULTS[fault]
    head, built = variants.file(name).read_text().split("\ndef build")
    assert built.count(right) == 1
    (folder / "mine.py").write_text(f"{head}\ndef build{built.replace(right, wrong)}")
    variants.extend(folder)
    found = probe(case("mine", PARAMETERS[name]), BUDGET, step)
    assert found.status is Status.WRONG, found.reason
    assert expected in found.reason


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["topk", "nsa", "block_topk", "routing"])
def test_gradients_of_a_key_that_many_queries_see_are_exact_in_16_bits(name: str, dtype: str) -> None:
    parameters = {"keys": 64} if name == "topk" else PARAMETERS[name]
    made = case_of(name, parameters, "own", Shape(1, 8, 1, 389, 64), dtype, "cpu", "training")
    program = programs.build(made)
    assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


@pytest.mark.parametrize("missing", ["options=options,", "choice=choose"])
def test_options_and_choice_go_together(missing: str, folder: Path) -> None:
    text = variants.file("topk").read_text()
    (folder / "mine.py").write_text(text.replace(missing, ""))
    variants.extend(folder)
    found = probe(case("mine", {"keys": 5}), BUDGET, step)
    assert found.status is Status.FAILED
    assert "expected options in Variant(...) and choice in Program(...)" in found.reason


def test_a_choice_that_rounding_exchanged_is_allowed_and_no_other() -> None:
    given = Inputs(*(torch.zeros(1, 1, 1, 1) for _ in range(4)))
    counted: list[int] = []

    def flaw(scores: list[float], chosen: list[int], dtype: torch.dtype) -> str | None:
        def options(q: Tensor, *_: Any) -> tuple[Tensor, int]:
            return torch.tensor([[[scores]]], dtype=torch.float64).to(q.dtype), len(chosen)

        wide, like = (Inputs(*(each.to(kind) for each in given)) for kind in (torch.float64, dtype))
        problem, ties = choice.judge(options, wide, like, (), torch.tensor([[[chosen]]]), step)
        counted.append(ties)
        return problem

    assert flaw([1.0, 1.001], [0], torch.bfloat16) is None
    assert flaw([1.0, 1.001], [0], torch.float32) is not None
    assert flaw([1.0, 1.1], [0], torch.bfloat16) is not None
    assert flaw([1.0, 2.0, 3.0], [2, 1], torch.float32) is None
    # What is forbidden is chosen where there is nothing else.
    assert flaw([1.0, -torch.inf, -torch.inf], [0, 2], torch.float32) is None
    assert flaw([1.0, 0.5, -torch.inf], [0, 2], torch.float32) is not None
    assert flaw([-torch.inf, -torch.inf], [1], torch.float32) is None
    # What is forced is chosen.
    assert flaw([torch.inf, 1.0, 0.5], [0, 1], torch.float32) is None
    assert flaw([torch.inf, 1.0, 0.5], [1, 2], torch.float32) is not None
    counted.clear()
    # A choice is unique if what is left out has a score that is surely smaller.
    for scores, chosen in (([1.0, 1.0], [0]), ([1.0, 2.0], [1]), ([1.0, -torch.inf, -torch.inf], [0, 1])):
        assert flaw(scores, chosen, torch.float32) is None
    assert flaw([1.0, 1.001], [1], torch.bfloat16) is None
    assert flaw([1.0, 1.001], [1], torch.float32) is None
    assert flaw([1.0, 2.0], [0, 1], torch.float32) is None
    assert counted == [1, 0, 0, 1, 0, 0]


def test_an_input_that_is_ignored_has_no_gradient() -> None:
    made = case("reformer", {"rotations": 4, "chunk": 8})
    program = programs.build(made)
    given = inputs(made.setting.shape, "float32", "cpu")
    _, _, dk, _ = calls.call(program, given, "training").found(calls.call(program, given, "training").run())
    assert dk is None
    assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


def test_a_probe_counts_rows_whose_choice_is_not_unique() -> None:
    assert probe(case("topk", {"keys": 5}), BUDGET, step).ties == 0
    ties = probe(case("topk", {"keys": 5}).changed(dtype="bfloat16"), BUDGET, step).ties
    assert ties is not None
    assert ties > 0
    assert probe(case("linformer", {"projected": 4}), BUDGET, step).ties is None
