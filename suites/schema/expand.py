"""Expansion of the axes of a suite to cases: the product of the axes without the exclusions."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import Any

from attnbench.suites.case import Case
from attnbench.suites.schema.kinds import COMPARISON
from attnbench.variants import WRITTEN, Named, Setting, Shape, Threads, kernels, levels

MOST_CASES = 10_000
"""Maximum number of cases of a suite before exclusions."""

_OPERATORS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}

Exclusion = Mapping[str, tuple[Any, ...]]
"""Names of axes or parameters, each with values. It matches a case that has one of the values for every name."""


@dataclass(frozen=True)
class Entry:
    """A variant in a suite: a grid with all its parameters, and implementations."""

    variant: str
    parameters: Mapping[str, tuple[Any, ...]]
    implementations: tuple[str, ...]
    is_usual: bool = False
    """Whether the implementation was left out."""

    @property
    def size(self) -> int:
        """Number of points of the grid."""
        return prod(map(len, self.parameters.values())) * len(self.implementations)

    def grid(self) -> list[dict[str, Any]]:
        """Return the parameters of every point. The last parameter changes fastest."""
        return [dict(zip(self.parameters, values, strict=True)) for values in product(*self.parameters.values())]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a suite writes it."""
        return {self.variant: {**self.parameters, "implementation": self.implementations}}


def size(axes: Mapping[str, Any]) -> int:
    """Return the number of points before duplicates are merged, without making them."""
    points: int = prod(map(len, _lists(axes).values())) * sum(entry.size for entry in axes["variants"])
    return points


def expand(axes: Mapping[str, Any]) -> list[Case]:
    """Return every case once: by shape (lengths ascending), then by the other axes of a setting, then by variant."""
    lists = _lists(axes)
    settings = (_setting(dict(zip(lists, values, strict=True))) for values in product(*lists.values()))
    cases = (
        Case(Named(entry.variant, parameters), implementation, setting)
        for setting in settings
        for entry in axes["variants"]
        for parameters in entry.grid()
        for implementation in entry.implementations
        if _fits(implementation, setting, axes["threads"])
    )
    return list({case.key: case for case in cases}.values())


def _fits(implementation: str, setting: Setting, threads: Sequence[Threads]) -> bool:
    """Check whether an implementation is meant: several processes share a sequence in one, which has no other use.

    On a CPU each of them has one thread; other numbers are for what it is compared with.
    """
    if implementation != kernels.SHARED:
        return setting.world == 1
    return setting.world > 1 and (setting.threads == 1 or 1 not in threads)


def _lists(axes: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the values of each axis: those of a shape, with the length last, then those of a setting."""
    sizes = {each.name: getattr(axes["shape"], each.name) or (None,) for each in fields(Shape)}
    lengths = sorted(sizes.pop("seq_len")) if axes["shape"].seq_len else [None]
    others = {each.name: axes[each.name] for each in fields(Setting) if each.name in WRITTEN}
    return {**sizes, "seq_len": lengths, **others}


def _setting(point: Mapping[str, Any]) -> Setting:
    """Return the setting at a point.

    If it has no number of key heads, that of heads is used; if it has no length, that of its level.
    """
    level = levels.read(point["level"])
    length = (level.length if level else None) or point["seq_len"]
    return Setting.of({**point, "kv_heads": point["kv_heads"] or point["heads"], "seq_len": length})


def matching(cases: Mapping[str, Case], exclusions: Iterable[Exclusion]) -> list[set[str]]:
    """Return the keys of the cases that each exclusion matches."""
    facts = {key: {**case.flat(), **case.mechanism.parameters} for key, case in cases.items()}
    return [_matching(facts, exclusion) for exclusion in exclusions]


def _matching(facts: Mapping[str, Mapping[str, Any]], exclusion: Exclusion) -> set[str]:
    """Return the keys of the cases, flattened to `facts`, that have one of the values of every name."""
    # There are few values and many cases, so comparisons are cached; by type, because True equals 1.
    tests = {name: lru_cache(maxsize=None, typed=True)(partial(_any, values)) for name, values in exclusion.items()}
    return {
        key for key, known in facts.items() if all(name in known and test(known[name]) for name, test in tests.items())
    }


def _any(wanted: Sequence[Any], value: Any) -> bool:
    """Check whether a value is one of those wanted, or matches a comparison. Only `!=` matches what is not a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    for each in wanted:
        if value == each and isinstance(value, bool) is isinstance(each, bool):
            return True
        comparison = re.match(COMPARISON, each) if isinstance(each, str) else None
        if comparison and (
            _OPERATORS[comparison[1]](value, float(comparison[2])) if is_number else comparison[1] == "!="
        ):
            return True
    return False
