"""The shapes that a suite measures."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationInfo, create_model, field_validator

from attnbench.suites.schema.choices import axes
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
    scalar,
    union,
)
from attnbench.variants import Shape

LONGEST_POWER = 24
"""The longest sequence is 2 to this power."""


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


class _Sizes(Model):
    """The sizes of queries `B H N D`; every combination is measured."""

    @field_validator("kv_heads", check_fields=False)
    @classmethod
    def _divide(cls, kv_heads: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        for few in kv_heads or ():
            for all_of_them in info.data.get("heads", ()):
                if all_of_them % few:
                    raise expected(f"a divisor of heads = {all_of_them}", instead=str(few))
        return kv_heads

    @field_validator("seq_len", check_fields=False)
    @classmethod
    def _powers(cls, seq_len: "tuple[int, ...] | Powers") -> tuple[int, ...]:
        if isinstance(seq_len, Powers):
            return tuple(2**power for power in range(seq_len.pow2[0], seq_len.pow2[1] + 1))
        return seq_len


def _keys() -> dict[str, Any]:
    """The axes of a shape; key heads may be null, and lengths may be powers of two."""
    known = axes(Shape)
    kv_heads, seq_len = known["kv_heads"], known["seq_len"]
    known["kv_heads"] = kv_heads[0] | None, Field(default=None, description=kv_heads[1].description)
    known["seq_len"] = _LENGTHS, seq_len[1]
    return known


Sizes: Any = create_model("Sizes", __base__=_Sizes, __doc__=_Sizes.__doc__, **_keys())
