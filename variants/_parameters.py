"""Typed parameters of a mechanism, and the fields that declare parameters and axes."""

import types
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, Self, Union, get_args, get_origin


def parameter(
    doc: str,
    *,
    default: Any = MISSING,
    minimum: int | None = None,
    odd: bool = False,
    later: bool = False,
    digest: str | None = None,
) -> Any:
    """Declare a field of a mechanism's parameters: what it means, and its permitted values.

    For several integers, `minimum` and `odd` hold for each of them. `later` marks a parameter that was added to
    the variant later: cases in which it has its default keep their old keys. `digest` marks the name of a file of
    edges, and names the parameter with its SHA-256, which takes the place of the file in a case's key.
    """
    metadata = {"doc": doc, "minimum": minimum, "odd": odd, "later": later, "digest": digest}
    return field(default=default, metadata=metadata)


def axis(doc: str, *, default: Any = MISSING, maximum: int | None = None, usual: Any = None) -> Any:
    """Declare a field of a shape or a setting: what it means, its largest value, and its value in a suite without it.

    Numbers are at least 1. A `default` marks an axis that was added later, as `later` does in `parameter`.
    """
    metadata = {"doc": doc, "minimum": 1, "maximum": maximum, "usual": usual if default is MISSING else default}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameters:
    """Parameters of a mechanism. A variant subclasses it as a frozen dataclass of fields made with `parameter`.

    Raises:
        ValueError: a parameter is not of its type or outside its range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            problem = _problem(getattr(self, each.name), each.type, each.metadata)
            if problem:
                raise ValueError(f"{each.name}: {problem}")

    def unsupported(self, n: int) -> str | None:
        """Return why the mechanism does not exist at length n, or None."""
        del n
        return None

    def near(self, n: int) -> tuple[Self, int]:
        """Return parameters and a length near n at which they exist: by default these parameters and n itself.

        Override it if the parameters fix the length.
        """
        return self, n

    def can_cross(self) -> bool:
        """Return whether the mechanism exists between two sequences: each query sees all keys, and has no place."""
        return False

    def chooses(self) -> bool:
        """Return whether a mechanism with `options` chooses by content with these parameters: by default it does."""
        return True


def _problem(value: object, kind: Any, metadata: Any) -> str | None:
    """Return what is wrong with a parameter's value, or None."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    choices = [choice for each in kinds if get_origin(each) is Literal for choice in get_args(each)]
    others = [each for each in kinds if get_origin(each) is not Literal]
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return None
    if choices and type(value) not in others:
        expected = [*map(str, choices), *(_name(each) for each in others if each is not type(None))]
        return f"expected one of {', '.join(expected)}, found {value!r}"
    if type(value) is tuple and value and (tuple[int, ...] in kinds or (tuple[int, int] in kinds and len(value) == 2)):
        return next(filter(None, (_problem(each, int, metadata) for each in value)), None)
    if type(value) not in kinds:
        return f"expected {' or '.join(map(_name, kinds))}, found {value!r}"
    minimum = metadata.get("minimum")
    if minimum is not None and isinstance(value, int | float) and not value >= minimum:
        return f"expected at least {minimum}, found {value}"
    if metadata.get("odd") and isinstance(value, int) and value % 2 == 0:
        return f"expected an odd number, found {value}; take {value - 1} or {value + 1}"
    return None


def _name(kind: Any) -> str:
    """Return the name of a parameter's type in words."""
    if kind == tuple[int, int]:
        return "a tuple of two integers"
    if kind == tuple[int, ...]:
        return "a tuple of integers"
    return "null" if kind is type(None) else str(kind.__name__)
