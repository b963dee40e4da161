"""Places for names in a figure, so that they do not overlap. Lengths are inches; down is positive."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

SIZE = 6.8
"""Points of a name's letters."""
LETTER, LINE = 0.058, 0.118
"""Inches of a letter and of a line of a name."""
_DISTANCES = (0.03, 0.12, 0.22, 0.34, 0.48, 0.64, 0.82, 1.0)
_DIRECTIONS = ((1.0, 0.0), (-1.0, 0.0), (0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7), (0.0, -1.0), (0.0, 1.0))


class Box(NamedTuple):
    """Rectangle."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlaps(self, other: "Box") -> bool:
        """Check whether they have a point in common."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)

    def inside(self, other: "Box") -> bool:
        """Check whether no part of it is outside the other."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom


def around(x: float, y: float, wide: float, tall: float) -> Box:
    """Return the rectangle of a size around a point."""
    return Box(x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2)


def beside(
    x: float, y: float, radius: float, text: str, taken: Sequence[Box], room: Box, size: float = 1.0
) -> Box | None:
    """Return the nearest free place for a name beside a disc, or None if there is none in the room.

    Letters are `size` times as large as in a report.
    """
    lines = text.split("\n")
    wide, tall = size * LETTER * max(map(len, lines)), size * LINE * len(lines)
    for box in _places(x, y, radius, wide, tall):
        if box.inside(room) and not any(map(box.overlaps, taken)):
            return box
    return None


def _places(x: float, y: float, radius: float, wide: float, tall: float) -> Iterator[Box]:
    """Yield places around a disc, near ones first."""
    for distance in _DISTANCES:
        for across, down in _DIRECTIONS:
            away = radius + distance
            # The corner or the middle of a side points to the disc.
            shift_x = wide / 2 * ((across > 0) - (across < 0))
            shift_y = tall / 2 * ((down > 0) - (down < 0))
            yield around(x + across * away + shift_x, y + down * away + shift_y, wide, tall)


def apart(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Return middles near those wanted, which ascend, so that names of these heights do not overlap.

    Overlapping neighbours become a block around the mean of what they want, until no blocks overlap.
    """
    blocks: list[tuple[list[int], float]] = []
    for place, middle in enumerate(wanted):
        block, at = [place], middle
        while blocks and at - _size(block, tall) / 2 < blocks[-1][1] + _size(blocks[-1][0], tall) / 2:
            block = blocks.pop()[0] + block
            at = sum(wanted[each] for each in block) / len(block)
        blocks.append((block, at))
    found = []
    for block, at in blocks:
        edge = at - _size(block, tall) / 2
        for each in block:
            found.append(edge + tall[each] / 2)
            edge += tall[each]
    return found


def _size(block: Sequence[int], tall: Sequence[float]) -> float:
    """Return the height of a block."""
    return sum(tall[each] for each in block)
