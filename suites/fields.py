"""Field types of records: ranges of numbers, and a reader that checks types."""

import re
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from attnbench.suites.problem import KeyPath, found, written

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationError
    from pydantic_core import CoreSchema, SchemaValidator

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Range of a number, or of the length of a list. Both ends are included."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        schema: Any = handler(source)
        low, high = ("min_length", "max_length") if schema["type"] == "tuple" else ("ge", "le")
        words = f"expected {_KINDS[schema['type']]} {_number(self.low)} to {_number(self.high)}"
        bounded = {**schema, low: self.low, high: self.high}
        return core_schema.custom_error_schema(bounded, "expected", custom_error_message=words)


def _number(end: float) -> str:
    """Return an end of a range in words: an integer with all its digits."""
    return str(end) if isinstance(end, int) else f"{end:g}"


@dataclass(frozen=True)
class Text:
    """Length limit of a text. It must have no control characters, because the fonts of figures have none."""

    longest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        schema: Any = {**handler(source), "max_length": self.longest, "pattern": r"^[^\x00-\x1f\x7f]*$"}
        words = f"expected a text of at most {self.longest} characters, no control characters among them"
        return core_schema.custom_error_schema(schema, "expected", custom_error_message=words)


@dataclass(frozen=True)
class Choice:
    """Allowed texts of a field."""

    choices: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.literal_schema(list(self.choices))


@dataclass(frozen=True)
class FromJson:
    """Reader of a field that has another form in JSON. It raises `ValueError` if the value is invalid."""

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.read)


_KINDS = {
    "int": "an integer from",
    "float": "a number from",
    "tuple": "a list of a length from",
}
Count = Annotated[int, Range(0, 2**62)]
Total = Annotated[float, Range(0.0, 1e18)]
"""A count divided by the number of calls."""
Bytes = Annotated[int, Range(0, 2**60)]
"""Up to an exbibyte, so that the sum of a few fits into 64 bits."""
Change = Annotated[int, Range(-(2**60), 2**60)]
"""Change of a number of bytes."""
Nanoseconds = Annotated[float, Range(1e-3, 1e18)]
"""From a picosecond to thirty years. Anything else is not the time of a call."""
WholeNanoseconds = Annotated[int, Range(0, 10**18)]
Moment = Annotated[float, Range(0.0, 1e18)]
"""Nanoseconds since some start."""
Difference = Annotated[float, Range(-1e18, 1e18)]
"""Difference of two times in nanoseconds."""
Seconds = Annotated[float, Range(0.0, 1e9)]
Rate = Annotated[float, Range(1.0, 1e24)]
"""FLOPs or bytes per second."""
Joules = Annotated[float, Range(1e-15, 1e15)]
"""Of one call."""
Error = Annotated[float, Range(0.0, 1e300)]
Share = Annotated[float, Range(0.0, 1.0)]
LogRatio = Annotated[float, Range(-100.0, 100.0)]
"""Logarithm of the ratio of two times; e^100 is about 10^43."""
Name = Annotated[str, Text(1000)]
Title = Annotated[str, Text(2000)]
"""A few names together."""


def read(kind: type[T], value: Any) -> T:
    """Read a JSON value as a dataclass, with fields of the declared types. Other fields are ignored.

    Raises:
        ValueError: a field is missing, has another type, or is out of its range. The message names it and its value.
    """
    from pydantic import ValidationError

    try:
        made: T = _validator(cast(Hashable, kind)).validate_python(value)
    except ValidationError as error:
        raise ValueError(_problem(error, value)) from None
    return made


def kind_of(row: Any, kinds: Collection[str]) -> str:
    """Return the kind of a row, which determines its fields.

    Raises:
        ValueError: it is none of `kinds`.
    """
    if not isinstance(row, dict):
        raise ValueError(f"expected a mapping, {found(row)}")
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"kind: expected one of {', '.join(kinds)}, {found(kind)}")
    return kind


@lru_cache
def _validator(kind: Any) -> "SchemaValidator":
    """Return the reader of a type. Pydantic is imported here, because workers declare records but never read them."""
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator

    return SchemaValidator(_strict(TypeAdapter(kind).core_schema))


def _strict(schema: Any) -> Any:
    """Make a pydantic schema strict: no text as a number, no number as a flag, and only finite numbers.

    Lists still become tuples, mappings dataclasses, and words members of an enumeration, because JSON has only these.
    """
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    strict = {"strict": True} if kind in ("int", "float", "bool", "str") else {}
    finite = {"allow_inf_nan": False} if kind == "float" else {}
    return {name: _strict(each) for name, each in schema.items()} | strict | finite


def _problem(error: "ValidationError", value: Any) -> str:
    """Return the first wrong field: what was expected, and what was found."""
    errors = error.errors(include_url=False)
    path = _path(errors[0], value)
    same = [each for each in errors if _path(each, value) == path]
    if same[0]["type"] == "value_error":
        text = str(same[0]["ctx"]["error"])
    else:
        missing = same[0]["type"] == "missing"
        words = " or ".join(dict.fromkeys(_words(each["msg"]) for each in same))
        text = f"expected {words}, " + ("found none" if missing else found(same[0]["input"]))
    return ": ".join(part for part in (written(path), text) if part)


def _path(error: Any, value: Any) -> KeyPath:
    """Return the path of an error, without the union branches that pydantic adds."""
    path: list[str | int] = []
    for step in error["loc"]:
        try:
            value = value[step]
        except (IndexError, KeyError, TypeError):
            if error["type"] != "missing":
                break
        path.append(step)
    return tuple(path)


def _words(message: str) -> str:
    """Return what pydantic expects in attnbench's words: `an integer`, `true or false`."""
    for theirs, ours in _OURS.items():
        message = re.sub(theirs, ours, message)
    return message


_OURS = {
    r"^Input should be |^expected ": "",
    r"^a (valid )?(dictionary|mapping)( or (an )?instance of \w+)?$": "a mapping",
    r"^a valid integer$": "an integer",
    r"^a valid number$": "a number",
    r"^a valid (list|tuple)$": "a list",
    r"^a valid string": "text",
    r"^String should match pattern '(.*)'$": r"text of the form \1",
    r"^a valid boolean": "true or false",
    r"^Field required$": "a value",
}
