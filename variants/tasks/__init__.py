"""Data of tasks: tokens, and what a trained model should say about them. Each is a module that names its class `DATA`.

Some are drawn from a recipe, some are in packages, and `lra_*` read the files of Long Range Arena. Importing this
package imports neither torch nor scikit-learn.
"""

import hashlib
import importlib
import inspect
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from attnbench.variants import _cache, _kinds
from attnbench.variants._parameters import Parameters, parameter

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Kind = Literal["class", "label", "sequence"]
Array = np.ndarray[Any, Any]
FOLDER = "ATTNBENCH_DATA"
"""The environment variable that names the folder with the user's files of data."""
UNSCORED = -1
"""The target of a token that is not scored."""


class DataError(ValueError):
    """Data is not here, or is not in its format; the text says why in one line."""


@dataclass(frozen=True)
class Form:
    """The shape of data.

    `kind` is `class` (one target for a sequence), `label` (one for each token) or `sequence` (a sequence of targets).
    The tokens of all `fields` share one range, so that a token is the sum of its fields' embeddings.
    """

    seq_len: int
    """Tokens of a sequence, N, with padding."""
    vocabulary: int
    """Tokens are 0 to this number - 1."""
    classes: int
    """Targets are 0 to this number - 1."""
    kind: Kind
    chance: float
    """The score of guessing."""
    fields: int = 1
    """Integers of a token."""
    documents: int = 1
    """Sequences of an example. With two, a model reads each alone, and its head compares what it read."""
    padded: bool = False
    """Whether token 0 is padding."""
    target_len: int = 1
    """Targets of an example, T, where `kind` is `sequence`."""


@dataclass(frozen=True)
class Examples:
    """M examples. Padding is at the end of a sequence, and is token 0."""

    tokens: Array
    """int16 `M N`, or `M N fields`, or `M documents N`."""
    targets: Array
    """int64: `M` for a class, `M N` for labels with -1 where none is scored, `M T` for a sequence."""
    lengths: Array | None = None
    """int32 `M`, or `M documents`: tokens without padding. None if there is no padding."""

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {name: array for name, array in vars(self).items() if array is not None}


@dataclass(frozen=True)
class Data(Parameters):
    """Where examples come from, with its parameters. A kind of data subclasses it.

    Equal parameters, split and seed give equal bytes on every machine. Validation and test do not depend on the seed.
    """

    train: int = parameter("examples to train with", default=20_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with", default=1_000, minimum=1)
    test: int = parameter("examples to score with", default=2_000, minimum=1)

    is_cached: ClassVar[bool] = False
    """Whether drawn examples are kept in the user's cache folder."""

    @property
    def name(self) -> str:
        """The name of the data: that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def form(self) -> Form:
        """The shape of the data."""
        raise NotImplementedError

    def missing(self, folder: Path | None) -> str | None:
        """Return why the data is not here, or None. `folder` has the files of `lra_*`."""
        del folder
        return None

    def examples(self, split: Split, seed: int, folder: Path | None = None) -> Examples:
        """Return the examples of a split.

        Raises:
            DataError: the data is not here, or is not in its format.
            ValueError: there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
        if problem := self.missing(folder):
            raise DataError(problem)
        seed = seed if split == "train" else 0
        if not self.is_cached:
            return self.draw(split, seed, folder)
        return Examples(**_cache.arrays(self._file(split, seed), lambda: self.draw(split, seed, folder).arrays()))

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Make or read the examples of a split. A kind of data overrides it."""
        raise NotImplementedError

    def size(self, split: Split) -> int:
        """Return how many examples a split has, or may have at most."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def generator(self, *parts: object) -> np.random.Generator:
        """Return a generator whose seed comes from the name, the parameters without sizes of splits, and `parts`."""
        digest = hashlib.sha256(f"{self._recipe()} {parts}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))

    def _recipe(self) -> str:
        given = [_kinds.assigned(self, each.name) for each in fields(self) if each.name not in SPLITS]
        return f"{self.name}({', '.join(given)})"

    def _file(self, split: Split, seed: int) -> str:
        """Return the name of the cached file, which changes with the recipe and with the code that draws."""
        code = hashlib.sha256(inspect.getsource(importlib.import_module(type(self).__module__)).encode()).hexdigest()
        told = f"{self._recipe()} {split} {self.size(split)} {seed} {code}"
        return f"{self.name}-{split}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def folder() -> Path | None:
    """Return the folder with the user's files of data, which ATTNBENCH_DATA names; None if that is not set."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else None


def sha256(examples: Examples) -> str:
    """Return the SHA-256 of examples, by which a run records what it was given."""
    return _cache.sha256(examples.arrays())


def names() -> tuple[str, ...]:
    """Return the names of all kinds of data."""
    return _kinds.names(__name__)


def load(name: str) -> type[Data]:
    """Return the class of the data called `name`.

    Raises:
        KeyError: there is no such data.
    """
    found: type[Data] = _kinds.module(__name__, name).DATA
    return found


def describe(name: str) -> str:
    """Return the first line of the docstring of the data's module."""
    return _kinds.summary(_kinds.module(__name__, name))


def written(data: Data) -> str:
    """Return data as text: `mqar`, or `mqar(pairs=16)`, without parameters at defaults."""
    return _kinds.written(data.name, data)


@lru_cache
def read(text: str) -> Data:
    """Return the data that `written` wrote.

    Raises:
        ValueError: it is not data.
    """
    name, given = _kinds.parsed(text) or ("", {})
    if name not in names():
        raise ValueError(f"data: expected one of {', '.join(names())}, found {text!r}")
    known = [each.name for each in fields(load(name))]
    if unknown := [each for each in given if each not in known]:
        raise ValueError(f"data: {name}: expected parameters among {', '.join(known)}, found {unknown[0]}")
    try:
        return load(name)(**given)
    except ValueError as error:
        raise ValueError(f"data: {name}: {error}") from None
