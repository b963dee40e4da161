"""Pathfinder: say whether two discs lie at the ends of one dashed curve. Grey pixels, row by row.

An image of side 32, 64 or 128 has two long curves of `dashes` dashes and several short ones. Each next dash leaves the
last at an angle a with probability in proportion to cos(continuity a)^2, and touches no other dash. One disc is at the
start of a long curve. The other is at its end (target 1) or at the end of the other long curve (target 0). Half of the
images, in random order, have each target. Tokens are 0 (black) to 255; black pixels are no padding. N is the squared
side.

Source: Linsley et al. 2018, arXiv 1805.08315, and its published generator, as in Tay et al. 2020, arXiv 2011.04006,
section 2.2.5 (Path-X is side 128). Drawn anew: directions are continuous, and edges are smoothed by distance.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Array, Data, Examples, Form, Split

_ANGLES = np.linspace(-math.pi / 2, math.pi / 2, 33)
"""Angles from one dash to the next."""
_PLACES = np.linspace(0.0, 1.0, 5)
"""Places on a dash that must be free."""
_TRIES = 8
_LOST = 3
"""Dashes that a curve loses when it is stuck."""


class _Sizes(NamedTuple):
    """Sizes in pixels, for one side."""

    start_distance: float
    radius: float
    dash: float
    thickness: float
    gap: float
    continuity: float
    short_curves: int
    contrast: float


_SIZES = {
    32: _Sizes(7, 1.5, 2, 0.5, 1.5, 1.0, 5, 0.75),
    64: _Sizes(12, 2.5, 4, 1, 2, 1.8, 5, 0.8),
    128: _Sizes(20, 3, 5, 1.5, 2.5, 1.8, 8, 0.9),
}


class Curve(NamedTuple):
    """Dashes `n, 2, 2`: the start and the end of each, as (row, column)."""

    dashes: Array

    @property
    def ends(self) -> tuple[Array, Array]:
        """The two ends of the curve."""
        return self.dashes[0, 0], self.dashes[-1, 1]


class Scene(NamedTuple):
    """What an image shows: two long curves and short ones, and the centres of two discs `2, 2`."""

    long: tuple[Curve, Curve]
    short: tuple[Curve, ...]
    discs: Array


@dataclass(frozen=True)
class Pathfinder(Data):
    """Images of dashed curves."""

    train: int = parameter("examples to train with", default=10_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with", default=500, minimum=1)
    test: int = parameter("examples to score with", default=1_000, minimum=1)
    side: Literal[32, 64, 128] = parameter("pixels of a side", default=32)
    dashes: int = parameter("dashes of a long curve: 6 is easy, 9 medium, 14 hard", default=14, minimum=2)

    is_cached: ClassVar[bool] = True

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.side**2, 256, 2, "class", 0.5)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        del folder
        generator, m = self.generator(split, seed), self.size(split)
        targets = generator.permutation(np.arange(m) % 2)
        tokens = np.empty((m, self.side**2), np.int16)
        for row, target in zip(tokens, targets, strict=True):
            row[:] = image(self.scene(bool(target), generator), self.side).ravel()
        return Examples(tokens, targets.astype(np.int64))

    def scene(self, is_same: bool, generator: np.random.Generator) -> Scene:
        """Draw the curves of an image, with discs at the ends of the same curve or of two."""
        while True:
            room = _Room(self.side, generator)
            long = room.long_curves(self.dashes)
            if long:
                break
        short = [curve for _ in range(_SIZES[self.side].short_curves) if (curve := room.short_curve(self.dashes // 3))]
        first = int(generator.integers(2))
        other = first if is_same else 1 - first
        return Scene(long, tuple(short), np.stack([long[first].ends[0], long[other].ends[1]]))


def image(scene: Scene, side: int) -> Array:
    """Return the picture of a scene, `side, side` grey values in uint8."""
    sizes = _SIZES[side]
    dashes = np.concatenate([curve.dashes for curve in (*scene.long, *scene.short)])
    lines = np.clip(sizes.thickness / 2 + 0.5 - _distances(dashes, side).min(0), 0, 1) * sizes.contrast
    points = np.repeat(scene.discs[:, None], 2, axis=1)
    discs = np.clip(sizes.radius + 0.5 - _distances(points, side).min(0), 0, 1)
    # Rounded before it is scaled, so that no last bit of a distance decides a grey value.
    grey: Array = np.rint(np.round(np.maximum(lines, discs), 6) * 255).astype(np.uint8)
    return grey


def _distances(dashes: Array, side: int) -> Array:
    """Return the distance of each dash to the centre of each pixel, `n, side, side`."""
    rows, columns = np.arange(side)[:, None] + 0.5, np.arange(side) + 0.5
    start, along = dashes[:, 0, :, None, None], (dashes[:, 1] - dashes[:, 0])[:, :, None, None]
    squared = np.maximum((along**2).sum(1), 1e-12)
    y, x = rows - start[:, 0], columns - start[:, 1]
    share = np.clip((y * along[:, 0] + x * along[:, 1]) / squared, 0, 1)
    found: Array = np.sqrt((y - share * along[:, 0]) ** 2 + (x - share * along[:, 1]) ** 2)
    return found


class _Dash(NamedTuple):
    """A dash `2, 2` of a curve that grows, and the pixels `side, side` that are too near to it for another one."""

    ends: Array
    near: Array


class _Room:
    """The pixels of an image that are taken while curves grow in it."""

    def __init__(self, side: int, generator: np.random.Generator) -> None:
        self.side, self.generator, self.sizes = side, generator, _SIZES[side]
        self.taken = np.zeros((side, side), bool)

    def long_curves(self, count: int) -> tuple[Curve, Curve] | None:
        """Grow two curves in turns, from starts at a fixed distance, or return None if one cannot grow on.

        A curve that is stuck first loses its last dashes, several times.
        """
        distance, turn = self.sizes.start_distance, self._turn()
        first = self.generator.uniform(2 * distance, self.side - 2 * distance, 2)
        starts = first, first + distance * _direction(turn)
        grown: tuple[list[_Dash], list[_Dash]] = [], []
        for _ in range(_TRIES * count):
            each = int(len(grown[1]) < len(grown[0]))
            if not self._grow(grown[each], starts[each], grown[1 - each]):
                del grown[each][-_LOST:]
            elif len(grown[0]) == len(grown[1]) == count:
                return self._keep(grown[0]), self._keep(grown[1])
        return None

    def short_curve(self, count: int) -> Curve | None:
        """Grow a curve from any free place, or return None if none is found; it may have fewer dashes."""
        grown: list[_Dash] = []
        for _ in range(_TRIES):
            if self._grow(grown, self.generator.uniform(1, self.side - 1, 2), []):
                break
        while grown and len(grown) < count and self._grow(grown, grown[-1].ends[1], []):
            pass
        return self._keep(grown) if grown else None

    def _grow(self, mine: list[_Dash], start: Array, other: list[_Dash]) -> bool:
        """Append a dash to a curve if there is room for one: not near to another, but for its own last one."""
        taken = self.taken.copy()
        for dash in (*mine[:-1], *other):
            taken |= dash.near
        if mine:
            start, before = mine[-1].ends[1], mine[-1].ends[1] - mine[-1].ends[0]
            angles = math.atan2(before[0], before[1]) + _ANGLES
            likely = np.cos(np.minimum(np.abs(self.sizes.continuity * _ANGLES), math.pi / 2)) ** 2
            gap = self.sizes.gap
        else:
            angles, likely, gap = self._turn() + 2 * _ANGLES, np.ones(len(_ANGLES)), 0.0
        directions = _direction(angles)
        places = start + directions * gap + _PLACES[:, None, None] * directions * self.sizes.dash
        is_inside = ((places >= 1) & (places <= self.side - 1)).all((0, 2))
        cells = np.clip(places.astype(int), 0, self.side - 1)
        likely = likely * is_inside * ~taken[cells[..., 0], cells[..., 1]].any(0)
        total = np.round(np.cumsum(likely), 9)
        if total[-1] < 1e-6:
            return False
        chosen = int(np.searchsorted(total, self.generator.random() * total[-1], side="right"))
        mine.append(self._dash(places[[0, -1], chosen]))
        return True

    def _dash(self, ends: Array) -> _Dash:
        """Return a dash with the pixels near to it."""
        distance = self.sizes.gap + self.sizes.thickness + 0.5
        return _Dash(ends, _distances(ends[None], self.side)[0] <= distance)

    def _keep(self, grown: list[_Dash]) -> Curve:
        """Return a curve, and take its place."""
        for dash in grown:
            self.taken |= dash.near
        return Curve(np.array([dash.ends for dash in grown]))

    def _turn(self) -> float:
        """Draw an angle."""
        return float(self.generator.random()) * 2 * math.pi


def _direction(angle: Array | float) -> Array:
    """Return unit vectors (row, column) of angles."""
    return np.stack([np.sin(angle), np.cos(angle)], -1)


DATA = Pathfinder
