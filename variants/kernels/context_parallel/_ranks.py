"""The parent's side of ranks: processes of one thread, or one GPU, that share the sequence of each call."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

_ENTRY = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # end with the parent
sys.path[:] = {path}
from attnbench.variants.kernels.context_parallel._rank import main
main({rank}, {world}, {kind!r}, {meeting!r})
"""
_numbers = count()
_SHARED: "dict[tuple[int, str], Ranks]" = {}


class RankError(RuntimeError):
    """A rank failed or ended."""


class Ranks:
    """The ranks of one number. They wait, without taking CPU time, until they are asked."""

    def __init__(self, world: int, kind: str) -> None:
        self.world = world
        self.kind = kind
        self._processes: list[subprocess.Popen[str]] = []

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [each.pid for each in self._processes]

    def ask(self, do: str, **told: Any) -> Mapping[str, int]:
        """Have all ranks do something, and wait until all have done it. Return the most of what they say of it.

        Raises:
            RankError: one failed or ended. All are then ended.
        """
        line = json.dumps({"do": do, **told}) + "\n"
        try:
            for each in self._processes:
                assert each.stdin
                each.stdin.write(line)
                each.stdin.flush()
            return self._hear()
        except OSError as error:
            self.end()
            raise RankError(f"a rank ended: {error.strerror}") from None

    def start(self) -> None:
        """Start the ranks if they do not run."""
        if self._processes and all(each.poll() is None for each in self._processes):
            return
        self.end()
        with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
            meeting = str(Path(folder) / "meeting")
            told = {"path": sys.path, "world": self.world, "kind": self.kind, "meeting": meeting}
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            for rank in range(self.world):
                entry = _ENTRY.format(rank=rank, **told)
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", entry],
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            self._hear()

    def end(self) -> None:
        """End all ranks."""
        for each in self._processes:
            with each:  # waits for it and closes its pipes
                each.kill()
        self._processes = []

    def _hear(self) -> Mapping[str, int]:
        """Read the answer of each rank. Return the most of each number."""
        most: dict[str, int] = {}
        for rank, each in enumerate(self._processes):
            assert each.stdout
            line = each.stdout.readline()
            told: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
            if "error" in told:
                self.end()
                raise RankError(f"rank {rank}: {told['error']}")
            most = {name: max(number, most.get(name, 0)) for name, number in told.items()}
        return most


def of(world: int, kind: str = "cpu") -> Ranks:
    """Return so many ranks of this process on CPUs or GPUs; they are shared by all programs."""
    return _SHARED.setdefault((world, kind), Ranks(world, kind))


def running() -> set[int]:
    """Return the processes of all ranks."""
    return {pid for ranks in _SHARED.values() for pid in ranks.pids}


def number() -> int:
    """Return a number that no other program of this process has."""
    return next(_numbers)


def parts(n: int, world: int) -> Sequence[int]:
    """Return how many of n tokens each rank has: as equal as possible, the first ones one more."""
    return [n // world + (rank < n % world) for rank in range(world)]
