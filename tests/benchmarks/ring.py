"""Sequences of a million tokens on paper, by a model that is fitted to a run of ring.yaml; prints the figures of docs.

    T(N, W) = a + b N + c N^2 / W,    M(N, W) = m N / W,    S(N, W) = s N (W - 1) / W

T is the time of a call with W ranks on as many cores, M the memory of a rank, S what it sends. a is what a call takes
to reach the ranks, b N the copies and what is sent, and c N^2 / W the scores. All are fitted to the points that were
measured, T with the least relative error.

python tests/benchmarks/ring.py RUN
"""

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from attnbench.reports.data.values import floats
from attnbench.reports.findings.run import load
from attnbench.reports.text import units

MANY = 2**20
RANKS = (2, 8, 64)


def main(folder: Path) -> None:
    """Print how well the model fits, and what it says of a million tokens."""
    frame = load(folder).frame
    frame = frame[(frame["status"] == "passed") & (frame["world"] != "1")]
    for (label, direction), part in frame.groupby(["label", "direction"], sort=False):
        n, world, time_ns = (floats(part[name].astype(float)) for name in ("seq_len", "world", "time_ns"))
        terms = np.stack([np.ones_like(n), n, n**2 / world], axis=1)
        fitted, _ = nnls(terms / time_ns[:, None], np.ones_like(n))
        error = np.abs(terms @ fitted / time_ns - 1).max()
        memory = (floats(part["rank_bytes"]) * world / n).max()
        sent = (floats(part["sent_bytes"]) / n / (world - 1) * world).max()
        print(f"{label}, {direction}: within {error:.0%} of {len(n)} points from N = {n.min():.0f} to {n.max():.0f}")
        for ranks in RANKS:
            time = units.time(float(np.array([1, MANY, MANY**2 / ranks]) @ fitted))
            held, moved = units.size(memory * MANY / ranks), units.size(sent * MANY * (ranks - 1) / ranks)
            print(f"  N = {MANY} on {ranks} cores: {time} a call; a rank holds {held} and sends {moved}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
