"""Selection of cases of a suite: one by its key or by words of its title, or all that match a filter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from attnbench.suites.case import Case
from attnbench.suites.problem import found

MOST_WORDS = 100
"""Maximum number of words and signs in an expression."""
_MOST_TOLD = 5

_TOKEN = re.compile(r"(?:and|or|not)(?![^\s()])|[()]|[^\s()]+(?:\([^()]*\)[^\s()]*)*")
"""A keyword, a parenthesis, or a word. Parentheses directly after a word belong to it, as in titles."""


class SelectionError(ValueError):
    """No case matches, or several do where one is wanted. The message lists cases."""


def pick(cases: Sequence[Case], words: str) -> Case:
    """Return the case with this key, or the only one whose title contains all the words.

    A word is a part of a title: `local block 512` finds `local_window(window=129)/blockwise N=512 ...`. If several
    match, those that contain every word as a whole word come first: `512` is then not matched by `N=5120`.

    Raises:
        SelectionError: no case matches, or several do.
    """
    by_key = [case for case in cases if case.key == words]
    asked = words.split()
    partly = [case for case in cases if asked and all(word in case.title for word in asked)]
    wholly = [case for case in partly if set(asked) <= whole(case.title)]
    for meant in (by_key, wholly, partly):
        if len(meant) == 1:
            return meant[0]
    if partly:
        told = wholly or partly
        raise SelectionError(_error(f"found {len(told)} with all of", words, "add a word, or give a key", told))
    raise SelectionError(_error("found none with all of", words, "nearest", _most_alike(cases, asked)))


def whole(title: str) -> set[str]:
    """Return the words of a title, split at spaces and also at signs."""
    return {*title.split(), *re.findall(r"\w+", title), *re.split(r"[/ ]", title)}


def _most_alike(cases: Sequence[Case], asked: list[str]) -> list[Case]:
    """Return the cases that contain most of the words, then the most similar ones."""

    def distance(case: Case) -> tuple[int, float]:
        alike = SequenceMatcher(None, " ".join(asked), case.title, autojunk=False).ratio()
        return -sum(word in case.title for word in asked), -alike

    return sorted(cases, key=distance)[:_MOST_TOLD]


def _error(instead: str, words: str, then: str, cases: Sequence[Case]) -> str:
    lines = [f'expected the key of one case or words of its title, {instead} "{words}"; {then}:']
    lines += [f"  {case.key}  {case.title}" for case in cases[:_MOST_TOLD]]
    more = len(cases) - _MOST_TOLD
    return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])


@dataclass(frozen=True)
class Narrowing:
    """Filter of cases: they must have one of the values of every given axis, and match the words.

    `words` is an expression over titles: `local_window and not (training or 4096)`. See `expressed`.
    """

    variant: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    direction: tuple[str, ...] = ()
    seq_len: tuple[int, ...] = ()
    words: str | None = None

    def __str__(self) -> str:
        """Return the filter as options of the command line."""
        told = [f"--{name} {value}" for name, values in self._axes().items() for value in values]
        return " ".join([*told, *([f'-k "{self.words}"'] if self.words is not None else [])])

    def _axes(self) -> dict[str, tuple[str | int, ...]]:
        """Return the values by the name of their option."""
        named = {"variant": self.variant, "device": self.device, "direction": self.direction}
        return {**named, "seq-len": self.seq_len}

    def of(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases that match, in their order.

        Raises:
            SelectionError: a value or a word matches no case, or no case matches all of them.
        """
        left = list(cases)
        for option, values in self._axes().items():
            if values:
                _check(option, values, [_fact(case, option) for case in cases])
                left = [case for case in left if _fact(case, option) in values]
        if self.words is not None:
            keys = expressed(cases, self.words)
            left = [case for case in left if case.key in keys]
        if not left:
            raise SelectionError(
                f"{self}: expected some case that fits, found none of {len(cases)}; leave something out"
            )
        return left


def expressed(cases: Sequence[Case], text: str) -> set[str]:
    """Return the keys of the cases whose titles match an expression of words with `and`, `or`, `not` and parentheses.

    Words side by side must all match, as in `pick`. A key matches its case. If a word is a whole word of some title, it
    matches whole words only (`512` does not match `N=5120`). Otherwise it matches parts of titles (`local`).

    Raises:
        SelectionError: the expression is invalid, or a word is in no title.
    """
    return _Reader(cases, text).read()


class _Reader:
    """Parser of an expression, by recursive descent: `or` of `and` of `not`."""

    def __init__(self, cases: Sequence[Case], text: str) -> None:
        self._cases = cases
        self._every = {case.key for case in cases}
        self._text = text
        self._tokens: list[str] = _TOKEN.findall(text)
        if len(self._tokens) > MOST_WORDS:
            raise SelectionError(f"-k: expected at most {MOST_WORDS} words, found {len(self._tokens)}; say it shorter")

    def read(self) -> set[str]:
        """Return the keys that match the whole expression."""
        fitting = self._either()
        if self._tokens:
            raise self._mistake("and, or, or the end")
        return fitting

    def _either(self) -> set[str]:
        fitting = self._all()
        while self._took("or"):
            fitting |= self._all()
        return fitting

    def _all(self) -> set[str]:
        fitting = self._one()
        while self._tokens and self._tokens[0] not in ("or", ")"):
            self._took("and")
            fitting &= self._one()
        return fitting

    def _one(self) -> set[str]:
        if self._took("not"):
            return self._every - self._one()
        if self._took("("):
            fitting = self._either()
            if not self._took(")"):
                raise self._mistake(")")
            return fitting
        if not self._tokens or self._tokens[0] in ("and", "or", ")"):
            raise self._mistake("a word")
        return self._meant(self._tokens.pop(0))

    def _meant(self, word: str) -> set[str]:
        """Return the keys of the cases that a word matches."""
        if word in self._every:
            return {word}
        wholly = {case.key for case in self._cases if word in whole(case.title)}
        partly = {case.key for case in self._cases if word in case.title}
        if not partly:
            near = [f"  {case.title}" for case in _nearest(self._cases, word)]
            raise SelectionError("\n".join([f'-k: expected a part of some title, found "{word}"; nearest:', *near]))
        return wholly or partly

    def _took(self, token: str) -> bool:
        """Consume the next token if it is this one, and return whether it was."""
        if self._tokens[:1] == [token]:
            del self._tokens[0]
            return True
        return False

    def _mistake(self, expected: str) -> SelectionError:
        instead = f'"{self._tokens[0]}"' if self._tokens else "the end"
        return SelectionError(f'-k "{self._text}": expected {expected}, found {instead}')


def _nearest(cases: Sequence[Case], word: str) -> list[Case]:
    """Return the cases whose titles contain the most similar words."""

    def distance(case: Case) -> float:
        return -max(SequenceMatcher(None, word, each, autojunk=False).ratio() for each in whole(case.title))

    return sorted(cases, key=distance)[:_MOST_TOLD]


def _fact(case: Case, option: str) -> str | int:
    """Return a case's value on the axis of an option."""
    value: str | int = case.flat()[option.replace("-", "_")]
    return value


def _check(option: str, values: Sequence[str | int], there: Sequence[str | int]) -> None:
    """Raise for a value that no case has."""
    names = [str(each) for each in dict.fromkeys(there)]
    for value in values:
        if value not in there:
            raise SelectionError(f"--{option}: expected one of this suite's {', '.join(names)}, {found(value, names)}")
