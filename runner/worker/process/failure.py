"""The status of a case after an exception or the death of its process."""

import signal
from typing import Protocol

from attnbench.suites import Status

_ALLOCATION = (
    *("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "cannot allocate memory"),
    "cublas_status_alloc_failed",
)


class DeviceLost(Exception):
    """An error left the CUDA context of this process unusable: every later call would fail with the same error.

    Only a new process helps, so the one that raises this ends.
    """


class Spoiled(Exception):
    """A case left something in this process that would be measured with every other one; the process ends."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Left(Exception):
    """A kernel left something running: what."""


def of_exception(error: BaseException) -> tuple[Status, str]:
    """The status and reason of a case that raised `error`."""
    text = _first_line(str(error))
    if isinstance(error, Left):
        return Status.FAILED, text
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    out_of_memory = isinstance(error, MemoryError) or any(words in str(error).lower() for words in _ALLOCATION)
    return (Status.OUT_OF_MEMORY if out_of_memory else Status.FAILED), reason


def of_exit(exitcode: int | None, last_words: str) -> tuple[Status, str]:
    """The status and reason of a case whose process ended with `exitcode` (negative: a signal)."""
    if exitcode is not None and exitcode < 0:
        how = f"its process was killed by {_signal(-exitcode)}"
        if -exitcode == signal.SIGKILL:
            how += " (the system's out-of-memory killer does that)"
    else:
        how = f"its process ended with exit code {exitcode}"
    return Status.CRASHED, f"{how}; last words: {last_words}" if last_words else how


def _signal(number: int) -> str:
    """The name of a signal; those for real time have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _first_line(text: str) -> str:
    """The first line that says something, of bounded length; where it ends in a colon, with the one that follows."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[: 1 + lines[0].endswith(":")])[:300] if lines else ""


class Stage(Protocol):
    """Tells what is being done from now on, so that the parent knows where a death struck."""

    def __call__(self, name: str, *, anew: bool = False, aside: bool = False) -> None:
        """`anew` asks for all the time of a case from here on: a compiler's time is not the case's.

        What is done `aside` takes nothing of it, and may take as long each time that it is told: the proof does.
        """
