"""Threads and processes that a kernel leaves running when it returns.

A worker looks before it lets a kernel do anything, and after its calls. It ends the processes. A thread cannot be ended
from outside: only a new worker is free of it.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import psutil

from attnbench.runner.worker.process import failure

_PR_SET_CHILD_SUBREAPER = 36
_END_S = 5.0
_OF_TORCH = os.path.join("torch", "_inductor", "compile_worker")
"""In the command of processes that torch keeps to compile with, where the user asks for them."""

_COMPILERS = "TORCHINDUCTOR_COMPILE_THREADS"


@dataclass(frozen=True)
class Snapshot:
    """What runs in this process and below it at a moment."""

    threads: frozenset[int]
    processes: frozenset[int]


def prepare() -> None:
    """Make this process one from which nothing gets away: a child of a child that ends is its own child; Linux only.

    A process that is forked here ends with this one, and forks no others: they would be twice as many with each call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.register_at_fork(after_in_child=_subdue)


def end_forked(worker: int) -> None:
    """End this process at once if it is not the `worker` but was forked from it: it has the worker's pipe too."""
    if os.getpid() != worker:
        os._exit(1)


def snapshot() -> Snapshot:
    """What runs now."""
    return Snapshot(frozenset(sys._current_frames()), frozenset(each.pid for each in _processes()))


def left(before: Snapshot) -> str | None:
    """What runs that did not run `before`, in words; None if nothing does. Takes microseconds where nothing does.

    A process counts until somebody has waited for its end. What torch keeps to compile with does not count.
    """
    for each in _processes():
        if each.pid not in before.processes:
            return "it left a process running"
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident not in before.threads and not _is_of_torch(frame):
            return f"it left a thread running: {names.get(ident, ident)}"
    return None


def refuse(before: Snapshot) -> None:
    """End what can be ended of what did not run `before`.

    Raises:
        Left: there was something.
    """
    found = left(before)
    if found is not None:
        end_processes(before)
        raise failure.Left(found)


def end_processes(before: Snapshot) -> None:
    """End the processes that did not run `before`."""
    ended = [each for each in _processes() if each.pid not in before.processes]
    for each in ended:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(ended, timeout=_END_S)


def _subdue() -> None:
    """In a process that was just forked."""
    end_with_parent()
    sys.addaudithook(lambda event, _: os._exit(1) if event == "os.fork" else None)


def _processes() -> Iterator[psutil.Process]:
    """The processes below this one."""
    try:
        # One call says that there are none, which is what nearly always is so.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not any(_OF_TORCH in word for word in _command(each)):
                yield each


def _command(process: psutil.Process) -> list[str]:
    """The command of a process; one that has ended has none any more."""
    try:
        return process.cmdline()
    except psutil.ZombieProcess:
        return []


def _is_of_torch(frame: FrameType | None) -> bool:
    """Whether a thread runs what torch gave it to do, from its innermost frame.

    Where the user has torch compile in several threads, it keeps pools, whose threads are like those of anybody's pool.
    """
    given = ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        given = given if name == "threading" else name
        frame = frame.f_back
    compiles = "torch._inductor.async_compile" in sys.modules and os.environ.get(_COMPILERS) != "1"
    return given.startswith("torch.") or (compiles and given == "concurrent.futures.thread")


_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the system end this process at once with the thread that started it, whatever it is doing; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
