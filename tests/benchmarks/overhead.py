"""How long a run takes beyond what it times and warms up, per case: from the rows of a run of a hundred cases.

python tests/benchmarks/overhead.py runs/hundred
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from attnbench.reports.data.reading import read

SUITE = Path(__file__).parent / "hundred.yaml"


def main() -> None:
    """Run the suite into the folder that is named, and print the figure."""
    folder = Path(sys.argv[1])
    begun = time.monotonic()
    command = [sys.executable, "-m", "attnbench.runner", "run", str(SUITE), "--out", str(folder), "--quiet"]
    subprocess.run(command, check=True)
    wall_s = time.monotonic() - begun
    journal = read(folder)
    samples = [sample for told in journal.samples.values() for sample in told.values()]
    timed_s = sum(sample.calls * sum(sample.values_ns) for sample in samples) / 1e9
    # A warm-up's calls are not timed one by one in the rows: each is taken for as long as a call of the case.
    warm_up_s = sum(sample.warmup_calls * statistics.median(sample.values_ns) for sample in samples) / 1e9
    beyond_s = wall_s - timed_s - warm_up_s
    cases = len(journal.planned)
    processes = len({sample.replicate for sample in samples})
    print(f"{cases} cases, {processes} processes: {wall_s:.0f} s, timed {timed_s:.0f} s, warm-up {warm_up_s:.0f} s")
    print(f"beyond both: {beyond_s / cases:.2f} s a case")


if __name__ == "__main__":
    main()
