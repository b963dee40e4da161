"""The size of one attention call."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from attnbench.variants._parameters import axis

Layout = Literal["bhnd", "bnhd"]
"""The order in which the numbers of a tensor lie in memory, the last axis closest together."""

_MOST = 2**56
"""Numbers of a tensor: what many of them take in bytes is still a 64-bit integer."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the tensors of one attention call.

    Queries and outputs are `B H N D` (batch, heads, seq_len, head_dim); keys and values are `B K N D` with
    `K = kv_heads`. Query head h reads key head `h // (H / K)` (grouped-query attention, Ainslie et al. 2023,
    arXiv 2305.13245, section 2); K = H is ordinary multi-head attention.

    Whatever their layout, tensors are indexed `B H N D`. In `bhnd` they are contiguous; in `bnhd` each token's heads
    lie together, as the projections of a layer leave them.

    Raises:
        ValueError: a size is below 1, a tensor is larger than any memory, `kv_heads` does not divide `heads`, or there
            is no such layout.
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

    @classmethod
    def of(cls, axes: Mapping[str, Any]) -> Self:
        """The shape of these sizes; what else `axes` holds is ignored, and sizes with a default may be missing."""
        return cls(**{each.name: axes[each.name] for each in fields(cls) if each.name in axes})

    def at(self, seq_len: int) -> "Shape":
        """The same shape at another length."""
        return replace(self, seq_len=seq_len)
