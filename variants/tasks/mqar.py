"""Associative recall: after pairs of a key and a value, each key comes again, and its value is asked.

The P pairs have different keys and any values; then all keys follow in another order. Keys are tokens 1 to S, values S
+ 1 to 2 S, and a target is the number of a value, 0 to S - 1, at each query.

- `tokens: joint`: a token is the sum of a key and a value. N = 2 P. A query has the blank 0 as its value.
- `tokens: separate`: key and value are two tokens. N = 3 P. This takes far longer to learn.

Source: Arora et al. 2023, arXiv 2312.04927, section 3 (multi-query associative recall), where queries are spread out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import UNSCORED, Data, Examples, Form, Split


@dataclass(frozen=True)
class Mqar(Data):
    """Pairs, and then queries."""

    pairs: int = parameter("pairs of a key and a value, P", default=8, minimum=1)
    symbols: int = parameter("different keys, and different values, S", default=32, minimum=2)
    tokens: Literal["joint", "separate"] = parameter("whether a token holds a pair", default="joint")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pairs <= self.symbols <= 16_000:
            raise ValueError(f"symbols: expected pairs ({self.pairs}) to 16,000, found {self.symbols}")

    @property
    def form(self) -> Form:
        """The shape of the data."""
        joint = self.tokens == "joint"
        n = self.pairs * (2 if joint else 3)
        return Form(n, 2 * self.symbols + 1, self.symbols, "label", 1 / self.symbols, fields=2 if joint else 1)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        del folder
        generator, m, p = self.generator(split, seed), self.size(split), self.pairs
        keys = generator.permuted(np.tile(np.arange(self.symbols), (m, 1)), axis=1)[:, :p]
        values = generator.integers(self.symbols, size=(m, p))
        order = generator.permuted(np.tile(np.arange(p), (m, 1)), axis=1)
        asked, answers = np.take_along_axis(keys, order, 1) + 1, np.take_along_axis(values, order, 1)
        given = np.stack([keys + 1, values + 1 + self.symbols], -1)
        if self.tokens == "joint":
            tokens = np.concatenate([given, np.stack([asked, np.zeros_like(asked)], -1)], 1)
        else:
            tokens = np.concatenate([given.reshape(m, 2 * p), asked], 1)
        unasked = np.full((m, tokens.shape[1] - p), UNSCORED)
        return Examples(tokens.astype(np.int16), np.concatenate([unasked, answers], 1).astype(np.int64))


DATA = Mqar
