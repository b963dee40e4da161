"""Padding: the sequences of a batch have different lengths, and each fills the first places of its N.

A shape holds it as text: `none`, `padded(least=0.5)`, `padded(least=0.5, seed=1)` or `padded(lengths=512x300)`.
"""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache

NO_PADDING = "none"
MOST_LENGTHS = 100
"""Most exact lengths: they are part of a case's title."""
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?"
_FORM = re.compile(rf"padded\((?:least=({_NUMBER})(?:, seed=([0-9]+))?|lengths=([0-9]+(?:x[0-9]+)*))\)")


@dataclass(frozen=True)
class Padding:
    """Lengths of the sequences of a batch, drawn or exact.

    With `least`, each is drawn uniformly from the integers from `least` N to N, with a hash of the seed and its number
    in the batch. So all machines have the same lengths, and a sequence keeps its share of N at another N. Exact
    `lengths` are repeated over the batch.

    Raises:
        ValueError: there are neither `least` nor `lengths`, or both, or a value is out of its range.
    """

    least: float | None = None
    seed: int = 0
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.least is None) is (not self.lengths):
            raise ValueError(f"padding: expected least or lengths, found {'both' if self.lengths else 'neither'}")
        if self.least is not None and not 0 < self.least <= 1:
            raise ValueError(f"padding: expected a least above 0, at most 1, found {self.least}")
        if self.seed < 0 or (self.seed and self.lengths):
            raise ValueError(f"padding: expected a seed of at least 0, and beside least, found {self.seed}")
        if len(self.lengths) > MOST_LENGTHS:
            raise ValueError(f"padding: expected at most {MOST_LENGTHS} lengths, found {len(self.lengths)}")
        if min(self.lengths, default=1) < 1:
            raise ValueError(f"padding: expected lengths of at least 1, found {min(self.lengths)}")

    def __str__(self) -> str:
        """Return the text that `read` reads."""
        if self.lengths:
            return f"padded(lengths={'x'.join(map(str, self.lengths))})"
        return f"padded(least={self.least}{f', seed={self.seed}' if self.seed else ''})"

    def of(self, batch: int, n: int) -> tuple[int, ...]:
        """Return the length of each sequence in a batch of sequences with N places."""
        if self.least is None:
            return tuple(self.lengths[entry % len(self.lengths)] for entry in range(batch))
        # Rounding may put a product that is whole just above it.
        low = max(1, math.ceil(self.least * n - 1e-9))
        return tuple(low + (_bits(self.seed, entry) * (n - low + 1) >> 64) for entry in range(batch))

    def scaled(self, before: int, n: int) -> "Padding":
        """Return the padding at another N; exact lengths keep their share of N."""
        if not self.lengths:
            return self
        return Padding(lengths=tuple(max(1, length * n // before) for length in self.lengths))


@lru_cache
def read(text: str) -> Padding | None:
    """Return the padding that a shape holds as text, or None.

    Raises:
        ValueError: it is not the text of a padding.
    """
    if text == NO_PADDING:
        return None
    found = _FORM.fullmatch(text)
    if found:
        least, seed, lengths = found.groups()
        exact = tuple(map(int, lengths.split("x"))) if lengths else ()
        made = Padding(float(least) if least else None, int(seed or 0), exact)
        if str(made) == text:
            return made
    raise ValueError(f"padding: expected none, padded(least=0.5) or padded(lengths=512x300), found {text!r}")


def _bits(seed: int, entry: int) -> int:
    """Return 64 random bits of one sequence of a batch."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{entry}".encode()).digest()[:8], "little")
