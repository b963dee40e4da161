"""The surroundings of a starting worker: environment, standard error, Ctrl-C, and the program's own file."""

import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import ModuleType

from attnbench.runner.machine import system_errors

_PAUSE_S = 5
"""A message that has begun to come does not pause for so long."""


def fail_slow_reads(pipe: Connection) -> None:
    """Have a read from a pipe of ours fail with BlockingIOError where nothing comes for too long."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PAUSE_S, 0))


def prepare_environment() -> None:
    """What every worker inherits: threads that wait asleep, so that no worker disturbs another's cores.

    And torch compiles without processes of its own: they would outlive a case, and be there while others are timed.
    Both are read when a process starts, so they must be set before one does.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


@contextmanager
def quietly(variables: Mapping[str, str], log: int) -> Iterator[None]:
    """All that holds while a process starts: `variables` in its environment, its standard error in the file `log`."""
    with interrupts_held(), program_hidden(), environment(variables), errors_to(log):
        yield


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables while a process starts, which inherits them; what the user has set stays.

    What is set for the parent alone is hidden.
    """
    hidden = {name: os.environ.pop(name) for name in system_errors.not_inherited()}
    added = variables.keys() - os.environ.keys()
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        os.environ.update(hidden)


@contextmanager
def errors_to(log: int) -> Iterator[None]:
    """Send standard error to a log while a process starts, which inherits that: its last words belong there."""
    kept = os.dup(2)
    try:
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def program_hidden() -> Iterator[None]:
    """Hide what runs as `__main__` while a process starts: a fresh interpreter would run a script's file once more.

    So a script needs no guard around what it does, and what it imports costs no worker anything.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts: it inherits that, and only the parent ever sees the signal.

    Blocking alone will not do: the system then hands the signal to another thread, and Python interrupts the main one.
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
