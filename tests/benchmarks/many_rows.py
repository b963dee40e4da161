"""How long reading, comparing and showing runs of 100,000 rows takes, how much memory, and how large a page is.

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
from attnbench.reports.findings.run import Run, load
from attnbench.reports.html import page as html_page
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables

WINDOWS = tuple(replace(rows.LOCAL, parameters={"window": 2 * width + 1}) for width in (8, 16, 32, 64))
PLAN = rows.Plan(
    (rows.FULL, *WINDOWS),
    tuple(range(256, 256 + 100 * 16, 16)),
    ("forward", "training"),
    threads=(1, 2),
    processes=50,
    values=5,
)


PAGES = {
    "46 cases": rows.QUICK,
    "1,000 cases": replace(PLAN, lengths=PLAN.lengths[:50], processes=5, values=1),
    "10,000 cases, by length": replace(PLAN, lengths=tuple(range(256, 256 + 500 * 16, 16)), processes=5, values=1),
    "10,000 cases, by series": replace(
        PLAN,
        series=(rows.FULL, *(replace(rows.LOCAL, parameters={"window": 2 * each + 1}) for each in range(8, 107))),
        lengths=(256, 512, 1024, 2048, 4096),
        threads=tuple(range(1, 11)),
        processes=5,
        values=1,
    ),
}
"""Runs whose pages are measured."""


def shown(run: Run) -> str:
    """Return what the tables and then the page of a run take, and the size of the page."""
    begun = time.perf_counter()
    report = run_report.report(run, tables.markdown(run))
    reported = time.perf_counter()
    page = html_page.page(run, report)
    done = time.perf_counter()
    told = f"report.md {reported - begun:.1f} s, report.html {done - reported:.1f} s"
    return f"{len(run.frame)} cases: {told}, {len(page.encode()) / 2**20:.2f} MiB"


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
    for name, plan in PAGES.items():
        with tempfile.TemporaryDirectory() as scratch:
            made = replace(plan, roof_flops_per_s=1e12, proved=1.0)
            print(f"{name}: {shown(load(rows.write(Path(scratch), made)))}")
    resident_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"resident at most {resident_gib:.2f} GiB, making the rows included")


if __name__ == "__main__":
    main()
