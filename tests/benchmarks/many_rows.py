"""How long reading and comparing two runs of 100,000 rows takes, and how much memory.

PYTHONPATH=tests python tests/benchmarks/many_rows.py
"""

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import rows

from attnbench.reports.compare import page
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.data.run import load

WINDOWS = tuple(replace(rows.LOCAL, parameters={"window": 2 * width + 1}) for width in (8, 16, 32, 64))
PLAN = rows.Plan(
    (rows.FULL, *WINDOWS),
    tuple(range(256, 256 + 100 * 16, 16)),
    ("forward", "training"),
    threads=(1, 2),
    processes=50,
    values=5,
)


def main() -> None:
    """Make two runs, and print what each step takes."""
    with tempfile.TemporaryDirectory() as scratch:
        a, b = (rows.write(Path(scratch) / name, replace(PLAN, seed=seed)) for seed, name in enumerate("ab"))
        lines = sum(1 for _ in (a / "samples.jsonl").open())
        print(f"{lines:,} rows, {(a / 'samples.jsonl').stat().st_size / 2**20:.0f} MiB")
        begun = time.perf_counter()
        first = load(a)
        loaded = time.perf_counter()
        second = load(b)
        both = time.perf_counter()
        comparison = compare(first, second)
        compared = time.perf_counter()
        page.write(comparison, Path(scratch) / "out")
        written = time.perf_counter()
    print(f"load {loaded - begun:.1f} s, compare {compared - both:.1f} s, write {written - compared:.1f} s")
    resident_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"resident at most {resident_gib:.2f} GiB, making the rows included")


if __name__ == "__main__":
    main()
