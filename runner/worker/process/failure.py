"""The status of a case after an exception or the death of its process."""

import signal
from typing import Protocol

from attnbench.suites import Status

_ALLOCATION = (
    *("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "cannot allocate memory"),
    "cublas_status_alloc_failed",
)


class DeviceLost(Exception):
    """An error broke the CUDA context, so every later call in this process would fail. The process must end."""


class Spoiled(Exception):
    """A case left something behind that would distort the measurement of others. The process must end."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Left(Exception):
    """A kernel left a thread or a process running. The message says which."""


def of_exception(error: BaseException) -> tuple[Status, str]:
    """Return the status and reason of a case that raised `error`."""
    text = _first_line(str(error))
    if isinstance(error, Left):
        return Status.FAILED, text
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    out_of_memory = isinstance(error, MemoryError) or any(words in str(error).lower() for words in _ALLOCATION)
    return (Status.OUT_OF_MEMORY if out_of_memory else Status.FAILED), reason


def of_exit(exitcode: int | None, last_words: str) -> tuple[Status, str]:
    """Return the status and reason of a case whose process ended with `exitcode` (negative: a signal)."""
    if exitcode is not None and exitcode < 0:
        how = f"its process was killed by {_signal(-exitcode)}"
        if -exitcode == signal.SIGKILL:
            how += " (the system's out-of-memory killer does that)"
    else:
        how = f"its process ended with exit code {exitcode}"
    return Status.CRASHED, f"{how}; last words: {last_words}" if last_words else how


def _signal(number: int) -> str:
    """Return the name of a signal, or its number if it is a real-time signal, which has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _first_line(text: str) -> str:
    """Return the first line that is not empty, at most 300 characters. If it ends in a colon, add the next one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[: 1 + lines[0].endswith(":")])[:300] if lines else ""


class Stage(Protocol):
    """Function that tells the parent which stage begins, so that the parent knows where a process died."""

    def __call__(self, name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
        """Begin a stage.

        `anew` restarts the time limit of the case, because the time of a compiler does not count. Time spent `aside`,
        such as in the proof, does not count either. It has a limit of its own, which each such call restarts.
        `share` is how much of a long request is done.
        """
