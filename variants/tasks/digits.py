"""Handwritten digits: say which digit 64 pixels show, row by row.

The 1,797 images of 8 by 8 pixels that scikit-learn has, with grey values 0 to 16 as tokens. A fixed stratified split
gives 1,400 to train with, 197 for validation and 200 to test. With a smaller `train`, the seed chooses that many of the
1,400, equally many of each digit where that is possible.

Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Array, Data, Examples, Form, Split

_ROWS = {"train": (0, 1_400), "validation": (1_400, 1_597), "test": (1_597, 1_797)}
"""The rows of each split, once all are in a fixed random order."""


@dataclass(frozen=True)
class Digits(Data):
    """Images of digits."""

    train: int = parameter("examples to train with, at most 1,400", default=1_400, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most 197", default=197, minimum=1)
    test: int = parameter("examples to score with, at most 200", default=200, minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for split, (start, stop) in _ROWS.items():
            most = stop - start
            if getattr(self, split) > most:
                raise ValueError(f"{split}: expected at most {most:,}, found {getattr(self, split):,}")

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(64, 17, 10, "class", 0.1)

    def missing(self, folder: Path | None) -> str | None:
        """Return why the images are not here, or None."""
        del folder
        if importlib.util.find_spec("sklearn"):
            return None
        return "digits: expected the package scikit-learn, found none; pip install 'attnbench[tasks]'"

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the images of a split."""
        del folder
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        rows = _mixed(digits, self.generator("split"))[slice(*_ROWS[split])]
        rows = rows[_mixed(digits[rows], self.generator(split, seed))[: self.size(split)]]
        return Examples(images[rows].astype(np.int16), digits[rows].astype(np.int64))


def _mixed(digits: Array, generator: np.random.Generator) -> Array:
    """Return the indices in random order, such that every part has about equally many of each digit."""
    places = np.empty(len(digits))
    for digit in range(10):
        (rows,) = np.nonzero(digits == digit)
        places[generator.permutation(rows)] = (np.arange(len(rows)) + generator.random(len(rows))) / len(rows)
    return np.argsort(places, kind="stable")


DATA = Digits
