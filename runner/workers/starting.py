"""The process state that a new worker inherits: environment, standard error, Ctrl-C, and `__main__`."""

import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.connection import Connection
from types import ModuleType
from typing import NamedTuple

from attnbench.runner.machine import system_errors

_PAUSE_S = 5
"""The longest pause within a message."""


def fail_slow_reads(pipe: Connection) -> None:
    """Make reads from a pipe fail with BlockingIOError if no data arrives for `_PAUSE_S`."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PAUSE_S, 0))


def prepare_environment() -> None:
    """Set the environment variables of all workers. They are read at the start of a process.

    Waiting threads sleep, so that workers do not disturb each other. torch compiles without helper processes, which
    would still run while other cases are timed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables while a process starts, so that it inherits them.

    Variables that are set for the parent only are removed meanwhile.
    """
    before = dict(os.environ)
    for name in system_errors.not_inherited():
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


class Interpreter(NamedTuple):
    """A Python of another environment."""

    program: str
    path: tuple[str, ...]
    """Where it searches imports."""


@contextmanager
def interpreter(other: Interpreter | None) -> Iterator[None]:
    """Start a fresh process with another interpreter. It inherits the import path; None changes nothing."""
    if other is None:
        yield
        return
    program, path = spawn.get_executable(), sys.path
    spawn.set_executable(other.program)
    sys.path = list(other.path)
    try:
        yield
    finally:
        spawn.set_executable(program)
        sys.path = path


@contextmanager
def errors_to(log: int) -> Iterator[None]:
    """Redirect standard error to a log while a process starts, so that its error messages go there."""
    kept = os.dup(2)
    try:
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def program_hidden() -> Iterator[None]:
    """Replace `__main__` while a process starts, because a fresh interpreter would run the user's script again.

    So scripts need no `if __name__ == "__main__":`, and workers do not import what a script imports.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Block Ctrl-C while a process starts. The process inherits this, so only the parent receives the signal.

    Blocking alone is not enough: the system may deliver the signal to another thread, and Python then interrupts the
    main thread. So the handler is replaced too.
    """
    held: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if in_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)
