"""Names that tell cases apart, the same in tests and in exports."""

from collections.abc import Mapping, Sequence
from typing import Any

from attnbench.variants import AXES

_ALWAYS = ("seq_len", "dtype", "device", "direction")
_MORE = tuple(name for name in AXES if name not in _ALWAYS)


def names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name of its own for each point: `local_window(window=65)/blockwise N=512 float32 cpu forward`.

    A point has the fields of a case, flat, and its `label`. Other axes follow where points differ by them:
    `... heads=4`.
    """
    return [
        f"{point['label']}/{point['implementation']} {setting}"
        for point, setting in zip(points, settings(points), strict=True)
    ]


def settings(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each point shares with those that it is timed against: `N=512 float32 cpu forward`."""
    varied = [name for name in _MORE if len({point[name] for point in points}) > 1]
    return [" ".join([_setting(point), *(f"{name}={point[name]}" for name in varied)]) for point in points]


def _setting(point: Mapping[str, Any]) -> str:
    return f"N={point['seq_len']} {point['dtype']} {point['device']} {point['direction']}"
