"""Building blocks of sentences: lists and ends."""

from collections.abc import Mapping, Sequence

from attnbench.reports.data.values import plain

MOST_WORDS = 25
"""The most words of a sentence in the answer."""


def listed(told: Sequence[str]) -> str:
    """Join with commas: `a, b and c`."""
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def ends(told: Sequence[str]) -> str:
    """Join two ends: `a to b`, or `a` if they are equal."""
    return " to ".join(dict.fromkeys(told))


def change(name: str, was: object, now: object) -> str:
    """Write a change of a value: `torch was 2.12, then 2.13`, of a list what is new: `seq_len: added 128`."""
    if isinstance(was, list | tuple) and isinstance(now, list | tuple):
        added, gone = ([value(each) for each in a if each not in b] for a, b in ((now, was), (was, now)))
        told = [f"{word} {listed(each)}" for word, each in (("added", added), ("removed", gone)) if each]
        if told:
            return f"{plain(name)}: {', '.join(told)}"
    return f"{plain(name)} was {value(was)}, then {value(now)}"


def value(given: object) -> str:
    """Write a value of a suite or an environment in words: `local_window (window 65, edges slide)`."""
    if given is None:
        return "nothing"
    if isinstance(given, Mapping):
        parts = [(plain(name), value(each), isinstance(each, Mapping)) for name, each in given.items()]
        return ", ".join(f"{name} ({told})" if inner else f"{name} {told}" for name, told, inner in parts)
    if isinstance(given, list | tuple):
        return listed([value(each) for each in given]) or "none"
    return plain(given)
