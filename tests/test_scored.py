"""Patterns that modify scores: each is its formula, by every implementation that takes it."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from definitions import COMPILED, SCORED, label
from folders import forgotten
from settings import case_of
from torch import Tensor

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.worker.call import calls, mechanisms, programs
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import approximation, small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, Status
from attnbench.suites.schema import catalog
from attnbench.suites.schema.load import parse
from attnbench.variants import Direction, Shape, kernels

BUDGET = 2**32
pytestmark = pytest.mark.filterwarnings(  # torch's own compiler uses it, while it is imported
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)
TAKEN = {"alibi": ("eager", "sdpa_masked", "compiled", "flex"), "softcap": ("eager", "compiled", "flex")}
"""What computes each, in the words of its documentation."""
QUICK = [(how, *each) for each in SCORED for how in TAKEN[each[0]] if how not in COMPILED]
"""Without what compiles for seconds."""


def case(
    name: str,
    parameters: dict[str, Any],
    how: str,
    n: int,
    dtype: str = "float32",
    direction: Direction = "training",
    heads: int = 6,
) -> Case:
    """A case of some query heads, three of which share a key head."""
    return case_of(name, parameters, how, Shape(2, heads, heads // 3, n, 8), dtype, "cpu", direction)


def step(*_: Any, **__: Any) -> None:
    """A step that nobody waits for."""


def problem(made: Case, told: Case | None = None) -> str | None:
    """What is wrong with a case's program, held to what the case, or another one, must give."""
    program = programs.build(made)
    expect = partial(must_give, told or made, program, made.pattern.spans(made.setting.shape.seq_len))
    with programs.room_to_compile(program):
        return small.check(program, made.setting, expect).problem


def by_hand(name: str, parameters: dict[str, Any], q: Tensor, k: Tensor, v: Tensor) -> npt.NDArray[np.float64]:
    """The outputs, pair by pair."""
    b, h, n, d = q.shape
    out = np.zeros((b, h, n, d))
    for at in np.ndindex(b, h, n):
        entry, head, i = at
        keys, values = (each[entry, head // (h // k.shape[1])].numpy() for each in (k, v))
        seen = range(i + 1 if parameters.get("causal") else n)
        scores = [float(q[at].numpy() @ keys[j]) / math.sqrt(d) for j in seen]
        if name == "alibi":
            slope = 2 ** (-8 * (head + 1) / h)
            scores = [score - slope * abs(i - j) for j, score in zip(seen, scores, strict=True)]
        if name == "softcap":
            scores = [parameters["cap"] * math.tanh(score / parameters["cap"]) for score in scores]
        weights = np.exp(scores) / np.exp(scores).sum()
        out[at] = weights @ values[: len(weights)]
    return out


def test_every_one_is_tried() -> None:
    assert {name for name, _ in SCORED} == {*TAKEN}


@pytest.mark.parametrize("heads", [3, 12])
@pytest.mark.parametrize(("name", "parameters"), SCORED, ids=label)
def test_the_oracle_is_the_formula(name: str, parameters: dict[str, Any], heads: int) -> None:
    made = case(name, parameters, "eager", 9, "float64", heads=heads)
    q, k, v, _ = inputs_of(made.setting)
    oracle = mechanisms.reference(made)
    assert oracle
    rows = torch.tensor([0, 4, 8])
    assert np.allclose(oracle(q, k, v, rows), by_hand(name, parameters, q, k, v)[:, :, rows.numpy()], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("how", "name", "parameters"), QUICK, ids=label)
def test_it_equals_the_oracle_with_all_gradients(how: str, name: str, parameters: dict[str, Any], dtype: str) -> None:
    for n in (1, 5, 61, 130):
        assert problem(case(name, parameters, how, n, dtype)) is None


@pytest.mark.parametrize(
    ("how", "name", "parameters"),
    [
        ("flex", "softcap", {"cap": 1.5}),
        pytest.param("flex", "alibi", {}, marks=pytest.mark.slow),
        pytest.param("compiled", "softcap", {"cap": 2.0, "causal": True}, marks=pytest.mark.slow),
        pytest.param("compiled", "alibi", {"causal": True}, marks=pytest.mark.slow),
    ],
    ids=label,
)
def test_what_compiles_equals_the_oracle(how: str, name: str, parameters: dict[str, Any]) -> None:
    direction: Direction = "forward" if how == "flex" else "training"
    assert problem(case(name, parameters, how, 149, direction=direction)) is None


OTHERS: list[tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]] = [
    (("softcap", {"cap": 2.0}), ("softcap", {"cap": 2.1})),
    (("softcap", {"cap": 50.0}), ("full", {})),
    (("alibi", {}), ("full", {})),
    (("alibi", {}), ("alibi", {"causal": True})),
]


@pytest.mark.parametrize(("right", "wrong"), OTHERS, ids=str)
def test_other_scores_are_found(right: tuple[str, dict[str, Any]], wrong: tuple[str, dict[str, Any]]) -> None:
    found = problem(case(*wrong, "eager", 61), case(*right, "eager", 61))
    assert "differs from the oracle" in str(found)


@pytest.mark.parametrize(("name", "parameters"), SCORED, ids=label)
def test_what_does_not_modify_scores_refuses(name: str, parameters: dict[str, Any]) -> None:
    made = case(name, parameters, "eager", 61, direction="forward")
    told = {each: kernels.load(each).supports(made.pattern, made.setting) for each in kernels.names()}
    assert {each for each, reason in told.items() if reason is None} == {*TAKEN[name]}
    others = "compiled, eager, flex or sdpa_masked" if name == "alibi" else "compiled, eager or flex"
    expected = f"it computes scores q . k / sqrt(D) as they are, and this variant modifies them; use {others}"
    assert {reason for reason in told.values() if reason} == {expected}


@pytest.mark.parametrize(("how", "name", "parameters"), QUICK, ids=label)
def test_a_probe_fills_every_number(how: str, name: str, parameters: dict[str, Any]) -> None:
    made = case(name, parameters, how, 130)
    found = probe(made, BUDGET, step)
    assert found.status is Status.PASSED, found.reason
    pairs = 2 * 6 * (130 * 131 // 2 if parameters.get("causal") else 130**2)
    assert (found.allowed_pairs, found.flops) == (pairs, 12 * pairs * 8)
    assert found.proved == 1
    assert found.error_vs_full is not None
    assert found.error_vs_full > 1e-3


def test_a_probe_proves_a_layer() -> None:
    found = probe(case("alibi", {}, "sdpa_masked", 130).changed(level="layer"), BUDGET, step)
    assert (found.status, found.proved) == (Status.PASSED, 1), found.reason


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("how", "name", "parameters"),
    [*QUICK, *(pytest.param("compiled", *each, marks=pytest.mark.slow) for each in SCORED)],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(
    how: str, name: str, parameters: dict[str, Any], direction: Direction
) -> None:
    made = case_of(name, parameters, how, Shape(1, 4, 2, 700, 64), "float32", "cpu", direction, 1)
    call = calls.ready(programs.build(made), inputs_of(made.setting), direction).run
    call()
    predicted = kernels.load(how).predict_bytes(made.pattern, made.setting, torch.get_num_threads())
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


def test_a_high_cap_leaves_full_attention() -> None:
    made = case("softcap", {"cap": 1e4}, "eager", 61)
    error, error_of_mean = approximation.of_case(made, made.pattern.spans(61), step)
    assert error < 1e-6 < error_of_mean


MINE = '''
"""Scores that fall with the square of the distance."""

from dataclasses import dataclass
from typing import ClassVar

from attnbench.variants import Scored, Spans, Variant


@dataclass(frozen=True)
class Mine(Scored):
    adds: ClassVar[bool] = True

    def spans(self, n):
        return Spans.of(n, (0, n))

    def modified(self, scores, head, i, j, heads):
        return scores - 0.01 * ((i - j) ** 2).to(scores.dtype)


VARIANT = Variant(Mine, source="here", implementation="eager")
'''


def test_a_variant_of_your_own_modifies_scores(tmp_path: Path) -> None:
    with forgotten():
        (tmp_path / "mine.py").write_text(MINE)
        variants.extend(tmp_path)
        suite = "name: n\nquestion: Q?\nshape: {heads: 2, head_dim: 8, seq_len: 61}\nvariants: [mine]"
        (made,) = parse(suite).cases()
        for how in ("eager", "sdpa_masked"):
            assert probe(case_of("mine", {}, how, made.setting.shape), BUDGET, step).status is Status.PASSED
        (tmp_path / "mine.py").write_text(MINE.replace("def modified", "def modify"))
    with forgotten():
        variants.extend(tmp_path)
        (found,) = catalog.problems()
        assert "expected modified(...) in class Mine, which is Scored, found none" in str(found)
