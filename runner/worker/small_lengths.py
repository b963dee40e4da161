"""Checks of a case at small lengths, before anything runs at its own length."""

from dataclasses import asdict, replace
from functools import partial

from attnbench.runner.worker import admission
from attnbench.runner.worker.admission import Ended
from attnbench.runner.worker.call import calls, mechanisms, programs
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.weights import weights
from attnbench.runner.worker.process.failure import Stage
from attnbench.runner.worker.proof import around, choice, decoding, expected, small
from attnbench.runner.worker.proof.expected import Expected
from attnbench.suites import Case, Status
from attnbench.variants import DECODE, OWN, Named, Parameters, Shape, Spans, levels
from attnbench.variants.kernels import Program


def verify(case: Case, content: int, stage: Stage) -> list[float]:
    """Check output and gradients at small shapes. Return the largest error of the output at each of them."""
    shapes = small.small(case.parameters, case.setting.shape, partial(_takes, case), case.setting.device)
    return [_verify(case, parameters, shape, content, stage) for parameters, shape in shapes]


def _takes(case: Case, parameters: Parameters, shape: Shape) -> bool:
    """Check whether the case's implementation supports the mechanism with other parameters at a small shape."""
    admission.sound(parameters, shape.seq_len)
    like = _like(case, parameters, shape)
    with admission.ending(f"at N={shape.seq_len}"):
        if any(place.parameters.unsupported(place.setting.shape.seq_len) for place in like.places):
            return False
        if case.implementation != OWN:
            there = admission.implementation(case)
            return all(there.supports(place.parameters, place.setting) is None for place in like.places)
        try:
            programs.build(like)
        except (ImportError, NotImplementedError):
            return False
        return True


def _verify(case: Case, parameters: Parameters, shape: Shape, content: int, stage: Stage) -> float:
    """Check output and gradients of the mechanism at a small shape. Return the largest error of the output."""
    like = _like(case, parameters, shape)
    spans = like.spans
    with admission.ending(f"at N={shape.seq_len}"):
        program = programs.build(like, content)
        if programs.compiles(program):
            stage(f"compiling it at N={shape.seq_len}, to check it against the oracle there", anew=True)
        with programs.room_to_compile(program):
            expect = partial(must_give, like, program, spans, content=content)
            found = small.check(program, like.setting, expect, content)
    if found.problem:
        raise Ended(Status.WRONG, found.problem)
    return found.max_abs_error


def must_give(case: Case, program: Program, spans: Spans | None, given: Inputs, content: int = 0) -> Expected:
    """Return the expected result of a program at a small shape."""
    if case.setting.direction == DECODE:
        return decoding.of_content(case, spans, given, content)
    grads, reference, step = case.setting.direction != "forward", mechanisms.reference(case), _nothing
    if program.choice:
        return choice.expected_with(case, calls.chosen(program, given), given, content, step)
    if mechanisms.around(case) or (reference and given.lengths):
        return around.of_case(case, spans, [given], step, content)[0]
    if reference:
        return expected.of_reference(reference, 0, given, grads=grads, step=step, weights=weights(case, content))
    assert spans  # a mechanism that is not a pattern has a reference
    return small.dense(spans, given, gradients=grads)


def _like(case: Case, parameters: Parameters, shape: Shape) -> Case:
    """Return the case with other parameters at another shape. No other sequence of its level is longer."""
    like = replace(case, mechanism=Named(case.mechanism.name, asdict(parameters))).changed(shape=shape)
    level = levels.read(like.setting.level)
    if level is None:
        return like
    name = like.setting.level.partition("(")[0]
    return like.changed(level=levels.written(name, level.at(shape.seq_len)))


def _nothing() -> None:
    """Do nothing after a step; small shapes need no sign of progress."""
