"""A marked symbol in noise: the last token asks which symbol was marked.

N - 1 random symbols are tokens 1 to S. One of them, at a random place, is marked: it is S + 1 to 2 S instead. The last
token is 2 S + 1, and its target is the marked symbol, 0 to S - 1. No other token is scored, so a model that does not
mix tokens can only guess.

Source: after the passkey of Mohtashami and Jaggi 2023, arXiv 2305.16300, section 4.2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import UNSCORED, Data, Examples, Form, Split


@dataclass(frozen=True)
class Needle(Data):
    """Noise with one marked symbol, and a question."""

    length: int = parameter("tokens of a sequence with the question, N", default=128, minimum=2)
    symbols: int = parameter("different symbols, S", default=16, minimum=2)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, 2 * self.symbols + 2, self.symbols, "label", 1 / self.symbols)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        del folder
        generator, rows = self.generator(split, seed), np.arange(self.size(split))
        numbers = generator.integers(self.symbols, size=(len(rows), self.length))
        places = generator.integers(self.length - 1, size=len(rows))
        tokens = numbers + 1
        tokens[rows, places] += self.symbols
        tokens[:, -1] = 2 * self.symbols + 1
        targets = np.full(numbers.shape, UNSCORED, np.int64)
        targets[:, -1] = numbers[rows, places]
        return Examples(tokens.astype(np.int16), targets)


DATA = Needle
