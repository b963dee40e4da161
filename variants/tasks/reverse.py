"""Reverse a sequence: the targets are its symbols, the last one first.

N symbols are drawn at random. Symbol s is token s + 1 and target s, 0 to S - 1.

Source: Grefenstette et al. 2015, arXiv 1506.02516, section 4.1.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, Examples, Form, Split


@dataclass(frozen=True)
class Reverse(Data):
    """Random symbols."""

    length: int = parameter("symbols of a sequence, N", default=32, minimum=1)
    symbols: int = parameter("different symbols, S", default=16, minimum=2)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        n, symbols = self.length, self.symbols
        return Form(n, symbols + 1, symbols, "sequence", 1 / symbols, target_len=n)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        del folder
        numbers = self.generator(split, seed).integers(self.symbols, size=(self.size(split), self.length))
        return Examples((numbers + 1).astype(np.int16), numbers[:, ::-1].copy())


DATA = Reverse
