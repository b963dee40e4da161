"""Value types of a suite: what they accept, their JSON Schema, and their wording in errors."""

import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

TAG = "?"
"""What the names of a union's branches start with, to be told from keys in the path of an error."""


class Model(BaseModel):
    """A mapping of a suite: no other keys than its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Leaf(NamedTuple):
    """One kind of value: its type, its words in errors, the names it takes, if it takes names, and if it is a pair."""

    type: Any
    words: str
    choices: tuple[str, ...] = ()
    is_pair: bool = False


def integer(low: int, high: int, *, odd: bool = False) -> Leaf:
    """An integer within bounds, both included."""
    words = f"an {'odd ' if odd else ''}integer from {low} to {high}"
    if not odd:
        return Leaf(Annotated[StrictInt, Field(ge=low, le=high)], words)
    no_even = Field(ge=low, le=high, json_schema_extra={"not": {"multipleOf": 2}})
    return Leaf(Annotated[StrictInt, no_even, AfterValidator(_odd)], words)


def pair(low: int, high: int, *, odd: bool = False) -> Leaf:
    """A list of two integers within bounds, both included, that together are one value."""
    words = f"a list of two {'odd ' if odd else ''}integers from {low} to {high}"
    side = integer(low, high, odd=odd).type
    return Leaf(types.GenericAlias(tuple, (side, side)), words, is_pair=True)


def number(low: float, high: float) -> Leaf:
    """A number within bounds, both included."""
    return Leaf(Annotated[StrictFloat, Field(ge=low, le=high)], f"a number from {low} to {high}")


def flag() -> Leaf:
    """True or false."""
    return Leaf(StrictBool, "true or false")


def null() -> Leaf:
    """Nothing."""
    return Leaf(None, "null")


def text(words: str, pattern: str | None = None) -> Leaf:
    """Text, of the given form."""
    return Leaf(Annotated[StrictStr, Field(pattern=pattern)], words)


def one_of(choices: Sequence[Any]) -> Leaf:
    """One of a few names or numbers."""
    names = tuple(map(str, choices))
    return Leaf(Literal[tuple(choices)], f"one of {', '.join(names)}" if len(names) > 1 else names[0], names)


def annotated(kind: Any, *metadata: Any) -> Any:
    """A type made at run time, which type checkers do not follow, with what pydantic should know besides."""
    return Annotated[(kind, *metadata)]


def union(*kinds: Any) -> Any:
    """Any of the types."""
    return Union[kinds]  # noqa: UP007  # kinds is a tuple, which `|` does not take


def tuple_of(kind: Any) -> Any:
    """Tuples of the type, of any length."""
    return types.GenericAlias(tuple, (kind, ...))


def scalar(*leaves: Leaf) -> Any:
    """A type that takes any of the leaves, and has one error for all that they refuse."""
    words = " or ".join(leaf.words for leaf in leaves)
    choices = tuple(choice for leaf in leaves for choice in leaf.choices)

    def take(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            taken = handler(value)
        except ValidationError:
            raise expected(words, choices) from None
        if isinstance(taken, bool) is not isinstance(value, bool):
            raise expected(words, choices)
        return taken

    return annotated(union(*(leaf.type for leaf in leaves)), WrapValidator(take))


def one_or_more(*leaves: Leaf) -> Any:
    """A type that takes a value or a list of values, and makes both a tuple.

    Where there are only pairs (or null), a list that begins with a number is a pair. Beside other values a list is a
    list of values, so that a pair stands in one.
    """
    others = [leaf for leaf in leaves if not leaf.is_pair]
    if all(leaf.type is None for leaf in others):
        return annotated(union(one(*leaves), many(*leaves)), Discriminator(_branch_of_pairs))
    return annotated(union(one(*others), many(*leaves)), Discriminator(branch))


def one(*leaves: Leaf) -> Any:
    """The branch of a union for a scalar, made a tuple."""
    return annotated(scalar(*leaves), AfterValidator(lambda value: (value,)), Tag(f"{TAG}one"))


def many(*leaves: Leaf) -> Any:
    """The branch of a union for a list."""
    return annotated(tuple_of(scalar(*leaves)), Field(min_length=1), Tag(f"{TAG}many"))


def branch(value: object) -> str:
    """The branch of a union that a value belongs to."""
    return f"{TAG}many" if isinstance(value, list | tuple) else f"{TAG}one"


def _branch_of_pairs(value: object) -> str:
    """The branch of a union of pairs that a value belongs to."""
    is_pair = isinstance(value, list | tuple) and bool(value) and isinstance(value[0], int | float)
    return f"{TAG}one" if is_pair else branch(value)


def expected(words: str, choices: Sequence[str] = (), instead: str | None = None) -> PydanticCustomError:
    """The error of a value that is not what the words say; `instead` tells what was found better than the value."""
    found = "" if instead is None else f", found {instead}"
    context = {"words": words, "choices": tuple(choices), "instead": instead}
    return PydanticCustomError("expected", f"expected {{words}}{found}", context)


class As:
    """Reads a field as another type than type checkers see."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self.kind)


class Late:
    """Reads a field as a type that is made when it is used, for the set of variants can grow."""

    def __init__(self, make: Callable[[], TypeAdapter[Any]]) -> None:
        self.make = make

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: self.make().validate_python(value))

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.make().core_schema)


def _odd(value: int) -> int:
    """The value, if it is odd."""
    if value % 2 == 0:
        raise ValueError(value)
    return value
