"""Threads and processes that a kernel leaves running when it returns.

A worker lists what runs before it calls a kernel and after. It kills new processes. A thread cannot be killed, so the
worker must be replaced.
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
from attnbench.variants.kernels import context_parallel

_PR_SET_CHILD_SUBREAPER = 36
_END_S = 5.0
_OF_TORCH = os.path.join("torch", "_inductor", "compile_worker")
"""Part of the command of the compile workers that torch keeps, if the user enables them."""

_MONITOR = "tqdm._monitor"
"""The thread that tqdm starts when torch's compiler makes a progress bar, shown or not. It sleeps."""

_COMPILERS = "TORCHINDUCTOR_COMPILE_THREADS"


@dataclass(frozen=True)
class Snapshot:
    """Threads of this process and its child processes at one time."""

    threads: frozenset[tuple[int, int | None]]
    """Each thread's identifier and, if Python's `threading` knows it, the number that the system gave it. A new thread
    often gets the identifier of one that has ended, never its number."""

    processes: frozenset[int]


def prepare() -> None:
    """Make this process adopt orphaned grandchildren, so that none escapes (Linux only).

    A process that is forked from this one ends with it and cannot fork. Otherwise the number of processes could double
    with each call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.register_at_fork(after_in_child=_subdue)


def end_forked(worker: int) -> None:
    """Exit at once if this process was forked from the `worker`, because it shares the worker's pipe."""
    if os.getpid() != worker:
        os._exit(1)


def snapshot() -> Snapshot:
    """Return what runs now."""
    return Snapshot(frozenset(_threads()), frozenset(each.pid for each in _processes()))


def left(before: Snapshot) -> str | None:
    """Describe a process or thread that did not run `before`, or return None. Takes microseconds if there is none.

    A process counts until it has been waited for. Compile workers of torch and ranks do not count.
    """
    for each in _processes():
        if each.pid not in before.processes and each.pid not in context_parallel.running():
            return "it left a process running"
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for thread, frame in _threads().items():
        if thread not in before.threads and not _is_of_torch(frame):
            ident, _ = thread
            return f"it left a thread running: {names.get(ident, ident)}"
    return None


def refuse(before: Snapshot) -> None:
    """Raise if something runs that did not run `before`. Kill it if it is a process.

    Raises:
        Left: something runs.
    """
    found = left(before)
    if found is not None:
        end_processes(before)
        raise failure.Left(found)


def end_processes(before: Snapshot) -> None:
    """Kill the processes that did not run `before`."""
    ended = [each for each in _processes() if each.pid not in before.processes]
    for each in ended:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(ended, timeout=_END_S)


def _subdue() -> None:
    """Make a forked process end with its parent and never fork."""
    end_with_parent()
    # Python cannot remove an audit hook, so the code of a kernel cannot either.
    sys.addaudithook(lambda event, _: os._exit(1) if event == "os.fork" else None)


def _threads() -> dict[tuple[int, int | None], FrameType]:
    """Return the innermost frame of each thread that runs Python, by its identifier and the system's number."""
    numbers = {thread.ident: thread.native_id for thread in threading.enumerate()}
    return {(ident, numbers.get(ident)): frame for ident, frame in sys._current_frames().items()}


def _processes() -> Iterator[psutil.Process]:
    """Yield all descendants of this process, without torch's compile workers."""
    try:
        # Nearly always there are none. This one system call finds that out much faster than a list of all processes.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not any(_OF_TORCH in word for word in _command(each)):
                yield each


def _command(process: psutil.Process) -> list[str]:
    """Return the command of a process. It is empty if the process has ended."""
    try:
        return process.cmdline()
    except psutil.ZombieProcess:
        return []


def _is_of_torch(frame: FrameType | None) -> bool:
    """Check whether a thread, given by its innermost frame, was started by torch.

    If torch compiles in several threads, every thread of a standard pool counts, because torch's pools look the same.
    """
    # The outermost frame that is not of `threading` is the function that the thread was started with.
    given = ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        given = given if name == "threading" else name
        frame = frame.f_back
    compiles = "torch._inductor.async_compile" in sys.modules and os.environ.get(_COMPILERS) != "1"
    return given.startswith("torch.") or given == _MONITOR or (compiles and given == "concurrent.futures.thread")


_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask the system to kill this process when the thread that started it ends (Linux only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
