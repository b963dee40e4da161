"""Long Range Arena's Pathfinder and Path-X: say whether two discs lie at the ends of one curve. From PNG files.

Reads `pathfinder32` (or 64, 128, 256) with the folder of a difficulty, such as `curv_contour_length_14` (hard).
`metadata/*.npy` are text: lines of words with the folder, the file and, as the fourth, the label. The
published files have an empty image; empty images are left out. A fixed random order gives 80 % to train with, 10 % for
validation and 10 % to test. Tokens are grey values 0 to 255, row by row; black pixels are no padding.

Source: Linsley et al. 2018, arXiv 1805.08315; Tay et al. 2020, arXiv 2011.04006, sections 2.2.5 and 2.2.6.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Array, Data, DataError, Examples, Form, Split
from attnbench.variants.tasks._files import absent

_DIFFICULTIES = {"easy": "curv_baseline", "medium": "curv_contour_length_9", "hard": "curv_contour_length_14"}


@dataclass(frozen=True)
class LraPathfinder(Data):
    """The first images of each split."""

    train: int = parameter("examples to train with, at most", default=160_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most", default=20_000, minimum=1)
    test: int = parameter("examples to score with, at most", default=20_000, minimum=1)
    side: Literal[32, 64, 128, 256] = parameter("pixels of a side; 128 is Path-X", default=32)
    difficulty: Literal["easy", "medium", "hard"] = parameter("which folder of curves", default="hard")

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.side**2, 256, 2, "class", 0.5)

    @property
    def place(self) -> str:
        """The folder of the images and their metadata."""
        return f"pathfinder{self.side}/{_DIFFICULTIES[self.difficulty]}"

    def missing(self, folder: Path | None) -> str | None:
        """Return which folder is not here, or None."""
        places = [f"{self.place}/{each}" for each in ("metadata", "imgs")]
        return absent(self.name, folder, places, f"{self.place} with metadata/*.npy and imgs/*/*.png")

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the images of a split."""
        del seed
        assert folder  # `missing` demands it
        listed = _listed(folder / self.place)
        order, tenth = self.generator("split").permutation(len(listed)), len(listed) // 10
        rows = {"test": order[:tenth], "validation": order[tenth : 2 * tenth], "train": order[2 * tenth :]}[split]
        rows = rows[: self.size(split)]
        tokens = np.empty((len(rows), self.side**2), np.int16)
        for into, row in zip(tokens, rows, strict=True):
            into[:] = _grey(listed[row][0], self.side).ravel()
        return Examples(tokens, np.array([listed[row][1] for row in rows], np.int64))


def _listed(place: Path) -> list[tuple[Path, int]]:
    """Return the images that the metadata list, with their labels, without empty ones."""
    found = []
    for metadata in sorted((place / "metadata").glob("*.npy"), key=lambda each: (len(each.stem), each.stem)):
        for number, line in enumerate(metadata.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split()
            if len(words) < 4 or words[3] not in ("0", "1"):
                expected = "a folder, a file, a number and the label 0 or 1"
                raise DataError(f"{metadata}:{number}: expected {expected}, found {line[:60]!r}")
            image = place / words[0] / words[1]
            if not image.is_file():
                raise DataError(f"{metadata}:{number}: expected the image {image}, found none")
            if image.stat().st_size:
                found.append((image, int(words[3])))
    return found


def _grey(path: Path, side: int) -> Array:
    """Return the grey values of an image, `side, side`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError):
        raise DataError(f"{path}: expected a PNG image, found a file that is none") from None
    if grey.shape != (side, side):
        raise DataError(f"{path}: expected {side} by {side} pixels, found {grey.shape[0]} by {grey.shape[1]}")
    return grey


DATA = LraPathfinder
