"""How often gates err: `bench ab` on the same code, and on a kernel that a commit made 5 % slower.

With `--peer`, the same cases, kernel and machine through `pytest-benchmark --benchmark-compare-fail=median:5%` too.
Every run is one line of OUT/gate.jsonl; what is there already is not measured again. Prints the figures of
docs/trust.md.

    python tests/benchmarks/gate.py --runs 20 --peer 5 --out runs/gate
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

from attnbench.reports.decision.rates import clopper_pearson_upper

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
    parser.add_argument("--peer", type=int, default=0, help="runs of pytest-benchmark")
    parser.add_argument("--out", type=Path, default=Path("runs/gate"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    book = asked.out / "gate.jsonl"
    rows = [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []
    scratch = Path(tempfile.mkdtemp(prefix="gate-"))
    try:
        repository = _with_a_slower_kernel(scratch)
        wanted = [(number, "ab", head) for number in range(asked.runs) for head in HEADS]
        wanted += [(number, "pytest-benchmark", head) for number in range(asked.peer) for head in HEADS]
        done = {(row["run"], row["gate"], row["head"]) for row in rows}
        for number, gate, head in (each for each in wanted if each not in done):
            measure = _ab if gate == "ab" else _pytest_benchmark
            found = measure(repository, head, asked.out / f"{gate}-{head}-{number}")
            rows.append({"run": number, "gate": gate, "head": head, **found})
            with book.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            told = f"{gate} {head} {number + 1}: {len(found['called'])} called in {found['wall_s']:.0f} s"
            print(told, *found["called"], sep="\n  ", file=sys.stderr)
    finally:
        shutil.rmtree(scratch)
    _tell(rows)


def _with_a_slower_kernel(scratch: Path) -> Path:
    """A clone with the branches `same` and `slower`, a commit on top of it."""
    repository = scratch / "repository"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(repository)], check=True)
    names = ("-c", "user.name=gate", "-c", "user.email=gate@example.org")
    git = ["git", "-C", str(repository), *names]
    subprocess.run([*git, "branch", "same"], check=True)
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


def _pytest_benchmark(repository: Path, head: str, out: Path) -> dict[str, Any]:
    """One run of the peer: the base saved, then the head compared with it, each in a process of its own."""
    out.mkdir(exist_ok=True)
    shutil.rmtree(out / "saved", ignore_errors=True)
    tests = ROOT / "tests" / "benchmarks" / "plain.py"
    command = [sys.executable, "-m", "pytest", str(tests), "-q", "-p", "no:cacheprovider", "--timeout", "0"]
    stored = [f"--benchmark-storage={out.resolve() / 'saved'}", "--benchmark-warmup=on"]
    compare = [
        "--benchmark-compare",
        "--benchmark-compare-fail=median:5%",
        f"--benchmark-json={out.resolve() / 'head.json'}",
    ]
    begun = time.monotonic()
    for revision, more in (("same", ["--benchmark-save=base"]), (head, compare)):
        subprocess.run(["git", "-C", str(repository), "checkout", "-q", revision], check=True)
        environment = {**os.environ, "PYTHONPATH": str(repository / "typings")}
        done = subprocess.run(
            [*command, *stored, *more], cwd=repository, env=environment, capture_output=True, text=True, check=False
        )
    wall_s = time.monotonic() - begun
    (base,) = (out / "saved").rglob("*base.json")
    medians = [
        {each["name"]: each["stats"]["median"] for each in json.loads(path.read_text())["benchmarks"]}
        for path in (base, out / "head.json")
    ]
    ratios = {name: medians[1][name] / medians[0][name] for name in medians[0]}
    called = [f"{_title(name)} {ratio:.3f}" for name, ratio in ratios.items() if ratio > 1.05]
    return {"called": called, "cases": len(ratios), "exit_code": done.returncode, "wall_s": wall_s}


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


def _title(name: str) -> str:
    """The case of a test's name, `test_call[CASE]`."""
    return name.removeprefix("test_call[").removesuffix("]")


def _slowed(called: str) -> bool:
    """Whether it is the slowed kernel that was called: of training, 5 % of its forward pass are below the floor."""
    return called.startswith("full/sdpa ") and " forward" in called


if __name__ == "__main__":
    main()
