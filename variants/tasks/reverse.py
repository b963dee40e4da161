"""Reverse a sequence: the targets are its symbols, the last one first.

N symbols are drawn at random. Symbol s is token s + 1 and target s, 0 to S - 1.

Source: Grefenstette et al. 2015, arXiv 1506.02516, section 4.1.
"""

from dataclasses import dataclass
from pathlib import Path

from attnbench.variants.tasks import Examples, Split
from attnbench.variants.tasks.copy import Copy


@dataclass(frozen=True)
class Reverse(Copy):
    """Random symbols."""

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        drawn = super().draw(split, seed, folder)
        return Examples(drawn.tokens, drawn.targets[:, ::-1].copy())


DATA = Reverse
