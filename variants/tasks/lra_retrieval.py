"""Long Range Arena's Retrieval: say whether one paper cites the other. Two documents of bytes, from TSV files.

Reads `new_aan_pairs.train.tsv`, `.eval.tsv` and `.test.tsv` in the folder `tsv_data`: no header, five columns (label
`0.0` or `1.0`, two numbers of papers, two texts), and quotes are text. Tokens are `M 2 N`: a model reads each document
alone with the same weights, and its head compares the two. Byte b is token b + 1. Longer texts are cut to N bytes.

Source: Radev et al. 2013 (ACL Anthology Network); Tay et al. 2020, arXiv 2011.04006, section 2.2.3.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, DataError, Examples, Form, Split
from attnbench.variants.tasks._files import BYTES, absent, padded

_FILES = {
    split: f"tsv_data/new_aan_pairs.{short}.tsv"
    for split, short in (("train", "train"), ("validation", "eval"), ("test", "test"))
}
_TARGETS = {b"0.0": 0, b"1.0": 1}


@dataclass(frozen=True)
class LraRetrieval(Data):
    """The first pairs of each file."""

    train: int = parameter("examples to train with, at most", default=147_086, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most", default=18_090, minimum=1)
    test: int = parameter("examples to score with, at most", default=17_437, minimum=1)
    length: int = parameter("bytes of a document, N", default=4_000, minimum=1)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, BYTES, 2, "class", 0.5, documents=2, padded=True)

    def missing(self, folder: Path | None) -> str | None:
        """Return which file is not here, or None."""
        return absent(self.name, folder, _FILES.values(), "tsv_data/new_aan_pairs.*.tsv with label, two ids, two texts")

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the pairs of a split."""
        del seed
        assert folder  # `missing` demands it
        path = folder / _FILES[split]
        texts: list[bytes] = []
        targets = []
        with path.open("rb") as file:
            for number, line in zip(range(1, self.size(split) + 1), file, strict=False):
                columns = line.rstrip(b"\r\n").split(b"\t")
                if len(columns) != 5 or columns[0] not in _TARGETS:
                    raise DataError(f"{path}:{number}: expected 0.0 or 1.0, two ids and two texts, found {line[:60]!r}")
                targets.append(_TARGETS[columns[0]])
                texts += columns[3:]
        tokens, lengths = padded(texts, self.length, add=1)
        return Examples(tokens.reshape(-1, 2, self.length), np.array(targets, np.int64), lengths.reshape(-1, 2))


DATA = LraRetrieval
