"""The measured call: what each direction computes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.variants import DECODE, Direction, Weights
from attnbench.variants.kernels import Program


def wait(device: str) -> None:
    """Wait until all queued work is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def wait_for_stream(device: str) -> None:
    """Wait until the current stream is done. Work on other streams is not waited for."""
    if device == "cuda":
        torch.cuda.current_stream().synchronize()


@dataclass(frozen=True)
class Call:
    """One call in a direction: what is timed. Its inputs stay in the same memory, but their content may change."""

    run: Callable[[], Any]
    """Runs the call. `forward` and `decode` return the output, `training` output and gradients, `backward`
    gradients only.

    Gradients are those of the inputs and of learned weights. The gradient of an unused input is None.
    """
    renew: Callable[[], None]
    """Must be called after the content of the inputs changed. `backward` then builds its graph again."""
    output: Callable[[], Tensor] | None = None
    """Returns the output of the graph that `backward` differentiates."""
    gradients: bool = True
    """Whether `run` computes gradients."""
    weights: Weights = ()
    """Weights that the program was built with."""
    learned: Weights = ()
    """Weights that have a gradient."""
    choice: Callable[[], Any] | None = None
    """Returns what `run` chooses on the current content of the inputs."""
    state: tuple[tuple[Tensor, Tensor], ...] = ()
    """Tensors that `run` changes by its definition, each with a copy of its first value."""

    def found(self, result: Any) -> tuple[Any, ...]:
        """Return the result of `run` as the proof needs it: the output, then gradients, or without these the state."""
        if not self.gradients:
            return (result, *(each.clone() for each, _ in self.state))
        return tuple(result) if self.output is None else (self.output(), *result)


class Kept:
    """Call that keeps a result to be checked: the last one, or the `first` after its state was put back."""

    def __init__(self, run: Callable[[], object], *, first: bool) -> None:
        self.result: object = None
        self._run = run
        self._first = first

    def __call__(self) -> None:
        """Run the call."""
        if self._first and self.result is not None:
            self._run()
            return
        # Free the old result first: the memory budget has no room for two.
        self.result = None
        self.result = self._run()


def call(program: Program, given: Inputs, direction: Direction) -> Call:
    """Make a call in the given direction.

    Gradients are `torch.autograd.grad(out, inputs, dout)`, with learned weights after the inputs. The graph of
    `backward` is built here and kept.
    """
    attend = program.call
    choice = partial(chosen, program, given) if program.choice else None
    state = tuple((each, each.detach().clone()) for each in program.state)
    if direction in ("forward", DECODE):

        def forward() -> object:
            with torch.no_grad():
                return attend(*given.tensors)

        return Call(forward, _nothing, gradients=False, weights=program.weights, choice=choice, state=state)
    leaves = given.leaves(gradients=True)
    learned = tuple(each for each in program.weights if each.requires_grad)
    wanted = tuple(each for each in leaves if each.requires_grad) + learned
    if direction == "training":

        def training() -> object:
            out = attend(*leaves)
            found = torch.autograd.grad(out, wanted, given.dout, allow_unused=True)
            if program.update:
                program.update(found[len(wanted) - len(learned) :])
            return out, *found

        return Call(training, _nothing, weights=program.weights, learned=learned, choice=choice, state=state)
    graph: list[Tensor] = []

    def renew() -> None:
        # Free the old graph first: the memory budget has no room for two.
        graph.clear()
        with programs.kept_graph(program):
            graph.append(attend(*leaves))

    def backward() -> object:
        return torch.autograd.grad(graph[0], wanted, given.dout, retain_graph=True, allow_unused=True)

    renew()
    made = Call(backward, renew, lambda: graph[0], weights=program.weights, learned=learned, choice=choice)
    return replace(made, state=state)


def ready(program: Program, given: Inputs, direction: Direction) -> Call:
    """Make a call, and compile its kernel if it needs that, so that no timed call compiles."""
    with programs.room_to_compile(program):
        made = call(program, given, direction)
        if programs.compiles(program):
            made.run()
    return made


def chosen(program: Program, given: Inputs) -> Any:
    """Return what a program chooses on inputs."""
    assert program.choice
    with torch.no_grad():
        return program.choice(*given.tensors)


def _nothing() -> None:
    """Renew nothing."""
