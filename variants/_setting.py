"""The setting of a measurement: what two cases must share so that their times may be compared."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from attnbench.variants._parameters import axis
from attnbench.variants._shape import Shape

Dtype = Literal["float32", "float16", "bfloat16", "float64"]
Device = Literal["cpu", "cuda"]
Direction = Literal["forward", "backward", "training"]
"""`forward` without gradients; `backward` alone; `training` is forward and backward."""
Threads = Literal["auto"] | int
Level = Literal["attention"]
"""What is measured around a mechanism: `attention` alone, from queries, keys and values to outputs."""

MOST_THREADS = 4096


@dataclass(frozen=True)
class Named:
    """A name with its parameters: a mechanism as a case holds it. Pairs are tuples."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items()))))


@dataclass(frozen=True)
class Setting:
    """Shape, dtype, device, direction, CPU threads and level of a call.

    A field that was added after the first version has a default, and is in no case's key while it has that value: so
    the cases of older runs keep their keys.

    Raises:
        ValueError: a value is none that a setting can have.
    """

    device: Device = axis("Where to compute.", usual="cpu")
    dtype: Dtype = axis("The type of queries, keys, values and outputs.", usual="float32")
    direction: Direction = axis("Without gradients, the gradients alone, or both.", usual="forward")
    shape: Shape = axis("The sizes of the tensors.")
    threads: Threads = axis(
        "CPU threads of one call; auto: as many as there are physical cores, or fewer where the process may use fewer.",
        maximum=MOST_THREADS,
        usual="auto",
    )
    level: Level = axis(
        "What is measured: attention alone, from queries, keys and values to outputs.", default="attention"
    )

    def __post_init__(self) -> None:
        if isinstance(self.threads, int) and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads: expected an integer from 1 to {MOST_THREADS}, found {self.threads}")

    def at(self, seq_len: int) -> "Setting":
        """The same setting at another length."""
        return replace(self, shape=self.shape.at(seq_len))

    def flat(self) -> dict[str, Any]:
        """Every axis by its name, those of the shape among them: the columns of a table."""
        mine = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for each, found in mine.items() for name, value in _axes(each, found).items()}

    @classmethod
    def of(cls, axes: Mapping[str, Any]) -> "Setting":
        """The setting that `flat` wrote; what else `axes` holds is ignored, and axes with a default may be missing."""
        told = {each.name: axes[each.name] for each in fields(cls) if each.name in axes and each.name != "shape"}
        return cls(shape=Shape.of(axes), **told)


def _axes(name: str, value: Any) -> dict[str, Any]:
    return asdict(value) if isinstance(value, Shape) else {name: value}


AXES: tuple[str, ...] = tuple(
    name
    for each in fields(Setting)
    for name in ([inner.name for inner in fields(Shape)] if each.name == "shape" else [each.name])
)
"""The names of all axes, in the order of a table's columns."""

DEFAULTS: Mapping[str, Any] = {
    each.name: each.default for each in (*fields(Shape), *fields(Setting)) if each.default is not MISSING
}
"""The value of each axis that was added later: a case that has it is named and keyed as before."""

DTYPES: tuple[Dtype, ...] = get_args(Dtype)
DEVICES: tuple[Device, ...] = get_args(Device)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
