"""Expands the axes of a suite to its cases: the product, without the exclusions."""

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import Any

from attnbench.suites.case import Case
from attnbench.variants import Named, Setting, Shape

MOST_CASES = 10_000
"""Cases of a suite before any are excluded."""

COMPARISON = r"^(>|>=|<|<=|!=) ?(-?[0-9]{1,10}(\.[0-9]{1,10})?)$"
"""What an exclusion may say of a number instead of the number: the sign, and the number."""

_OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "!=": operator.ne}

Exclusion = Mapping[str, tuple[Any, ...]]
"""Names of axes or parameters, and the values of each: a case that has one of the values of every name is dropped."""


@dataclass(frozen=True)
class Entry:
    """A variant as a suite lists it: a grid of parameters, all of them, and implementations."""

    variant: str
    parameters: Mapping[str, tuple[Any, ...]]
    implementations: tuple[str, ...]

    @property
    def size(self) -> int:
        """Points of the grid."""
        return prod(map(len, self.parameters.values())) * len(self.implementations)

    def grid(self) -> list[dict[str, Any]]:
        """The parameters of every point, the last parameter running fastest."""
        return [dict(zip(self.parameters, values, strict=True)) for values in product(*self.parameters.values())]

    def to_json(self) -> dict[str, Any]:
        """The entry as a suite writes it."""
        return {self.variant: {**self.parameters, "implementation": self.implementations}}


def size(axes: Mapping[str, Any]) -> int:
    """The number of points before duplicates are merged, without making them."""
    lists = [*_sizes(axes["shape"]).values(), *_others(axes).values()]
    points: int = prod(map(len, lists)) * sum(entry.size for entry in axes["variants"])
    return points


def expand(axes: Mapping[str, Any]) -> list[Case]:
    """Every case once: shape by shape, lengths ascending, then the other axes as in a setting, then variants."""
    others = _others(axes)
    settings = (
        Setting(shape=shape, **dict(zip(others, values, strict=True)))
        for shape in shapes(axes["shape"])
        for values in product(*others.values())
    )
    cases = (
        Case(Named(entry.variant, parameters), implementation, setting)
        for setting in settings
        for entry in axes["variants"]
        for parameters in entry.grid()
        for implementation in entry.implementations
    )
    return list({case.key: case for case in cases}.values())


def shapes(sizes: Any) -> Iterator[Shape]:
    """Every combination of the sizes; lengths run fastest, ascending."""
    lists = _sizes(sizes)
    for values in product(*lists.values()):
        told = dict(zip(lists, values, strict=True))
        yield Shape(**{**told, "kv_heads": told["kv_heads"] or told["heads"]})


def _sizes(sizes: Any) -> dict[str, Sequence[Any]]:
    """The values of each axis of a shape, the length last; None where there are as many key heads as heads."""
    names = sorted((each.name for each in fields(Shape)), key=lambda name: name == "seq_len")
    lists = {name: getattr(sizes, name) or (None,) for name in names}
    return {**lists, "seq_len": sorted(lists["seq_len"])}


def _others(axes: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The values of each axis of a setting but its shape."""
    return {each.name: axes[each.name] for each in fields(Setting) if each.name != "shape"}


def excluded(cases: Sequence[Case], exclusions: Sequence[Exclusion]) -> list[set[str]]:
    """The keys of the cases that each exclusion drops."""
    facts = {case.key: {**case.flat(), **case.mechanism.parameters} for case in cases}
    return [_dropped(facts, exclusion) for exclusion in exclusions]


def _dropped(facts: Mapping[str, Mapping[str, Any]], exclusion: Exclusion) -> set[str]:
    """The keys of the cases, flattened to `facts`, that have one of the values of every name."""
    # Few values, many cases: each value is compared once. Typed, for True equals 1.
    tests = {name: lru_cache(maxsize=None, typed=True)(partial(_any, values)) for name, values in exclusion.items()}
    return {
        key for key, known in facts.items() if all(name in known and test(known[name]) for name, test in tests.items())
    }


def _any(values: Sequence[Any], value: Any) -> bool:
    """Whether a value is one of the values."""
    return any(_holds(value, wanted) for wanted in values)


def _holds(value: Any, wanted: Any) -> bool:
    """Whether a value is the one wanted, or compares as wanted; only `!=` holds for what is no number."""
    if value == wanted and isinstance(value, bool) is isinstance(wanted, bool):
        return True
    comparison = re.match(COMPARISON, wanted) if isinstance(wanted, str) else None
    if comparison is None:
        return False
    sign, number, _ = comparison.groups()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return sign == "!="
    return bool(_OPERATORS[sign](value, float(number)))
