"""Tag each word: the tag depends on the word, the word before it, and the last switch, which may be far away.

A fixed table gives each of W words four different tags of C, and a kind, 0 or 1. Word w, after a word of kind k (0 at
the start), gets the tag table[w, 2 m + k]. The mode m is 0 at first. Two more words, switches, set it to 0 and to 1
from the next word on. A word is a switch with probability 1 / `reach`, so the last one is about `reach` words away.
Switches have kind 0, and the tags 0 and 1. Words are tokens 1 to W, switches W + 1 and W + 2.

Stands in for part-of-speech tagging, where the tag of a word depends on its context; it needs no corpus.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.variants._parameters import parameter
from attnbench.variants.tasks import Data, Examples, Form, Split


@dataclass(frozen=True)
class Tagging(Data):
    """Random words with tags by a rule."""

    length: int = parameter("words of a sequence, N", default=64, minimum=1)
    words: int = parameter("different words without switches, W", default=50, minimum=1)
    tags: int = parameter("different tags, C", default=12, minimum=4)
    reach: int = parameter("mean number of words from one switch to the next", default=16, minimum=2)

    @property
    def form(self) -> Form:
        """The shape of the data."""
        return Form(self.length, self.words + 3, self.tags, "label", 1 / self.tags)

    def draw(self, split: Split, seed: int, folder: Path | None) -> Examples:
        """Draw the examples of a split."""
        del folder
        table, kinds = self.rule()
        generator = self.generator(split, seed)
        sizes = self.size(split), self.length
        words = generator.integers(self.words, size=sizes)
        is_switch = generator.random(sizes) * self.reach < 1
        words = np.where(is_switch, self.words + generator.integers(2, size=sizes), words)
        last = np.maximum.accumulate(np.where(is_switch, np.arange(self.length), -1), axis=1)
        modes = np.take_along_axis(words, np.maximum(last, 0), 1) - self.words
        modes = np.pad(np.where(last < 0, 0, modes), ((0, 0), (1, 0)))[:, :-1]
        before = np.pad(kinds[words], ((0, 0), (1, 0)))[:, :-1]
        return Examples((words + 1).astype(np.int16), table[words, 2 * modes + before].astype(np.int64))

    def rule(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the table of tags `W + 2, 4`, and the kinds `W + 2` of words and then switches."""
        generator = self.generator("rule")
        table = generator.permuted(np.tile(np.arange(self.tags), (self.words, 1)), axis=1)[:, :4]
        kinds = generator.integers(2, size=self.words)
        switches = np.repeat(np.array([[0], [1]]), 4, axis=1)
        return np.concatenate([table, switches]), np.pad(kinds, (0, 2))


DATA = Tagging
