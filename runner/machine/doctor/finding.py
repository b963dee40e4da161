"""One finding about the machine, and the check that makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

Level = Literal["unfit", "bad", "warning", "fact", "good"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Worst first. What is `unfit` makes numbers wrong; the others make them scatter."""

S = TypeVar("S")


class Unread(Exception):
    """Information that cannot be read here; the message says what and why."""


class Forbidden(Unread):
    """Information that this process may not read."""


@dataclass(frozen=True)
class Finding:
    """What was found, why it matters for timings, and what to do.

    `found` is a phrase; `why` and `do` are one sentence each. `do` is empty if there is nothing to do.
    """

    name: str
    level: Level
    found: str
    why: str
    do: str = ""


@dataclass(frozen=True)
class Answer:
    """The part of a finding that depends on the machine."""

    level: Level
    found: str
    do: str = ""


@dataclass(frozen=True)
class Check(Generic[S]):
    """One check of a subject S: the machine, a one-second observation of it, or a GPU."""

    name: str
    why: str
    look: Callable[[S], Answer]

    def finding(self, subject: S, prefix: str = "") -> Finding:
        """Run the check. If something cannot be read, the finding is a `fact` that says so."""
        try:
            answer = self.look(subject)
        except (Unread, OSError) as reason:
            answer = Answer("fact", f"cannot be read: {reason}")
        except (ValueError, LookupError) as error:
            answer = Answer("fact", f"cannot be read: its content is not as expected ({error})")
        return Finding(prefix + self.name, answer.level, answer.found, self.why, answer.do)
