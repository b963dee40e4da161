"""Runs in which the system refuses one call, by strace: used by a test, and by the benchmark that counts."""

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.reports.data import reading
from attnbench.suites.result import NOT_STARTED

SUITE = """
name: refused
question: Is what the system refuses told in one line?
shape: {batch: 1, heads: 1, head_dim: 16, seq_len: 64}
variants:
  - full
  - local_window: {window: 9}
measure: {processes: 1, values: 1, value_ms: 1}
"""
UNITS = 2 * (1 + 1)
ERRORS = {
    "write": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "rename": ("EACCES", "EIO"),
    "mkdir": ("EACCES", "ENOSPC"),
    "openat": ("EMFILE", "EACCES", "ENOMEM"),
    "read": ("EIO",),
    "flock": ("ENOLCK",),
    "pipe2": ("EMFILE", "ENFILE"),
    "socketpair": ("EMFILE", "ENOMEM"),
    "mmap": ("ENOMEM",),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM"),
    "vfork": ("EAGAIN", "ENOMEM"),
}
"""What a call is refused with."""
_OF_WORKERS = {"clone": 3, "clone3": 2}
"""Calls that start processes and threads below the parent, and how often one of the processes makes them."""
_BENCH = [sys.executable, "-m", "attnbench.runner"]
_BAD = ("Traceback", "Aborted", "a fault of attnbench")


@dataclass(frozen=True)
class Refusal:
    """One call that is refused: the parent's, or of every process the one with this number; or all from there on."""

    call: str
    error: str
    number: int
    everywhere: bool = False
    lasting: bool = False

    def __str__(self) -> str:
        """As strace is told it."""
        return " ".join(self.options())

    def options(self) -> list[str]:
        """What strace is called with."""
        follow = ["-f", "--seccomp-bpf"] if self.everywhere else []
        when = f"{self.number}{'+' * self.lasting}"
        injected = ["-e", f"trace={self.call}", "-e", f"inject={self.call}:error={self.error}:when={when}"]
        if self.call == "vfork":
            # Python tries again by the older call, which is refused then too.
            lasting = f"1{'+' * self.lasting}"
            injected[1] += ",clone"
            injected += ["-e", f"inject=clone:error={self.error}:when={lasting}"]
        return [*follow, *injected]


def can_refuse() -> bool:
    """Whether there is a strace that may trace."""
    there = shutil.which("strace") is not None
    return (
        there
        and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    )


def begun(folder: Path) -> dict[str, int]:
    """How often the parent makes each call before the first line of ours that could tell a refusal."""
    return _counted(folder, ["-c", "import attnbench.runner.cli"])


def counts(folder: Path) -> dict[str, tuple[int, int]]:
    """How often the parent makes each call: before the first line of ours that could tell a refusal, and in all."""
    (folder / "refused.yaml").write_text(SUITE)
    before = begun(folder)
    done = _counted(folder, ["-m", "attnbench.runner", "run", "refused.yaml", "--out", "counted", "--quiet"])
    return {call: (before.get(call, 0), done[call]) for call in ERRORS if call in done}


def _counted(folder: Path, words: Sequence[str]) -> dict[str, int]:
    told = folder / "counts.txt"
    subprocess.run(["strace", "-c", "-o", told, sys.executable, *words], cwd=folder, check=True, capture_output=True)
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) .*?(\w+)$", told.read_text(), re.MULTILINE)
    return {call: int(count) for count, call in rows}


def drawn(rng: random.Random, made: dict[str, tuple[int, int]]) -> Refusal:
    """A refusal that some call of a run meets."""
    call = rng.choice(sorted({*made, *_OF_WORKERS}))
    error = rng.choice(ERRORS[call])
    if call in _OF_WORKERS:
        return Refusal(call, error, rng.randint(1, _OF_WORKERS[call]), everywhere=True)
    before, calls = made[call]
    return Refusal(call, error, rng.randint(before + 1, calls), everywhere=call != "vfork" and rng.random() < 0.5)


def told(folder: Path, name: str, refusal: Refusal) -> tuple[int, list[str]]:
    """The exit code of a run that meets a refusal, and what is wrong with how it ended, and with how it goes on."""
    (folder / "refused.yaml").write_text(SUITE)
    out = folder / name
    log = folder / f"{name}.strace"
    traced = ["strace", "-o", str(log), *refusal.options(), *_BENCH, "run", "refused.yaml", "--out", name, "--quiet"]
    done = subprocess.run(traced, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    wrong = []
    if done.returncode not in (0, 2, 3):
        wrong.append(f"ended with {done.returncode}")
    # A library may say of a font that cannot be read that it ignores that: then the run is none the worse.
    if done.returncode and any(bad in done.stderr for bad in _BAD):
        wrong.append("ended with a traceback")
    if done.returncode == 2 and len(done.stderr.splitlines()) != 1:
        wrong.append(f"told in {len(done.stderr.splitlines())} lines")
    wrong += _resumed(folder, out) if done.returncode and (out / reading.RUN).exists() else []
    return done.returncode, [f"{each}: {done.stderr.strip()}" for each in wrong]


def _resumed(folder: Path, out: Path) -> list[str]:
    """What is wrong with a run's rows once it has gone on."""
    before = (out / reading.SAMPLES).read_bytes()
    command = [*_BENCH, "run", "--resume", out.name, "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    after = (out / reading.SAMPLES).read_bytes()
    wrong = []
    if done.returncode not in (0, 3):
        wrong.append(f"--resume ended with {done.returncode} ({done.stderr.strip()})")
    if not after.startswith(before[: before.rfind(b"\n") + 1]):
        wrong.append("a row is lost")
    rows = [json.loads(line) for line in after.splitlines()]
    last = {(row["case"], row.get("replicate", -1)): row for row in rows}
    if any(row["reason"].startswith(NOT_STARTED) for row in last.values()):
        wrong.append("what got no worker was not measured again")
    if done.returncode == 0 and len(last) != UNITS:
        wrong.append(f"{len(last)} units of {UNITS}")
    return wrong
