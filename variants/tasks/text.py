"""Text: say from which module of Python's standard library a window of N bytes is.

Ten large modules that CPython 3.11 to 3.14 have are the classes. Windows to train with come from the first 70 % of a
file, those for validation from the next 15 %, and those to test from the last 15 %, so that no byte is in two splits.
All modules have equally many windows, up to one. Byte b is token b + 1. The files differ between versions of Python,
so scores compare only where the SHA-256 of the data is the same.

Stands in for the byte-level classification of reviews in Tay et al. 2020, arXiv 2011.04006, section 2.2.2.
"""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, Examples, Form, Split

MODULES = (
    "_pydecimal",
    "argparse",
    "difflib",
    "doctest",
    "inspect",
    "mailbox",
    "pickletools",
    "subprocess",
    "tarfile",
    "typing",
)
_REGIONS = {"train": (0.0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1.0)}
_SMALLEST = 60_000
"""Bytes that each of the files has at least."""


@dataclass(frozen=True)
class Text(Data):
    """Windows of bytes."""

    length: int = parameter("bytes of a window, N, at most 4,096", default=256, minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length > 4_096:
            raise ValueError(f"length: expected at most 4,096, found {self.length:,}")

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, 257, len(MODULES), "class", 1 / len(MODULES))

    def missing(self, folder: Path | None) -> str | None:
        """Return which module's source is not here, or None."""
        del folder
        for path in _files():
            if not path.is_file():
                return f"text: expected the source {path}, found none; install the standard library with its sources"
            if path.stat().st_size < _SMALLEST:
                return f"text: expected at least {_SMALLEST:,} bytes in {path}, found {path.stat().st_size:,}"
        return None

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the windows of a split."""
        del folder
        generator, m = self.generator(split, seed), self.size(split)
        targets = generator.permutation(np.arange(m) % len(MODULES))
        places = generator.random(m)
        tokens = np.empty((m, self.length), np.int16)
        for module, path in enumerate(_files()):
            text = np.frombuffer(path.read_bytes(), np.uint8)
            start, stop = (int(share * len(text)) for share in _REGIONS[split])
            (rows,) = np.nonzero(targets == module)
            starts = start + (places[rows] * (stop - start - self.length + 1)).astype(int)
            tokens[rows] = text[starts[:, None] + np.arange(self.length)].astype(np.int16) + 1
        return Examples(tokens, targets.astype(np.int64))


def _files() -> list[Path]:
    """Return the modules' sources."""
    return [Path(sysconfig.get_path("stdlib"), f"{module}.py") for module in MODULES]


DATA = Text
