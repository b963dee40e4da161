"""Where two pieces of JSON differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from attnbench.suites.problem import KeyPath, written


def differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """The values that differ, by their path (`measure.values`, `variants[1].full`); None stands where there is none."""
    return {written(path): pair for path, pair in _differing(a, b, ())}


def _differing(a: Any, b: Any, path: KeyPath) -> Iterator[tuple[KeyPath, tuple[Any, Any]]]:
    """Mappings key by key, lists of equal length item by item, all else as a whole."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in {**a, **b}:
            yield from _differing(a.get(key), b.get(key), (*path, key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differing(one, other, (*path, index))
    elif a != b:
        yield path, (a, b)
