"""The tolerance at a level: rounding passes where gradients vanish, and faults of a few times the tolerance do not."""

from typing import Any

import pytest
from settings import case_of
from torch import Tensor

from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import Inputs, inputs_of
from attnbench.runner.worker.proof import verdict
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case
from attnbench.variants import OWN, Shape

KEY_BIAS = 5
"""The place of the gradient of the keys' bias, which adds the same to all scores of a query."""
FAULTS = {"float32": 3e-4, "bfloat16": 0.2}
"""A share of a gradient that is a few times the tolerance."""


def layer(name: str, parameters: dict[str, Any], implementation: str, n: int, dtype: str) -> Case:
    made = case_of(name, parameters, implementation, Shape(2, 2, 1, n, 16), dtype, "cpu", "training")
    return made.changed(level="layer")


def computed(made: Case, content: int = 0) -> tuple[tuple[Tensor, ...], Expected, Inputs]:
    """The output and the gradients of a call, what they must be, and the inputs."""
    given, program = inputs_of(made.setting, content), programs.build(made, content)
    call = calls.call(program, given, "training")
    return call.found(call.run()), must_give(made, program, made.spans, given, content), given


def problem(found: tuple[Tensor, ...], want: Expected, given: Inputs) -> str | None:
    return verdict.judge(found, want, given, None, lambda: None).problem


@pytest.mark.parametrize(
    ("name", "parameters", "implementation"),
    [
        ("performer", {"features": 7, "kernel": "relu"}, OWN),
        ("performer", {"features": 32}, OWN),
        ("cosformer", {}, OWN),
        ("full", {}, "eager"),
    ],
)
@pytest.mark.parametrize("dtype", FAULTS)
@pytest.mark.parametrize("n", [1, 2])
def test_rounding_passes_where_gradients_vanish(
    name: str, parameters: dict[str, Any], implementation: str, dtype: str, n: int
) -> None:
    """At N = 1 an output does not depend on its query and key. The terms of their gradients cancel."""
    made = layer(name, parameters, implementation, n, dtype)
    found = {content: problem(*computed(made, content)) for content in range(0, 16, 2)}
    assert not {content: each for content, each in found.items() if each}


@pytest.mark.parametrize("dtype", FAULTS)
@pytest.mark.parametrize(("name", "implementation"), [("full", "eager"), ("retention", OWN), ("cosformer", OWN)])
@pytest.mark.parametrize("n", [61, 130])
def test_a_fault_of_a_few_times_the_tolerance_is_found(name: str, implementation: str, n: int, dtype: str) -> None:
    right, want, given = computed(layer(name, {}, implementation, n, dtype))
    assert problem(right, want, given) is None
    for place in range(1, len(right)):
        if name == "full" and place == KEY_BIAS:
            continue
        wrong = tuple(each * (1 + FAULTS[dtype] * (at == place)) for at, each in enumerate(right))
        assert problem(wrong, want, given) is not None, given.result(place)


@pytest.mark.parametrize("dtype", FAULTS)
@pytest.mark.parametrize("place", [2, 4])
def test_a_gradient_that_should_vanish_and_does_not_is_found(place: int, dtype: str) -> None:
    """The gradients of W_q and W_k at N = 1 may not be a small share of that of W_v."""
    right, want, given = computed(layer("full", {}, "eager", 1, dtype))
    assert problem(right, want, given) is None
    share = 2 * FAULTS[dtype] * right[6].abs().max()
    wrong = tuple(each + share * (at == place) for at, each in enumerate(right))
    assert problem(wrong, want, given) is not None
