"""Kills runs at random moments and looks what they left: used by a test, and by the benchmark that counts."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from attnbench.reports.data import reading

SUITE = """
name: killed
question: Is a unit lost, or measured twice?
shape: {batch: 1, heads: 1, head_dim: 16, seq_len: [64, 96]}
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: 9}
measure: {processes: 2, values: 2, value_ms: 1}
"""
UNITS = 6 * (1 + 2)
LONGEST_S = 12.0
"""About as long as a whole run takes."""
SHORTEST_S = 0.001
GONE_S = 60.0
"""So long may what is left of a killed run take to end: a server that still imports torch looks up only after that."""


@dataclass
class Found:
    """What kills did."""

    kills: int = 0
    runs: int = 0
    """Ended by themselves, with every unit there once."""
    in_report: int = 0
    """Kills after the last unit."""
    lost: int = 0
    """Units that were on disk before a kill and not after a later one."""
    twice: int = 0
    unreadable: int = 0
    left_behind: int = 0
    """Processes that lived on."""
    wrong: list[str] = field(default_factory=list)
    """What else went wrong."""

    def __str__(self) -> str:
        told = f"{self.kills} kills, {self.in_report} of them after the last unit, {self.runs} runs finished: "
        told += f"{self.lost} units lost, {self.twice} measured twice, {self.unreadable} journals unreadable, "
        return told + f"{self.left_behind} processes left behind" + "".join(f"\n{each}" for each in self.wrong)


def kill(found: Found, folder: Path, kills: int, rng: random.Random) -> None:
    """Kill runs in `folder` until there are so many kills, each run resumed until it ends by itself."""
    (folder / "killed.yaml").write_text(SUITE)
    while found.kills < kills:
        out = folder / f"run-{found.runs}"
        before = b""
        while not _live(found, folder, out, rng, done=found.kills >= kills):
            before = _look(found, out, before)
        _look(found, out, before)
        if not _whole(out):
            found.wrong.append(f"{out.name} ended without all of its units")
        found.runs += 1


def _live(found: Found, folder: Path, out: Path, rng: random.Random, *, done: bool) -> bool:
    """Begin or go on with a run, and kill it, unless `done`; whether it ended by itself."""
    began = (out / "run.json").exists()
    words = ["--resume", out.name] if began else ["killed.yaml", "--out", out.name]
    command = [sys.executable, "-m", "attnbench.runner", "run", *words, "--quiet"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        size = _size(out)
        deadline = time.monotonic() + math.inf if done else _moment(rng, process, out, size)
        try:
            _, said = process.communicate(timeout=None if done else max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            found.kills += 1
            found.in_report += _size(out) > 0 and _whole(out)
        else:
            if process.returncode != 0:
                found.wrong.append(f"{' '.join(words)} ended with {process.returncode}: {said.strip()}")
            return True
        finally:
            found.left_behind += len(left_of(process.pid))
    return False


def _moment(rng: random.Random, process: "subprocess.Popen[str]", out: Path, size: int) -> float:
    """When to kill: half of the time anywhere in a run, else soon after the next unit is on disk."""
    if rng.random() < 0.5:
        return time.monotonic() + rng.uniform(SHORTEST_S, LONGEST_S)
    while process.poll() is None and _size(out) == size:
        time.sleep(0.002)
    return time.monotonic() + math.exp(rng.uniform(math.log(SHORTEST_S), math.log(LONGEST_S / 3)))


def _look(found: Found, out: Path, before: bytes) -> bytes:
    """The whole lines of a run's rows, held against those of before."""
    if not (out / "run.json").exists():
        return before
    try:
        reading.read(out)
    except reading.RunError as error:
        found.unreadable += 1
        found.wrong.append(str(error))
    content = (out / "samples.jsonl").read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole.startswith(before):
        found.lost += before.count(b"\n")
    units = [_unit(line) for line in whole.splitlines()]
    found.twice += len(units) - len(set(units))
    return whole


def _unit(line: bytes) -> tuple[str, int]:
    """A case and its replicate, -1 for its probe."""
    row = json.loads(line)
    return row["case"], row.get("replicate", -1)


def _whole(out: Path) -> bool:
    """Whether every unit is there."""
    return (out / "samples.jsonl").read_bytes().count(b"\n") == UNITS


def _size(out: Path) -> int:
    path = out / "samples.jsonl"
    return path.stat().st_size if path.exists() else 0


def left_of(session: int) -> list[int]:
    """Processes of a session that still live, once they had time to end."""
    deadline = time.monotonic() + GONE_S
    while True:
        left = [each.pid for each in psutil.process_iter() if _lives_in(each, session)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _lives_in(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ProcessLookupError):
        return False
