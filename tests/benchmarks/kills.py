"""What `kill -9` at random moments does to runs that are resumed: the figure of docs/run.md.

PYTHONPATH=tests python tests/benchmarks/kills.py 200 [seed]
"""

import random
import sys
import tempfile
from pathlib import Path

from killing import Found, kill


def main() -> None:
    """Print what was found after every ten kills, and at the end; exit with 1 if anything is wrong."""
    kills = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    found = Found()
    with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        for number in range(10, kills + 10, 10):
            kill(found, Path(folder), min(number, kills), rng)
            print(found, flush=True)
    sys.exit(bool(found.lost or found.twice or found.unreadable or found.left_behind or found.wrong))


if __name__ == "__main__":
    main()
