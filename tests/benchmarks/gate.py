"""How often gates err: `bench ab` on the same code, and on a kernel that a commit made 5 % slower.

With `--peers`, the same cases, kernel and machine through `pytest-benchmark --benchmark-compare-fail=median:5%` and
`asv continuous --factor 1.05` too. Every run is one line of OUT/gate.jsonl; what is there already is not measured
again. The gates take turns, so that all meet the same hour. Prints the figures of docs/trust.md.

    pip install asv virtualenv
    PYTHONPATH=tests python tests/benchmarks/gate.py --runs 20 --peers 5 --out runs/gate
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers

from attnbench.reports.stats.statistics import clopper_pearson_upper

ROOT = Path(__file__).resolve().parents[2]
KERNEL = "variants/kernels/sdpa.py"
HEADS = ("same", "slower")
_CALL = "        return scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=enable_gqa)\n"
_SLOWER = """\
        begun = perf_counter_ns()
        out = scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=enable_gqa)
        now = perf_counter_ns()
        while perf_counter_ns() < now + (now - begun) * 0.05:
            pass
        return out
"""


def main() -> None:
    """Bring both kinds of runs to the number asked for, and print what they found."""
    parser = argparse.ArgumentParser(description="How often the gate errs.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--peers", type=int, default=0, help="runs of pytest-benchmark, and of asv")
    parser.add_argument("--out", type=Path, default=Path("runs/gate"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    book = asked.out / "gate.jsonl"
    rows = [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []
    scratch = Path(tempfile.mkdtemp(prefix="gate-"))
    try:
        repository = _with_a_slower_kernel(scratch)
        times = {"ab": asked.runs, "pytest-benchmark": asked.peers, "asv": asked.peers}
        turns = [(number, gate) for number in range(max(times.values())) for gate in GATES if number < times[gate]]
        wanted = [(number, gate, head) for number, gate in turns for head in HEADS]
        done = {(row["run"], row["gate"], row["head"]) for row in rows}
        for number, gate, head in (each for each in wanted if each not in done):
            found = GATES[gate](repository, head, asked.out / f"{gate}-{head}-{number}")
            rows.append({"run": number, "gate": gate, "head": head, **found})
            with book.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            told = f"{gate} {head} {number + 1}: {len(found['called'])} called in {found['wall_s']:.0f} s"
            print(told, *found["called"], sep="\n  ", file=sys.stderr)
    finally:
        shutil.rmtree(scratch)
    _tell(rows)


def _with_a_slower_kernel(scratch: Path) -> Path:
    """A clone with the branches `same`, whose last commit changes nothing, and `slower`, a commit on top of it."""
    repository = scratch / "repository"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(repository)], check=True)
    names = ("-c", "user.name=gate", "-c", "user.email=gate@example.org")
    git = ["git", "-C", str(repository), *names]
    subprocess.run([*git, "checkout", "-q", "-b", "same"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "nothing"], check=True)
    subprocess.run([*git, "checkout", "-q", "-b", "slower"], check=True)
    kernel = repository / KERNEL
    text = kernel.read_text()
    assert _CALL in text, "the kernel changed: slow it down in another place"
    kernel.write_text(
        text.replace(_CALL, _SLOWER).replace("import numpy", "from time import perf_counter_ns\n\nimport numpy", 1)
    )
    subprocess.run([*git, "commit", "-qam", "slower by a twentieth"], check=True)
    return repository


def _ab(repository: Path, head: str, out: Path) -> dict[str, Any]:
    """One run of the gate: what it called, how many pairs it timed, and how long it took."""
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "attnbench.runner",
        "ab",
        "same",
        head,
        "--aa",
        "--path",
        "typings",
        "--quiet",
        "--out",
        str(out.resolve()),
    ]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, env={**os.environ})
    wall_s = time.monotonic() - begun
    told = json.loads((out / "comparison.json").read_text())
    rows = [json.loads(line) for line in (out / "ab.jsonl").read_text().splitlines()]
    called = [
        f"{each['label']}/{each['implementation']} N={each['seq_len']} {each['direction']} "
        f"{each['verdict']} {each['ratio'] or 0:.3f}"
        for each in told["cases"]
        if each["verdict"] in ("regressed", "improved", "error")
    ]
    timed = [row for row in rows if row["kind"] == "pair" and row["stage"] != "same"]
    return {
        "called": called,
        "cases": len(told["cases"]),
        "counts": told["counts"],
        "pairs": sum(len(row["ratios"]) for row in timed),
        "turns": sum(row["turns"] for row in timed),
        "noise": told["noise"],
        "exit_code": done.returncode,
        "wall_s": wall_s,
    }


GATES = {"ab": _ab, "pytest-benchmark": peers.pytest_benchmark, "asv": peers.asv}


def _tell(rows: list[dict[str, Any]]) -> None:
    """The figures."""
    for gate in sorted({row["gate"] for row in rows}):
        same, slower = ([row for row in rows if (row["gate"], row["head"]) == (gate, head)] for head in HEADS)
        print(f"{gate}:")
        if same:
            alarms = sum(bool(row["called"]) for row in same)
            upper = clopper_pearson_upper(alarms, len(same))
            cases = f"{same[0]['cases']} cases a run, {sum(len(row['called']) for row in same)} called in all"
            print(f"  false alarms: {alarms} of {len(same)} runs (below {upper:.1%} with 95 % confidence); {cases}")
        if slower:
            found = sum(any(_slowed(each) for each in row["called"]) for row in slower)
            others = sum(any(not _slowed(each) for each in row["called"]) for row in slower)
            print(f"  5 % slower kernel found: {found} of {len(slower)} runs; another case accused: {others}")
        if any("pairs" in row for row in same):
            print(f"  pairs of processes: {sum(row['pairs'] for row in same)}, counted by case")
        walls = sorted(row["wall_s"] for row in [*same, *slower])
        print(f"  wall time of a run: {walls[0]:.0f} to {walls[-1]:.0f} s")


def _slowed(called: str) -> bool:
    """Whether it is the slowed kernel that was called: of training, 5 % of its forward pass are below the floor."""
    return called.startswith("full/sdpa ") and " forward" in called


if __name__ == "__main__":
    main()
