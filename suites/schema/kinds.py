"""Types of a suite's values for pydantic. Types that are used in many places have names."""

import types
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationInfo,
    with_config,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypeAliasType, TypedDict

from attnbench.variants import WRITTEN, VariantError

LARGEST = 2**31 - 1
"""The largest integer of a suite. The product of two fits into 64 bits."""
COMPARISON = r"^(>|>=|<|<=|!=|==?) ?(-?[0-9]{1,10}(\.[0-9]{1,10})?)$"
"""Comparison that an exclusion may have instead of a number: a sign and a number."""
IN_FOLDER = "a file in the folder of the suite or below it, such as "
_PART = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"
"""Name of a folder or a file. It does not begin with a dot, and has no control characters."""


def below(ending: str = "") -> str:
    """Return the pattern of the paths of files in a folder or below it, whose names have this ending."""
    return rf"^({_PART}/)*{_PART}{ending}$"


class Model(BaseModel):
    """A mapping of a suite: no other keys than its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Late:
    """Reader of a field whose type is made at the time of use, because the set of variants can grow.

    A value in a record is read by `stored` instead, if that is given: its variants may not be here. Only suites are
    read with a context.
    """

    def __init__(self, make: Callable[[], TypeAdapter[Any]], stored: Callable[[Any], Any] | None = None) -> None:
        self.make, self.stored = make, stored

    def read(self, value: Any, info: ValidationInfo) -> Any:
        """Return the value in its type."""
        if self.stored is not None and info.context is None:
            return self.stored(value)
        return self.make().validate_python(value)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.make().core_schema)


def mapping(name: str, keys: Mapping[str, Any], **rules: Any) -> Any:
    """Make a mapping type that allows these keys and no others. Keys are optional unless their type is `Required`.

    `rules` are added to its JSON Schema.
    """
    made: Any = TypedDict(name, keys, total=False)  # type: ignore[misc]  # its keys are only known at run time
    return with_config(ConfigDict(extra="forbid", json_schema_extra=rules))(made)


def _odd(value: int) -> int:
    """Return the value if it is odd, or raise."""
    if value % 2 == 0:
        raise PydanticCustomError("odd", "expected an odd number")
    return value


def _named(name: str, kind: Any) -> Any:
    """Give a type a name. The JSON Schema then contains it only once."""
    return TypeAliasType(name, kind)


Text = _named("text", StrictStr)
Flag = _named("flag", StrictBool)
File = _named(
    "file", Annotated[StrictStr, pydantic.Field(pattern=below(), max_length=255, title=f'{IN_FOLDER}"data/edges.txt"')]
)
Share = _named("share", Annotated[StrictFloat, pydantic.Field(gt=0, le=1, title="a number above 0, at most 1")])
Compared = _named(
    "comparison", Annotated[StrictStr, pydantic.Field(pattern=COMPARISON, title='a comparison such as "> 4096"')]
)


@cache
def integer(low: int | None, high: int | None, *, odd: bool = False) -> Any:
    """Return the type of integers within bounds, both included. None means no bound."""
    rules = pydantic.Field(ge=low, le=high, json_schema_extra={"not": {"multipleOf": 2}} if odd else None)
    kind: Any = Annotated[StrictInt, rules, AfterValidator(_odd)] if odd else Annotated[StrictInt, rules]
    begin = "" if low is None else f"_from_{low}"
    end = "" if high in (None, LARGEST) else f"_to_{high}"
    return _named(f"{'odd_' if odd else ''}integer{begin}{end}", kind)


@cache
def number(low: float | None, high: float | None) -> Any:
    """Return the type of numbers within bounds, both included. None means no bound."""
    name = "number" if low is None else f"number_from_{low}_to_{high}"
    return _named(name, Annotated[StrictFloat, pydantic.Field(ge=low, le=high)])


@cache
def pair(low: int | None, high: int | None, *, odd: bool = False) -> Any:
    """Return the type of a list of two integers, which is a single value."""
    side = integer(low, high, odd=odd)
    words = f"a list of two {'odd ' if odd else ''}integers{'' if low is None else f' from {low} to {high}'}"
    kind: Any = types.GenericAlias(tuple, (side, side))
    return _named(f"pair_of_{side.__name__}", Annotated[kind, pydantic.Field(title=words)])


@cache
def integers(low: int | None, high: int | None, *, odd: bool = False) -> Any:
    """Return the type of a list of integers, which is a single value."""
    each = integer(low, high, odd=odd)
    words = f"a list of {'odd ' if odd else ''}integers{'' if low is None else f' from {low} to {high}'}"
    kind: Any = types.GenericAlias(tuple, (each, ...))
    return _named(f"list_of_{each.__name__}", Annotated[kind, pydantic.Field(min_length=1, title=words)])


@cache
def one_of(name: str, *choices: Any, title: str | None = None) -> Any:
    """Return the type of a few names or numbers; errors show `title` instead of a list of them."""

    def exact(value: Any) -> Any:
        if isinstance(value, bool) and not any(value is choice for choice in choices):
            raise PydanticCustomError("flag", "expected no flag")
        return value

    exactly = BeforeValidator(exact, json_schema_input_type=Literal[choices])
    return _named(name, Annotated[Literal[choices], exactly, pydantic.Field(title=title)])


def kinds(each: "Field[Any]") -> tuple[Any, ...]:
    """Return the types of a parameter or an axis from its dataclass."""
    return get_args(each.type) if get_origin(each.type) in (Union, types.UnionType) else (each.type,)


def values(each: "Field[Any]", *, bounded: bool = True) -> tuple[Any, ...]:
    """Return the types of one value of a parameter or an axis in a suite, with bounds if `bounded`.

    Raises:
        VariantError: a suite cannot write the type.
    """
    low, high, odd = (each.metadata.get(name) for name in ("minimum", "maximum", "odd"))
    bounds: Any = (-LARGEST if low is None else low, high or LARGEST) if bounded else (None, None)
    odd = bool(odd and bounded)
    written: dict[Any, Any] = {
        int: integer(*bounds, odd=odd),
        tuple[int, int]: pair(*bounds, odd=odd),
        tuple[int, ...]: integers(*bounds, odd=odd),
        float: number(*bounds),
        bool: Flag,
        str: File if each.metadata.get("digest") else Text,
        types.NoneType: types.NoneType,
    }
    for kind in kinds(each):
        if isinstance(kind, str):
            instead = "remove `from __future__ import annotations`"
            raise VariantError(f"parameter {each.name}: expected a type, found the text {kind!r}; {instead}", each.name)
        if kind not in written and get_origin(kind) is not Literal:
            expected = "int, tuple[int, int], tuple[int, ...], float, bool, str, None or Literal"
            raise VariantError(f"parameter {each.name}: expected {expected}, found {kind!r}", each.name)
    return tuple(written[kind] if kind in written else one_of(each.name, *get_args(kind)) for kind in kinds(each))


@cache
def one_or_more(*kinds: Any) -> Any:
    """Return the type of a value or a list of values. Both become a tuple.

    If all types are lists of integers or null, a list that begins with a number is one value. Otherwise a list is
    several values, and one that is a value must be inside it.
    """
    others = [kind for kind in kinds if not kind.__name__.startswith(("pair_of", "list_of"))]
    only_lists = all(kind is types.NoneType for kind in others)

    def listed(value: Any) -> Any:
        is_list = isinstance(value, list | tuple)
        is_value = is_list and only_lists and bool(value) and isinstance(value[0], int | float)
        return value if is_list and not is_value else (value,)

    one, any_of = union(*(kinds if only_lists else others)), union(*kinds)
    written = union(one, Annotated[types.GenericAlias(list, (any_of,)), pydantic.Field(min_length=1)])
    names = ["null" if kind is types.NoneType else kind.__name__ for kind in kinds]
    many: Any = types.GenericAlias(tuple, (any_of, ...))
    read = BeforeValidator(listed, json_schema_input_type=written)
    return _named("_or_".join([*names, "list"]), Annotated[many, pydantic.Field(min_length=1), read])


def union(*kinds: Any) -> Any:
    """Return the union of the types."""
    return Union[kinds]  # noqa: UP007  # kinds is a tuple, which `|` does not take


def axes(kind: type) -> dict[str, Any]:
    """Return the axes of a shape or a setting as fields of a model: one value, or a list that makes several cases."""
    return {each.name: (one_or_more(*values(each)), _declared(each)) for each in fields(kind) if each.name in WRITTEN}


def _declared(each: "Field[Any]") -> Any:
    usual = each.metadata["usual"]
    default: Any = {} if usual is None else {"default": usual, "validate_default": True}
    return pydantic.Field(description=each.metadata["doc"], **default)
