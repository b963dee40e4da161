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
from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Inputs
from attnbench.runner.worker.probe import must_give, probe
from attnbench.runner.worker.proof import choice, small
from attnbench.suites import Case, Status
from attnbench.variants import Shape

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
    given = calls.inputs(made.setting.shape, "float64", "cpu")
    found = calls.build(made.changed(dtype="float64")).call(*given[:3])
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
    found = calls.build(made).call(q, q[:, :1], q[:, :1])
    assert float((found - q).norm() / q.norm()) < 0.1


CHOSEN = "for part in parts(q)], dim=2)"
MASK = "(-1, chosen(part, k), 0.0)"
FAULTS = {
    "smallest": ("topk", "keys, sorted=False", "keys, largest=False", "an option is left out"),
    "nearly": (
        "topk",
        "topk(keys, sorted=False).indices",
        "topk(min(keys + 1, shape.seq_len)).indices[..., -keys:]",
        "an option is left out",
    ),
    "twice": ("topk", "sorted=False).indices", "sorted=False).indices * 0", "found one twice"),
    "outside": ("topk", CHOSEN, f"{CHOSEN} + 60", "numbers from 0 to"),
    "int32": ("topk", CHOSEN, f"{CHOSEN}.int()", "choice: expected a torch.Tensor"),
    "none": ("topk", f"return torch.cat([chosen(part, k) {CHOSEN}", "return None", "choice: expected a torch.Tensor"),
    "other": ("topk", MASK, "(-1, chosen(part, k).roll(1, 2), 0.0)", "output differs"),
    "all": ("topk", MASK, f"{MASK}.zero_()", "output differs"),
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
}

GIVEN: dict[str, dict[str, Any]] = {
    "topk": {"keys": 5},
    "reformer": {"rotations": 4, "chunk": 8},
    "performer": {"features": 7, "kernel": "relu"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_choice_is_found_and_so_is_a_wrong_output_with_a_right_one(fault: str, folder: Path) -> None:
    name, right, wrong, expected = FAULTS[fault]
    head, built = variants.file(name).read_text().split("\ndef build")
    assert built.count(right) == 1
    (folder / "mine.py").write_text(f"{head}\ndef build{built.replace(right, wrong)}")
    variants.extend(folder)
    found = probe(case("mine", GIVEN[name]), BUDGET, step)
    assert found.status is Status.WRONG, found.reason
    assert expected in found.reason


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

    def flaw(scores: list[float], chosen: list[int], dtype: torch.dtype) -> str | None:
        def options(q: Tensor, *_: Any) -> tuple[Tensor, int]:
            return torch.tensor([[[scores]]], dtype=torch.float64).to(q.dtype), len(chosen)

        wide, like = (Inputs(*(each.to(kind) for each in given)) for kind in (torch.float64, dtype))
        return choice.flaw(options, wide, like, (), torch.tensor([[[chosen]]]), step)

    assert flaw([1.0, 1.001], [0], torch.bfloat16) is None
    assert flaw([1.0, 1.001], [0], torch.float32) is not None
    assert flaw([1.0, 1.1], [0], torch.bfloat16) is not None
    assert flaw([1.0, 2.0, 3.0], [2, 1], torch.float32) is None
    # What is forbidden is chosen where there is nothing else.
    assert flaw([1.0, -torch.inf, -torch.inf], [0, 2], torch.float32) is None
    assert flaw([1.0, 0.5, -torch.inf], [0, 2], torch.float32) is not None


def test_an_input_that_is_ignored_has_no_gradient() -> None:
    made = case("reformer", {"rotations": 4, "chunk": 8})
    program = calls.build(made)
    given = calls.inputs(made.setting.shape, "float32", "cpu")
    _, _, dk, _ = calls.call(program, given, "training").found(calls.call(program, given, "training").run())
    assert dk is None
    assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None
