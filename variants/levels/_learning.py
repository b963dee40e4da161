"""What levels have in common at which models learn: the data, the steps, and the learning rate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from attnbench.variants import _kinds, tasks
from attnbench.variants._parameters import parameter
from attnbench.variants._setting import Setting, Shape
from attnbench.variants.levels.encoder import Encoder, width_of
from attnbench.variants.tasks import Data, Form

OTHERS = "others"
"""The name of the learning rate of variants that have none of their own."""


def spelled_rates(rates: Mapping[str, float]) -> str:
    """Return learning rates by variant as a level holds them."""
    return " ".join(f"{name}:{rate:g}" for name, rate in rates.items())


@dataclass(frozen=True)
class Learning(Encoder):
    """An encoder, or more, with the tokens and targets of some data, and how it is trained."""

    data: str = parameter("what it learns: a name, or a mapping from one to its parameters", default="digits")
    batch: int | None = parameter("sequences of a step; null: shape.batch, and no other", default=None, minimum=1)
    steps: int = parameter("steps of the optimiser", default=400, minimum=1)
    lr: float | str = parameter("the highest learning rate, or one for each variant and others", default=0.003)
    search: str | None = parameter(
        "learning rates to choose from by the score on validation with a seed of its own; null: lr", default=None
    )

    reach: bool = parameter("also measure how far trained models look, layer by layer", default=False)

    @cached_property
    def source(self) -> Data:
        """Where examples come from."""
        return tasks.read(self.data)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return self.source.form

    @property
    def length(self) -> int:
        """N, which the data fixes."""
        return self.form.seq_len

    def rate(self, variant: str) -> float:
        """Return the highest learning rate of a variant's models, if none is searched."""
        if not isinstance(self.lr, str):
            return self.lr
        rates = dict(each.split(":") for each in self.lr.split())
        return float(rates.get(variant, rates[OTHERS]))

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to choose from; none if they are given."""
        return tuple(map(float, (self.search or "").split()))

    def brief(self, name: str) -> str:
        """Return the level by its data, as in `task(mqar(pairs=32))`, without a search and rates of single variants."""
        rate = 0.0 if isinstance(self.lr, str) else self.lr
        shown = replace(self, data=type(self).data, search=None, lr=rate or type(self).lr)
        return f"{name}({', '.join([self.data, *_kinds.changed(shown)])})"

    def fitted(self, widths: Collection[int], batches: Collection[int]) -> Self:
        """Return the level without its width and its batch, which must be each of `batches`."""
        for batch in batches:
            if self.batch not in (None, batch):
                raise ValueError(f"expected batch = shape.batch = {batch}, found {self.batch}; leave it out")
        return replace(super().fitted(widths, batches), batch=None)

    def beside(self, learned: int, shape: Shape) -> Self:
        """Return the level for layers with so many learned numbers each, with another width of their networks."""
        width, keys = width_of(shape), shape.kv_heads * shape.head_dim
        attention = 2 * (width + 1) * (width + keys)
        hidden = round(self.mlp * width) + round((attention - learned) / (2 * width + 1))
        return replace(self, mlp=max(hidden, 1) / width)

    def refusal(self, setting: Setting) -> str | None:
        """Refuse what is not trained, and data that is not here."""
        if setting.direction != "training":
            return f"a task is trained, found {setting.direction}"
        return self.source.missing(tasks.folder()) or super().refusal(setting)
