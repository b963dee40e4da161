"""Long Range Arena's ListOps: the value of a nested list of 500 to 2,000 tokens, from its TSV files.

Reads `basic_train.tsv`, `basic_val.tsv` and `basic_test.tsv` in the folder `listops-1000`, with the header `Source`,
`Target`. Brackets `( )` only nest pairs and are dropped. The vocabulary is that of `listops`, so it is the same in
every run. Longer trees are cut to N tokens.

Source: Tay et al. 2020, arXiv 2011.04006, section 2.2.1.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, DataError, Examples, Form, Split
from attnbench.variants.tasks._files import absent, padded
from attnbench.variants.tasks.listops import CLOSE, FIRST_OPERATOR, OPERATORS

_FILES = {
    split: f"listops-1000/basic_{short}.tsv"
    for split, short in (("train", "train"), ("validation", "val"), ("test", "test"))
}
_HEADER = "Source\tTarget"
_TOKENS = {str(digit): digit + 1 for digit in range(10)} | {"]": CLOSE}
_TOKENS |= {f"[{name}": FIRST_OPERATOR + number for number, name in enumerate(OPERATORS)}


@dataclass(frozen=True)
class LraListops(Data):
    """The first examples of each file."""

    train: int = parameter("examples to train with, at most", default=96_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with, at most", default=2_000, minimum=1)
    test: int = parameter("examples to score with, at most", default=2_000, minimum=1)
    length: int = parameter("tokens of a sequence, N", default=2_000, minimum=1)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, CLOSE + 1, 10, "class", 0.1, padded=True)

    def missing(self, folder: Path | None) -> str | None:
        """Return which file is not here, or None."""
        return absent(self.name, folder, _FILES.values(), "listops-1000/basic_*.tsv with columns Source and Target")

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Read the examples of a split."""
        del seed
        assert folder  # `missing` demands it
        path = folder / _FILES[split]
        trees, targets = [], []
        with path.open(encoding="utf-8") as file:
            header = next(file, "").rstrip("\n")
            if header != _HEADER:
                raise DataError(f"{path}:1: expected the header {_HEADER!r}, found {header!r}")
            for number, line in zip(range(2, self.size(split) + 2), file, strict=False):
                source, _, target = line.rstrip("\n").partition("\t")
                words = [word for word in source.split() if word not in "()"]
                if not target.isdigit() or int(target) > 9 or not set(words) <= _TOKENS.keys():
                    raise DataError(f"{path}:{number}: expected a tree, a tab and a digit, found {line[:60]!r}")
                trees.append([_TOKENS[word] for word in words])
                targets.append(int(target))
        tokens, lengths = padded(trees, self.length)
        return Examples(tokens, np.array(targets, np.int64), lengths)


DATA = LraListops
