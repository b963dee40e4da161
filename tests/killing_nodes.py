"""Kills machines of a Ray cluster while they measure: used by a test, and by the benchmark that counts."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from attnbench.reports.data import reading

SUITE = """
name: on_ray
question: Do two nodes measure what one machine does?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
direction: [forward, training]
threads: 1
measure: {processes: 3, values: 2, value_ms: 1}
"""
RUN = [sys.executable, "-m", "attnbench.runner", "run"]


def on(cluster: Any) -> list[str]:
    """The words of a command that measures on a cluster."""
    return ["--executor", "ray", "--address", cluster.address, "--anyway", "--quiet"]


def kill(cluster: Any, suite: Path, out: Path, drawn: random.Random, most: int) -> list[str]:
    """Measure a suite on a cluster, kill a raylet or a worker after units have ended, and say which was killed when.

    The run must end by itself. `drawn` chooses the moment and the machine.
    """
    killed, finished = list[str](), 0
    with subprocess.Popen([*RUN, str(suite), "--out", str(out), *on(cluster)]) as driver:
        while driver.poll() is None:
            time.sleep(0.5)
            # The next is killed only when a unit has ended since, or no machine would ever have the time to end one.
            if len(lines(out)) == finished or len(killed) == most:
                continue
            time.sleep(drawn.uniform(0, 2))
            finished = len(lines(out))
            killed.append("raylet" if len(killed) % 2 else "worker")
            if killed[-1] == "raylet":
                cluster.remove_node(drawn.choice([*cluster.worker_nodes]), allow_graceful=False)
                cluster.add_node(num_cpus=1)
            else:
                _kill_a_worker(drawn)
    assert driver.returncode == 0
    return killed


def _kill_a_worker(drawn: random.Random) -> None:
    """Kill a process in which a node measures, as the system does when memory is short."""
    found = subprocess.run(["pgrep", "-f", "ray::Machine"], capture_output=True, text=True, check=False)
    if found.stdout:
        os.kill(int(drawn.choice(found.stdout.split())), signal.SIGKILL)


def lines(folder: Path) -> Counter[tuple[str, str, int | None]]:
    """How often each unit of work is in the file, which keeps every row that was ever written."""
    if not (folder / "samples.jsonl").exists():
        return Counter()
    told = reading.rows(folder / "samples.jsonl", dict)
    return Counter((each["kind"], each["case"], each.get("replicate")) for each in told)
