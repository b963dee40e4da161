"""A case: one fully determined point of a suite."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any, Literal, Self

from attnbench import variants
from attnbench.suites.fields import Choice, Name, Range, read
from attnbench.variants import Pattern, Shape

Direction = Literal["forward", "backward", "training"]
"""`forward` without gradients; `backward` alone; `training` is forward and backward."""
DTYPES = ("float32", "float16", "bfloat16", "float64")
DEVICES = ("cpu", "cuda")
Threads = Annotated[int, Range(1, 4096)]


@dataclass(frozen=True)
class Case:
    """Variant, parameters, implementation, shape, dtype, device, direction and threads as written.

    `parameters` holds every parameter of the variant, defaults included; pairs are tuples.
    """

    variant: Name
    parameters: Mapping[str, Any]
    implementation: Name
    shape: Shape
    dtype: Annotated[str, Choice(DTYPES)]
    device: Annotated[str, Choice(DEVICES)]
    direction: Direction
    threads: Threads | Literal["auto"]

    @cached_property
    def key(self) -> str:
        """A hash of everything above: joins rows within a run and between runs."""
        told = self.to_json()
        if self.shape.layout == Shape.layout:
            # So the usual layout has the keys of runs and revisions that knew no other.
            del told["layout"]
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def pattern(self) -> Pattern:
        """Which keys each query may see."""
        return variants.load(self.variant).pattern(**self.parameters)

    @property
    def label(self) -> str:
        """The mechanism: `local_window(window=257)`, parameters at their defaults left out."""
        defaults = {each.name: each.default for each in fields(self.pattern)}
        told = [f"{name}={written(value)}" for name, value in self.parameters.items() if value != defaults[name]]
        return f"{self.variant}({', '.join(told)})" if told else self.variant

    @property
    def title(self) -> str:
        """The whole case in one line, for people; the layout is told where it is not the usual one."""
        setting = [f"N={self.shape.seq_len}", self.dtype, self.device, self.direction]
        setting += [self.shape.layout] if self.shape.layout != Shape.layout else []
        return f"{self.label}/{self.implementation} {' '.join(setting)}"

    @property
    def group(self) -> tuple[Any, ...]:
        """What cases must share to be timed against each other: shape, dtype, device, direction, threads."""
        return (self.shape, self.dtype, self.device, self.direction, self.threads)

    @property
    def family(self) -> tuple[Any, ...]:
        """Everything but the length: a longer case of a family costs more."""
        parameters = json.dumps(dict(self.parameters), sort_keys=True)
        group = (self.shape.at(1), self.dtype, self.device, self.direction, self.threads)
        return (self.variant, parameters, self.implementation, *group)

    def to_json(self) -> dict[str, Any]:
        """The case as flat JSON fields."""
        return {
            "variant": self.variant,
            "parameters": dict(self.parameters),
            "implementation": self.implementation,
            **asdict(self.shape),
            "dtype": self.dtype,
            "device": self.device,
            "direction": self.direction,
            "threads": self.threads,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The case that `to_json` wrote; further fields are ignored. Older rows tell no layout: it is the usual one."""
        row = {"layout": Shape.layout, **row, "parameters": _paired(row["parameters"])}
        shape = Shape(**{each.name: row[each.name] for each in fields(Shape)})
        return cls(shape=shape, **{each.name: row[each.name] for each in fields(cls) if each.name != "shape"})

    @classmethod
    def read(cls, row: Any) -> Self:
        """The same of what others wrote.

        Raises:
            ValueError: it is none; the first field that is wrong is named.
        """
        case = read(cls, {**row, "shape": read(Shape, row)} if isinstance(row, dict) else row)
        return replace(case, parameters=_paired(case.parameters))


def grouped(cases: Iterable[Case]) -> list[list[Case]]:
    """The cases by what they must share to be timed against each other, in a fixed order."""

    def by_group(case: Case) -> str:
        return repr(case.group)

    return [list(group) for _, group in groupby(sorted(cases, key=by_group), key=by_group)]


def _paired(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with their pairs as tuples, which JSON has as lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in dict(parameters).items()}


def written(value: Any) -> str:
    """A parameter's value as a suite writes it, but for a pair: `7x7`, without the blank that would split a word."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
