"""Identity: every token stays as it is. It is the floor: what a layer costs that only copies its input.

    y_i = x_i

Cost: no FLOPs; N C numbers are read and written.

Source: the floor of any layer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Identity(Parameters):
    """It has no parameters."""


def reference(parameters: Identity, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Return the tokens `B R C` at `rows`."""
    del parameters, weights
    return x[:, rows]


def work(parameters: Identity, setting: Setting) -> Work:
    """Count nothing."""
    del parameters, setting
    return Work(0)


def build(parameters: Identity, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del parameters, setting, weights

    def copy(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to themselves."""
        return x.clone()

    return Program(copy)


VARIANT = Variant(
    Identity,
    source="the floor of any layer",
    family="floor",
    build=build,
    reference=reference,
    work=work,
    level="layer",
)
