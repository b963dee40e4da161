"""ListOps: the value, 0 to 9, of nested lists with MIN, MAX, MED and SM.

A tree is a digit with probability 3/4, or always at the depth `depth`; otherwise it is one of the four operators with 2
to `arguments` trees. MED is the median rounded down, SM the sum modulo 10. Its tokens are an opening bracket with the
operator (11 to 14), the arguments, and a closing bracket (15); digits are 1 to 10. Trees of `shortest` to `longest`
tokens are kept, each once. The SHA-256 of a tree says which split it may be in: no tree is in two splits.

Source: Nangia and Bowman 2018, arXiv 1804.06028, as in Tay et al. 2020, arXiv 2011.04006, section 2.2.1, and its
published generator (500 to 2,000 tokens, depth 10, 10 arguments).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, Examples, Form, Split

OPERATORS = ("MIN", "MAX", "MED", "SM")
FIRST_OPERATOR, CLOSE = 11, 15
_OPERATOR_RATE = 0.25
_BLOCK = 65_536
_FRUITLESS = 200_000
"""Trees in a row, none of them kept, after which there are taken to be no more."""


@dataclass(frozen=True)
class Listops(Data):
    """Random trees and their values."""

    train: int = parameter("examples to train with", default=10_000, minimum=1)
    validation: int = parameter("examples to choose a learning rate with", default=500, minimum=1)
    test: int = parameter("examples to score with", default=1_000, minimum=1)
    shortest: int = parameter("tokens of the shortest tree", default=30, minimum=1)
    longest: int = parameter("tokens of the longest tree, N", default=120, minimum=1)
    depth: int = parameter("the depth at which all trees are digits; the root has 1", default=10, minimum=2)
    arguments: int = parameter("the largest number of arguments", default=10, minimum=2)

    is_cached: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest < self.shortest:
            raise ValueError(f"longest: expected at least shortest ({self.shortest}), found {self.longest}")

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.longest, 16, 10, "class", 0.1, padded=True)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split.

        Raises:
            ValueError: there are not as many trees.
        """
        del folder
        number, m = _numbers(self.generator(split, seed)), self.size(split)
        found: dict[bytes, int] = {}
        fruitless = 0
        while len(found) < m:
            drawn = self._tree(number)
            fruitless += 1
            if drawn and len(drawn[0]) >= self.shortest:
                tree = bytes(drawn[0])
                if tree not in found and _split(tree) == split:
                    found[tree] = drawn[1]
                    fruitless = 0
            if fruitless > _FRUITLESS:
                raise ValueError(f"{split}: expected {m} different trees, found {len(found)}; allow more lengths")
        tokens_of = np.zeros((m, self.longest), np.int16)
        for row, tree in zip(tokens_of, found, strict=True):
            row[: len(tree)] = np.frombuffer(tree, np.uint8)
        return Examples(tokens_of, np.array([*found.values()], np.int64), np.array([*map(len, found)], np.int32))

    def _tree(self, number: Callable[[], float]) -> tuple[list[int], int] | None:
        """Return a tree and its value, or None as soon as it must become too long."""
        tokens: list[int] = []
        room = self.longest - 1  # tokens that are free if every tree that is not drawn yet is a digit

        def draw(depth: int) -> int | None:
            nonlocal room
            # No tree with two tokens or more is a digit, so the root is none where a digit is too short.
            is_operator = depth == 1 and self.shortest > 1
            if depth >= self.depth or not (is_operator or number() < _OPERATOR_RATE):
                digit = int(number() * 10)
                tokens.append(digit + 1)
                return digit
            operator = int(number() * len(OPERATORS))
            count = 2 + int(number() * (self.arguments - 1))
            room -= count + 1
            if room < 0:
                return None
            tokens.append(FIRST_OPERATOR + operator)
            values = []
            for _ in range(count):
                value = draw(depth + 1)
                if value is None:
                    return None
                values.append(value)
            tokens.append(CLOSE)
            return _apply(OPERATORS[operator], values)

        value = draw(1)
        return None if value is None else (tokens, value)


def _apply(operator: str, values: list[int]) -> int:
    """Return the value of an operator."""
    if operator == "MIN":
        return min(values)
    if operator == "MAX":
        return max(values)
    if operator == "SM":
        return sum(values) % 10
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) // 2


def _split(tree: bytes) -> Split:
    """Return the split that a tree may be in: a fifth each is for validation and test."""
    fifth = hashlib.sha256(tree).digest()[0] % 5
    return "test" if fifth == 0 else "validation" if fifth == 1 else "train"


def _numbers(generator: np.random.Generator) -> Callable[[], float]:
    """Return a function that returns one uniform number after another, drawn in blocks for speed."""

    def each() -> Iterator[float]:
        while True:
            yield from generator.random(_BLOCK).tolist()

    return each().__next__


DATA = Listops
