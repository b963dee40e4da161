"""The setting of a measurement, its shape and its work. Times of two cases compare only if their settings are equal."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from attnbench.variants import _padding
from attnbench.variants._padding import NO_PADDING
from attnbench.variants._parameters import axis

Layout = Literal["bhnd", "bnhd"]
"""The order of a tensor's axes in memory; the last axis is contiguous."""

_MOST = 2**56
"""Most numbers of a tensor: the bytes of several such tensors still fit a 64-bit integer."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the tensors of one attention call.

    Queries and outputs are `B H N D` (batch, heads, seq_len, head_dim); keys and values are `B K N D` with
    `K = kv_heads`. Query head h reads key head `h // (H / K)` (grouped-query attention, Ainslie et al. 2023,
    arXiv 2305.13245, section 2); K = H is ordinary multi-head attention.

    Tensors are indexed `B H N D` in either layout. In `bhnd` they are contiguous; in `bnhd` each token's heads lie
    together, as the projections of a layer leave them.

    With a `padding`, the text of a `Padding`, the batch has sequences of different lengths. Each fills the first of its
    N places; the others are 0 in all tensors, and they are neither queries nor keys.

    Raises:
        ValueError: a size is below 1, a tensor is larger than any memory, `kv_heads` does not divide `heads`, the
            layout does not exist, or the padding is not the text of one or has a length above N.
    """

    batch: int = axis("B, the sequences in a batch.", maximum=2**16, usual=1)
    heads: int = axis("H, the query heads.", maximum=2**16, usual=8)
    kv_heads: int = axis(
        "The heads of keys and values, each a divisor of every number of heads; null: as many as heads.", maximum=2**16
    )
    seq_len: int = axis("N, the sequence length.", maximum=2**24)
    head_dim: int = axis("D, the width of a head.", maximum=2**16, usual=64)
    layout: Layout = axis(
        "The order in memory: bhnd is contiguous, in bnhd each token's heads lie together.", default="bhnd"
    )
    padding: str = axis(
        "How long the sequences of a batch are, each in the first of its N places; null: all have N tokens.",
        default=NO_PADDING,
    )

    def __post_init__(self) -> None:
        for name in ("batch", "heads", "kv_heads", "seq_len", "head_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.batch * self.heads * self.seq_len * self.head_dim > _MOST:
            raise ValueError(f"expected sizes of a tensor of at most {_MOST} numbers, found larger ones")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: expected a divisor of heads={self.heads}, found {self.kv_heads}")
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout: expected one of {', '.join(get_args(Layout))}, found {self.layout!r}")
        found = _padding.read(self.padding)
        if found and max(found.lengths, default=1) > self.seq_len:
            raise ValueError(f"padding: expected lengths of at most seq_len={self.seq_len}, found {max(found.lengths)}")

    @classmethod
    def of(cls, axes: Mapping[str, Any]) -> Self:
        """Return the shape with the sizes in `axes`; other entries are ignored, sizes with a default may be missing."""
        return cls(**{each.name: axes[each.name] for each in fields(cls) if each.name in axes})

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """The length of each sequence of a padded batch; None if it is not padded."""
        found = _padding.read(self.padding)
        return found.of(self.batch, self.seq_len) if found else None

    def at(self, seq_len: int) -> "Shape":
        """Return the same shape at another length; exact lengths of a padded batch keep their share of it."""
        found = _padding.read(self.padding)
        padding = str(found.scaled(self.seq_len, seq_len)) if found else self.padding
        return replace(self, seq_len=seq_len, padding=padding)


Dtype = Literal["float32", "float16", "bfloat16", "float64"]
Device = Literal["cpu", "cuda"]
Direction = Literal["forward", "backward", "training", "decode"]
"""`forward` without gradients; `backward` alone; `training` is forward and backward; `decode` is one more token."""
DECODE: Direction = "decode"
Threads = Literal["auto"] | int
ATTENTION = "attention"
"""The level at which the mechanism is alone, from queries, keys and values to outputs."""

ONE_CLASS = "one"
"""Stands for the hardware of a run that has one class of it, or of a suite."""

MOST_THREADS = 4096
MOST_RANKS = 64


@dataclass(frozen=True)
class Named:
    """A mechanism's name with its parameters, as a case holds it; pairs are tuples."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items()))))


@dataclass(frozen=True)
class Setting:
    """Shape, dtype, device, direction, CPU threads and level of a call.

    A field that was added after the first version has a default. A case's key leaves it out while it has its default,
    so the cases of older runs keep their keys.

    Raises:
        ValueError: the number of threads is out of range, or there is no such level.
    """

    device: Device = axis("Where to compute.", usual="cpu")
    dtype: Dtype = axis("The type of queries, keys, values and outputs.", usual="float32")
    direction: Direction = axis(
        "forward without gradients, backward alone, training: both, or decode: one token after N - 1 others.",
        usual="forward",
    )
    shape: Shape = axis("The sizes of the tensors.")
    threads: Threads = axis(
        "CPU threads of one call; auto: the physical cores that the process may use.",
        maximum=MOST_THREADS,
        usual="auto",
    )
    level: str = axis(
        "What is measured: attention alone, or what stands around it, such as a layer with its projections.",
        default=ATTENTION,
    )
    world: int = axis(
        "Processes that share the sequence of a call, with one thread each; above 1 for context_parallel.",
        default=1,
        maximum=MOST_RANKS,
    )
    hardware: str = axis(
        "The class of the machines, in a run of several classes; a suite does not name it.", default=ONE_CLASS
    )

    def __post_init__(self) -> None:
        if isinstance(self.threads, int) and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads: expected an integer from 1 to {MOST_THREADS}, found {self.threads}")
        if not 1 <= self.world <= MOST_RANKS:
            raise ValueError(f"world: expected an integer from 1 to {MOST_RANKS}, found {self.world}")
        if self.level != ATTENTION:
            from attnbench.variants import levels  # a level needs this module

            levels.read(self.level)

    @property
    def given(self) -> Shape:
        """The shape of what a call is given: that of one token in `decode`."""
        return self.shape.at(1) if self.direction == DECODE else self.shape

    def at(self, seq_len: int) -> "Setting":
        """Return the same setting at another length."""
        return replace(self, shape=self.shape.at(seq_len))

    def flat(self) -> dict[str, Any]:
        """Return every axis by its name, with those of the shape: the columns of a table."""
        mine = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for each, found in mine.items() for name, value in _axes(each, found).items()}

    @classmethod
    def of(cls, axes: Mapping[str, Any]) -> "Setting":
        """Return the setting of a `flat` result; other entries are ignored, axes with a default may be missing."""
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

WRITTEN = tuple(name for name in AXES if name != "hardware")
"""The axes that a suite has. A run adds the others to its cases."""

DEFAULTS: Mapping[str, Any] = {
    each.name: each.default for each in (*fields(Shape), *fields(Setting)) if each.default is not MISSING
}
"""The default of each axis that was added later; a case with the default has the same name and key as before."""

DTYPES: tuple[Dtype, ...] = get_args(Dtype)
DEVICES: tuple[Device, ...] = get_args(Device)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


FLOPS_PER_PAIR = {"forward": 4, "backward": 8, "training": 12, "decode": 4}
"""FLOPs for each allowed pair of query and key by direction, in multiples of the head width.

There are two matrix products forward and four backward, each with a multiplication and an addition. `decode` has the
forward ones.
"""


@dataclass(frozen=True)
class Work:
    """Work of one call in the setting's direction, over batch and heads."""

    flops: int
    allowed_pairs: int | None = None
    """Allowed pairs of query and key; None for a mechanism that is not a pattern."""


def of_products(flops: int, direction: str, fixed_flops: int = 0) -> Work:
    """Return the work of matrix products from their forward FLOPs; backward has two products for each.

    `fixed_flops` are those of products with a factor that has no gradient; backward has one product for each.
    """
    forward, backward = direction != "backward", direction in ("backward", "training")
    return Work(flops * (forward + 2 * backward) + fixed_flops * (forward + backward))
