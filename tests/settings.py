"""Settings and cases in short."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.mechanisms import Oracle
from attnbench.runner.worker.proof import expected, small
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.verdict import Verdict
from attnbench.suites import Case
from attnbench.variants import Named, Pattern, Setting, Shape, Spans
from attnbench.variants.kernels import Program


def setting(
    shape: Shape, dtype: str = "float32", device: str = "cpu", direction: str = "forward", threads: int | str = 1
) -> Setting:
    axes = {"dtype": dtype, "device": device, "direction": direction, "threads": threads}
    return Setting(shape=shape, **axes)  # type: ignore[arg-type]  # their values are held by tests of suites


def case_of(
    name: str,
    parameters: Mapping[str, Any],
    implementation: str,
    shape: Shape,
    dtype: str = "float32",
    device: str = "cpu",
    direction: str = "forward",
    threads: int | str = 1,
) -> Case:
    return Case(Named(name, parameters), implementation, setting(shape, dtype, device, direction, threads))


def case_at(
    name: str,
    parameters: Mapping[str, Any],
    implementation: str = "own",
    n: int = 61,
    level: str = "layer",
    dtype: str = "float32",
    direction: str = "training",
) -> Case:
    """A case at a level, of two query heads that share a key head, at about a length."""
    near, n = variants.load(name).parameters(**parameters).near(n)
    told = {each: getattr(near, each) for each in parameters}
    kv_heads = 2 if name == "torch_mha" else 1  # it shares none
    shape = Shape(2, 2, kv_heads, n, 8)
    return case_of(name, told, implementation, shape, dtype, "cpu", direction).changed(level=level)


def check(
    call: Callable[..., Tensor],
    spans: Spans,
    shape: Shape,
    dtype: str,
    device: str,
    seed: int = 0,
    gradients: bool = False,
    reference: Oracle | None = None,
) -> Verdict:
    """`small.check` of a function."""
    where = setting(shape, dtype, device, "training" if gradients else "forward")
    expect = partial(small.dense, spans, gradients=gradients)
    if reference:
        expect = partial(expected.of_reference, reference, 0, grads=gradients, step=lambda: None)
    return small.check(Program(call), where, expect, seed)


def problems(
    calls: Mapping[str, Callable[..., Tensor]], spans: Spans, shape: Shape, dtype: str, device: str = "cpu"
) -> dict[tuple[str, str], str]:
    """What is wrong with each of these functions, by name and direction; the oracle computes once for all of them."""
    told: list[Expected] = []

    def expect(given: Inputs, *, gradients: bool) -> Expected:
        if not told:
            told.append(small.dense(spans, given, gradients=True))
        return told[0] if gradients else replace(told[0], values=told[0].values[:1], allowed=told[0].allowed[:1])

    found = {}
    for name, call in calls.items():
        for direction, gradients in (("training", True), ("forward", False)):
            where = setting(shape, dtype, device, direction)
            problem = small.check(Program(call), where, partial(expect, gradients=gradients)).problem
            if problem:
                found[name, direction] = problem
    return found


def pattern_of(name: str, parameters: Mapping[str, Any]) -> Pattern:
    """The pattern of a variant with these parameters."""
    made = variants.load(name).parameters(**parameters)
    assert isinstance(made, Pattern)
    return made
