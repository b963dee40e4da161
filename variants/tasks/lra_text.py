"""Long Range Arena's Text: say whether a film review is positive. Bytes, from IMDb's folders.

Reads `aclImdb/train` and `aclImdb/test`, each with the folders `pos` and `neg` of one review a file. A fixed tenth of
the reviews in `train` are for validation; in the published setting, validation is the test set. Longer reviews are cut
to N bytes. Byte b is token b + 1.

Source: Maas et al. 2011, ACL; Tay et al. 2020, arXiv 2011.04006, section 2.2.2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, Examples, Form, Split
from attnbench.variants.tasks._files import BYTES, absent, padded

_PLACES = [f"aclImdb/{part}/{side}" for part in ("train", "test") for side in ("neg", "pos")]


@dataclass(frozen=True)
class LraText(Data):
    """Reviews in a fixed random order."""

    train: int = parameter("examples to train with, at most", default=22_500, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most", default=2_500, minimum=1)
    test: int = parameter("examples to score with, at most", default=25_000, minimum=1)
    length: int = parameter("bytes of a review, N", default=4_000, minimum=1)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, BYTES, 2, "class", 0.5, padded=True)

    def missing(self, folder: Path | None) -> str | None:
        """Return which folder is not here, or None."""
        return absent(self.name, folder, _PLACES, "aclImdb/{train,test}/{pos,neg} with one review in each .txt file")

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the reviews of a split."""
        del seed
        assert folder  # `missing` demands it
        part = folder / "aclImdb" / ("test" if split == "test" else "train")
        sides = [sorted((part / side).glob("*.txt")) for side in ("neg", "pos")]
        files = [(path, target) for target, paths in enumerate(sides) for path in paths]
        order = self.generator("split", split == "test").permutation(len(files))
        tenth = len(files) // 10
        rows = {"train": order[tenth:], "validation": order[:tenth], "test": order}[split][: self.size(split)]
        tokens, lengths = padded([files[row][0].read_bytes() for row in rows], self.length, add=1)
        return Examples(tokens, np.array([files[row][1] for row in rows], np.int64), lengths)


DATA = LraText
