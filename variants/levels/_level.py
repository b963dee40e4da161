"""Level: what stands around one mechanism, or around several layers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from attnbench.variants import _kinds
from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import Setting, Shape

if TYPE_CHECKING:
    from torch import Generator, Tensor

Attend = Callable[..., "Tensor"]
"""What lies within a level: attention, from queries `B H N D`, keys and values `B K N D` to outputs `B H N D`, or a
layer, from tokens `B N C` to tokens `B N C`. If the level has a bias, attention takes its table after the values."""
Predict = Callable[..., int]
"""Function of a direction that predicts the peak bytes of one call of a mechanism alone: that of the first place in the
level, or of the place with this number."""
Update = Callable[["Sequence[Tensor | None]"], None]
"""Function that changes learned weights, given their gradients."""


@dataclass(frozen=True)
class Level(Parameters):
    """What stands around one mechanism, or around several layers, with its parameters. A level subclasses it."""

    integers: ClassVar[bool] = False
    """Whether its inputs are integers, which have no gradient."""

    def brief(self, name: str) -> str:
        """Return its text for readers, as that of a setting."""
        return _kinds.written(name, self)

    @property
    def depth(self) -> int:
        """The number of mechanisms in it. Each has its own weights."""
        return 1

    @property
    def inner(self) -> "Level":
        """The level around each mechanism: itself, unless it holds layers."""
        return self

    @property
    def has_bias(self) -> bool:
        """Whether it adds a bias to the scores of its mechanism: a[h, clip(j - i, -R, R)], from a table a."""
        return False

    @property
    def crosses(self) -> bool:
        """Whether the keys of its mechanism are those of another sequence than its queries."""
        return False

    def keys(self, shape: Shape) -> int:
        """Return the number of keys of its mechanism."""
        return shape.seq_len

    def mechanism(self, parameters: Parameters) -> Parameters:
        """Return the parameters of its mechanism, given those that a case names."""
        return parameters

    def mismatch(self, parameters: Parameters) -> str | None:
        """Return why it cannot hold a mechanism with the parameters that `mechanism` returned, or None."""
        del parameters
        return None

    def places(self, shape: Shape) -> "tuple[tuple[Level, Shape], ...]":
        """Return the level around each mechanism, and the shape there."""
        return ((self.inner, shape),) * self.depth

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the size of each input of a call, and then that of the output."""
        raise NotImplementedError

    def draw(self, shape: Shape, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw the inputs, and then the gradient of the output, on the CPU: standard normal float32 numbers."""
        import torch

        return tuple(torch.randn(*each, generator=generator) for each in self.sizes(shape))

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw the level's own weights, as a variant's `weights` does, without those of the layers in it."""
        raise NotImplementedError

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Return the output, computed in the dtype of the weights. `within` are its mechanisms or its layers."""
        raise NotImplementedError

    def project(self, setting: Setting, weights: "tuple[Tensor, ...]", x: "Tensor", first: int) -> "tuple[Tensor, ...]":
        """Return what a layer gives its mechanism of some tokens, the first of which has the position `first`."""
        raise NotImplementedError

    def update(self, learned: "Sequence[Tensor]") -> "tuple[Update, tuple[Tensor, ...]] | None":
        """Return what a call in the direction `training` does after gradients, and all that this changes; or None."""
        del learned
        return None

    def flops(self, setting: Setting) -> int:
        """Return the FLOPs of one call in the setting's direction, without those of what lies within."""
        raise NotImplementedError

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Return the peak bytes that one call will allocate, given those of a mechanism alone."""
        raise NotImplementedError

    def at(self, n: int) -> Self:
        """Return the level with no other sequence longer than n."""
        del n
        return self

    def fitted(self, widths: Collection[int], batches: Collection[int]) -> Self:
        """Return the level without parameters that the shapes decide.

        Raises:
            ValueError: it does not exist at one of the widths of tokens, H D, or of the batches.
        """
        del widths, batches
        return self

    @property
    def length(self) -> int | None:
        """N, if the level fixes it."""
        return None

    def beside(self, learned: int, shape: Shape) -> Self:
        """Return the level around layers with so many learned numbers each."""
        del learned, shape
        return self

    def refusal(self, setting: Setting) -> str | None:
        """Return why the level does not exist in a setting, or None."""
        del setting
        return None
