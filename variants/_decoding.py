"""How a mechanism decodes: one token after another, with a state that holds what it needs of all earlier tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import Setting, Work

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants.kernels import Program

State = tuple["Tensor", ...]
Step = Callable[..., "Tensor"]
"""`step(before, after, *inputs)` returns the output of one token; it reads the state before it and writes the other."""


def _decodes(parameters: Parameters) -> None:
    """Refuse nothing."""
    del parameters


@dataclass(frozen=True)
class Decoding:
    """The state of a mechanism that is not a pattern, and how a token changes it.

    Inputs are those of the mechanism's level: q `B H T D`, k and v `B K T D`, or tokens `B T C`. T is 1 for a step, and
    any number, also 0, for a state.
    """

    state: "Callable[..., State]"
    """`state(parameters, *inputs, weights)` returns the state after these tokens."""
    step: Callable[..., Step]
    """`step(parameters, setting, weights)` returns the step of one token."""
    work: Callable[..., Work]
    """`work(parameters, setting)` returns the FLOPs of one step, over batch and heads."""
    refusal: Callable[..., str | None] = _decodes
    """`refusal(parameters)` returns why the mechanism does not decode with these parameters, or None."""

    def program(
        self, parameters: Parameters, setting: Setting, weights: "tuple[Tensor, ...]", earlier: "tuple[Tensor, ...]"
    ) -> "Program":
        """Return the step after `earlier` tokens.

        A call reads the state of these tokens and writes the next one into another buffer, so that all calls do the
        same work.
        """
        import torch

        from attnbench.variants.kernels import Program

        with torch.no_grad():
            before = self.state(parameters, *earlier, weights)
        after = tuple(map(torch.zeros_like, before))
        step = self.step(parameters, setting, weights)

        def call(*inputs: "Tensor") -> "Tensor":
            """Map the inputs of one token to its output."""
            return step(before, after, *inputs)

        return Program(call, state=after, state_bytes=sum(each.nbytes for each in before))
