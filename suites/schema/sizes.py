"""The sizes that a suite measures at."""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Discriminator, Tag, ValidationInfo, field_validator

from attnbench.suites.schema.values import (
    TAG,
    As,
    Model,
    annotated,
    branch,
    expected,
    integer,
    many,
    one,
    one_of,
    one_or_more,
    scalar,
    union,
)
from attnbench.variants import Layout

LONGEST_POWER = 24
"""The longest sequence is 2 to this power."""

_WIDTH = one_or_more(integer(1, 2**16))


class Powers(Model):
    """Powers of two: `{pow2: [9, 14]}` is 512, 1024, ... 16384."""

    pow2: Annotated[tuple[int, ...], As(tuple[(scalar(integer(0, LONGEST_POWER)),) * 2])]
    """The first and the last exponent."""

    @field_validator("pow2")
    @classmethod
    def _ascend(cls, pow2: tuple[int, ...]) -> tuple[int, ...]:
        if pow2[0] > pow2[1]:
            raise expected("exponents in ascending order", instead=f"{pow2[0]} before {pow2[1]}")
        return pow2


def _lengths(value: object) -> str:
    """The branch of `seq_len` that a value belongs to."""
    return f"{TAG}powers" if isinstance(value, Mapping) else branch(value)


_LENGTH = integer(1, 2**LONGEST_POWER)
_LENGTHS = annotated(
    union(one(_LENGTH), many(_LENGTH), annotated(Powers, Tag(f"{TAG}powers"))), Discriminator(_lengths)
)


class Sizes(Model):
    """The sizes of queries `B H N D`; every combination is measured."""

    batch: Annotated[tuple[int, ...], As(_WIDTH)] = (1,)
    """B, the sequences in a batch."""
    heads: Annotated[tuple[int, ...], As(_WIDTH)] = (8,)
    """H, the query heads."""
    kv_heads: Annotated[tuple[int, ...] | None, As(_WIDTH | None)] = None
    """The heads of keys and values, each a divisor of every number of heads; null: as many as heads."""
    head_dim: Annotated[tuple[int, ...], As(_WIDTH)] = (64,)
    """D, the width of a head."""
    seq_len: Annotated[tuple[int, ...], As(_LENGTHS)]
    """N, the sequence length."""
    layout: Annotated[tuple[Layout, ...], As(one_or_more(one_of(get_args(Layout))))] = ("bhnd",)
    """The order in memory: bhnd is contiguous, in bnhd each token's heads lie together."""

    @field_validator("kv_heads")
    @classmethod
    def _divide(cls, kv_heads: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        for few in kv_heads or ():
            for all_of_them in info.data.get("heads", ()):
                if all_of_them % few:
                    raise expected(f"a divisor of heads = {all_of_them}", instead=str(few))
        return kv_heads

    @field_validator("seq_len")
    @classmethod
    def _powers(cls, seq_len: "tuple[int, ...] | Powers") -> tuple[int, ...]:
        if isinstance(seq_len, Powers):
            return tuple(2**power for power in range(seq_len.pow2[0], seq_len.pow2[1] + 1))
        return seq_len
