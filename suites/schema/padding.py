"""Type of the padding of a batch in a suite: null, a mapping with lists as grids, or a list of these.

It becomes a tuple of paddings as a shape holds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import chain, product
from types import GenericAlias
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WrapValidator,
)

from attnbench.suites.problem import found
from attnbench.suites.schema.kinds import LARGEST, Share, integer, integers, mapping, one_or_more, union
from attnbench.variants import NO_PADDING, Padding, Shape, _padding

_LONGEST = next(each.metadata["maximum"] for each in fields(Shape) if each.name == "seq_len")
_KEYS: dict[str, Any] = {
    "least": Annotated[
        one_or_more(Share),
        Field(description="Lengths are drawn uniformly from this share of N to N, one for each sequence."),
    ],
    "seed": Annotated[
        one_or_more(integer(0, LARGEST)),
        Field(description="The seed of drawn lengths.", json_schema_extra={"default": 0}),
    ],
    "lengths": Annotated[
        one_or_more(integers(1, _LONGEST)),
        Field(description="Exact lengths instead, repeated over the batch. A list of lists makes several paddings."),
    ],
}
_EITHER = [{"required": ["least"]}, {"required": ["lengths"], "not": {"required": ["seed"]}}]


def _grid(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paddings of a mapping's grid, or raise if its keys do not fit together."""
    if given.keys() >= {"lengths", "seed"}:
        raise ValueError("expected no seed beside lengths, which are not drawn, found one")
    try:
        return tuple(str(Padding(**dict(zip(given, point, strict=True)))) for point in product(*given.values()))
    except ValueError as error:
        raise ValueError(str(error).removeprefix("padding: ")) from None


def _or_null(value: Any, read: Any) -> tuple[str, ...]:
    """Return what `read` makes of a mapping, or no padding for null."""
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping such as {{least: 0.5}}, or null, {found(value)}")
    made: tuple[str, ...] = (NO_PADDING,) if value is None else read(value)
    return made


def _listed(value: Any) -> Any:
    """Return one padding as a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _fitting(held: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the paddings if no exact length is above any N of the suite, or raise."""
    shortest = min(info.data.get("seq_len") or [_LONGEST])
    longest = max((length for each in held for length in getattr(_padding.read(each), "lengths", ())), default=1)
    if longest > shortest:
        raise ValueError(f"expected lengths of at most the shortest seq_len, {shortest}, found {longest}")
    return held


def _spelled(held: Sequence[str]) -> list[dict[str, Any] | None]:
    """Return paddings as a suite writes them."""
    read = [_padding.read(each) for each in held]
    return [{name: value for name, value in asdict(each).items() if value} if each else None for each in read]


_MAPPING: Any = Annotated[mapping("padding", _KEYS, oneOf=_EITHER), AfterValidator(_grid)]
_ONE: Any = Annotated[_MAPPING, WrapValidator(_or_null, json_schema_input_type=union(_MAPPING, None))]
_MANY: Any = Annotated[GenericAlias(list, (_ONE,)), Field(min_length=1)]
Paddings: Any = Annotated[
    GenericAlias(tuple, (_ONE, ...)),
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=union(_ONE, _MANY)),
    AfterValidator(lambda given: tuple(dict.fromkeys(chain.from_iterable(given)))),
    AfterValidator(_fitting),
    PlainSerializer(_spelled),
]
