"""Long Range Arena's Image: say which of ten things a grey CIFAR-10 image shows, pixel by pixel.

Reads the binary version of CIFAR-10, `cifar-10-batches-bin`: files of records of 1 + 3,072 bytes, the class and then
32 by 32 pixels of red, green and blue. Nothing is unpickled. Grey is 0.2989 R + 0.587 G + 0.114 B, rounded; tokens are
0 to 255, and black pixels are no padding. The first 45,000 of the five training files are to train with, the others for
validation.

Source: Krizhevsky 2009; Tay et al. 2020, arXiv 2011.04006, section 2.2.4.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, DataError, Examples, Form, Split
from attnbench.variants.tasks._files import absent

_FOLDER = "cifar-10-batches-bin"
_TRAINING = [f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6)]
_TEST = [f"{_FOLDER}/test_batch.bin"]
_RECORD = 1 + 3 * 1_024


@dataclass(frozen=True)
class LraImage(Data):
    """The first images of each split."""

    train: int = parameter("examples to train with, at most", default=45_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most", default=5_000, minimum=1)
    test: int = parameter("examples to score with, at most", default=10_000, minimum=1)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(1_024, 256, 10, "class", 0.1)

    def missing(self, folder: Path | None) -> str | None:
        """Return which file is not here, or None."""
        return absent(self.name, folder, [*_TRAINING, *_TEST], f"CIFAR-10's binary version, {_FOLDER}/*.bin")

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the images of a split."""
        del seed
        assert folder  # `missing` demands it
        records = np.concatenate([_records(folder / place) for place in (_TEST if split == "test" else _TRAINING)])
        first = len(records) * 9 // 10
        rows = {"train": records[:first], "validation": records[first:], "test": records}[split][: self.size(split)]
        colours = rows[:, 1:].reshape(-1, 3, 1_024).astype(np.int64)
        # In integers, so that the result is the same on every machine.
        grey = (2_989 * colours[:, 0] + 5_870 * colours[:, 1] + 1_140 * colours[:, 2] + 5_000) // 10_000
        return Examples(grey.astype(np.int16), rows[:, 0].astype(np.int64))


def _records(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the records of a file, `m, 3073`."""
    found = np.fromfile(path, np.uint8)
    if len(found) % _RECORD or not len(found):
        raise DataError(f"{path}: expected records of {_RECORD:,} bytes, found {len(found):,} bytes in all")
    records = found.reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"{path}: expected classes 0 to 9, found {records[:, 0].max()}; take CIFAR-10's binary version")
    return records


DATA = LraImage
