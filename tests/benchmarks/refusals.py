"""What runs say in which the system refuses one call, drawn at random: the figure of docs/run.md. Linux, with strace.

PYTHONPATH=tests python tests/benchmarks/refusals.py 200 [seed]
"""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from refusing import counts, drawn, told


def main() -> None:
    """Print each run that did not end well, and how many ended how; exit with 1 if any did not."""
    tries = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    codes: Counter[int] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        made = counts(Path(folder))
        for number in range(tries):
            refusal = drawn(rng, made)
            code, wrong = told(Path(folder), f"run-{number}", refusal)
            codes[code] += 1
            bad += bool(wrong)
            for each in wrong:
                print(f"{refusal}: {each}", flush=True)
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    print(f"{tries} runs, {bad} of them did not end well; exit codes: {ended}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
