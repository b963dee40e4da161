"""What the loaders of Long Range Arena's files share: finding files, and text as bytes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from attnbench.variants.tasks import Array

BYTES = 257
"""The vocabulary of bytes: byte b is token b + 1, and 0 is padding."""


def absent(name: str, folder: Path | None, places: Iterable[str], looks: str) -> str | None:
    """Return the first of some places that is not in the user's folder, as an error that says how it looks, or None."""
    if folder is None:
        return f"{name}: expected a folder with {looks}, found none; name one as the folder of data"
    for place in places:
        if not (folder / place).exists():
            return f"{name}: expected {folder / place} ({looks}), found none; name another folder of data"
    return None


def padded(rows: Sequence[Sequence[int] | bytes], n: int, add: int = 0) -> tuple[Array, Array]:
    """Return sequences of integers as tokens `M N` with `add` added, cut and padded with 0, and their lengths `M`."""
    tokens, lengths = np.zeros((len(rows), n), np.int16), np.zeros(len(rows), np.int32)
    for index, row in enumerate(rows):
        cut = row[:n]
        tokens[index, : len(cut)] = np.array([*cut], np.int16) + add
        lengths[index] = len(cut)
    return tokens, lengths
