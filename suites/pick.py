"""One case of a suite, by its key or by words of its title."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from attnbench.suites.case import Case

_MOST_TOLD = 5


class PickError(ValueError):
    """No case, or more than one, is meant: what was expected, what was found, and the nearest."""


def pick(cases: Sequence[Case], words: str) -> Case:
    """The case with this key, else the only one whose title holds all the words.

    A word is a part of the title: `local block 512` finds `local_window(window=129)/blockwise N=512 ...`. Where that
    leaves several, those in whose titles each word stands whole come first: `N=512` is not meant by `51`.

    Raises:
        PickError: there is none, or there are several.
    """
    by_key = [case for case in cases if case.key == words]
    asked = words.split()
    partly = [case for case in cases if asked and all(word in case.title for word in asked)]
    wholly = [case for case in partly if set(asked) <= whole(case.title)]
    for found in (by_key, wholly, partly):
        if len(found) == 1:
            return found[0]
    if partly:
        told = wholly or partly
        raise PickError(_error(f"found {len(told)} with all of", words, "add a word, or give a key", told))
    raise PickError(_error("found none with all of", words, "nearest", _nearest(cases, asked)))


def whole(title: str) -> set[str]:
    """The words of a title: split at blanks, and at signs too."""
    return {*title.split(), *re.findall(r"\w+", title), *re.split(r"[/ ]", title)}


def _nearest(cases: Sequence[Case], asked: list[str]) -> list[Case]:
    """The cases with the most of the words, then the most alike."""

    def distance(case: Case) -> tuple[int, float]:
        alike = SequenceMatcher(None, " ".join(asked), case.title, autojunk=False).ratio()
        return -sum(word in case.title for word in asked), -alike

    return sorted(cases, key=distance)[:_MOST_TOLD]


def _error(found: str, words: str, then: str, cases: Sequence[Case]) -> str:
    lines = [f'expected the key of one case or words of its title, {found} "{words}"; {then}:']
    lines += [f"  {case.key}  {case.title}" for case in cases[:_MOST_TOLD]]
    more = len(cases) - _MOST_TOLD
    return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])
