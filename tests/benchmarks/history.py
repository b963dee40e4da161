"""A history of this project itself, with a slow-down put into a kernel, which should be found at its commit.

Measures the latest commits one after the other, each in a worktree with its own code, oldest first. From the commit
`--slow-from` on, the kernel `blockwise` waits after each call for a share of the call's time. That is a change of
tracked files, so these commits are recorded with a `+`. Runs that are there already are not measured again. With ten
commits it takes below 12 minutes on two cores.

    python tests/benchmarks/history.py --out runs/history
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = """\
name: history
question: Did a kernel get slower from one commit to another?
shape: {batch: 1, heads: 4, head_dim: 64, seq_len: [512, 1024]}
dtype: [float32]
direction: [forward]
threads: [1]
variants:
  - full: {implementation: [sdpa, eager]}
  - local_window: {window: [65, 257], implementation: blockwise}
  - longformer: {window: 129, implementation: blockwise}
baseline: full/sdpa
measure: {processes: 5, values: 10, value_ms: 5}
"""
KERNEL = "variants/kernels/blockwise/__init__.py"
_SLOWER = """

def _slower(build):
    import dataclasses
    import time

    def built(*given):
        program = build(*given)

        def call(*inputs):
            begun = time.perf_counter_ns()
            out = program.call(*inputs)
            now = time.perf_counter_ns()
            while time.perf_counter_ns() < now + (now - begun) * {share}:
                pass
            return out

        return dataclasses.replace(program, call=call)

    return built


build = _slower(build)
"""


def main() -> None:
    """Measure what is missing, and print the history."""
    parser = argparse.ArgumentParser(description="A history of this project with a slow-down in it.")
    parser.add_argument("--commits", type=int, default=10, help="how many of the latest commits of the main line")
    parser.add_argument(
        "--slow-from", type=int, default=6, help="the first slow commit, counted from 1; 0: none is slow"
    )
    parser.add_argument("--share", type=float, default=0.2, help="the slow-down")
    parser.add_argument("--out", type=Path, default=Path("runs/history"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    suite = asked.out / "suite.yaml"
    suite.write_text(SUITE)
    told = _output("git", "-C", ROOT, "rev-list", "--first-parent", "-n", str(asked.commits), "HEAD").split()
    for number, commit in enumerate(reversed(told), 1):
        run = asked.out / "runs" / f"{number:02}-{commit[:12]}"
        if not run.exists():
            slower = asked.share if 0 < asked.slow_from <= number else 0.0
            print(f"{number} of {len(told)}: {commit[:12]}{f', slower by {slower:.0%}' if slower else ''}", flush=True)
            _measure(commit, suite, run, slower)
    _bench(ROOT, "history", asked.out / "runs", "--out", asked.out / "site")


def _measure(commit: str, suite: Path, run: Path, slower: float) -> None:
    """Measure the suite with the code of a commit."""
    with tempfile.TemporaryDirectory(prefix="history-") as scratch:
        tree = Path(scratch) / "tree"
        _output("git", "-C", ROOT, "worktree", "add", "--detach", tree, commit)
        try:
            if slower:
                with (tree / KERNEL).open("a") as file:
                    file.write(_SLOWER.format(share=slower))
            _bench(tree, "run", suite.resolve(), "--out", run.resolve(), "--quiet")
        finally:
            _output("git", "-C", ROOT, "worktree", "remove", "--force", tree)


def _bench(tree: Path, *words: str | Path) -> None:
    """Call `bench` of a tree, in this folder for this project's own tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "typings")}
    command = [sys.executable, "-m", "attnbench.runner", *map(str, words)]
    done = subprocess.run(command, env=environment, cwd=None if tree == ROOT else tree, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}: expected exit code 0, found {done.returncode}")


def _output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
