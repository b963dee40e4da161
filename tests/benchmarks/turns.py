"""How long a turn should be: the spread of a pair of equal arms against the length of a turn, in the same time.

One process times one call for half a minute, call by call. Afterwards that record is cut into turns of two arms that
are the same, and into pairs of 180 ms; printed is the spread of the pairs' medians of log(B / A).

    python tests/benchmarks/turns.py
"""

import gc
import time

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

RECORD_S = 30.0
PAIR_MS = 180.0
TURNS_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


def main() -> None:
    """A line for each size of call."""
    gc.disable()
    print("| a call | " + " | ".join(f"{turn:g} ms" for turn in TURNS_MS) + " |")
    for n in (64, 256):
        took_ns = _record(n)
        call_ms = float(np.median(took_ns)) / 1e6
        spreads = [_spread(took_ns, call_ms, turn) for turn in TURNS_MS]
        print(f"| {call_ms:.2f} ms | " + " | ".join(f"{spread:.1%}" for spread in spreads) + " |")


def _record(n: int) -> np.ndarray:
    """Nanoseconds of each call of attention over 8 heads of width 64."""
    q, k, v = (torch.randn(1, 8, n, 64) for _ in range(3))
    took_ns = []
    end = time.perf_counter() + RECORD_S
    while time.perf_counter() < end:
        begun = time.perf_counter_ns()
        scaled_dot_product_attention(q, k, v)
        took_ns.append(time.perf_counter_ns() - begun)
    return np.array(took_ns[len(took_ns) // 10 :], np.float64)


def _spread(took_ns: np.ndarray, call_ms: float, turn_ms: float) -> float:
    """Standard deviation of the pairs' medians, where a turn has two values of about `turn_ms` in random order."""
    rng = np.random.default_rng(0)
    calls = max(1, round(turn_ms / call_ms))
    turns = max(2, int(PAIR_MS / (2 * calls * call_ms)))
    pairs = len(took_ns) // (2 * calls * turns)
    values = took_ns[: pairs * turns * 2 * calls].reshape(pairs, turns, 2, calls).mean(axis=3)
    ratios = np.log(values[:, :, 1] / values[:, :, 0]) * rng.choice([-1, 1], (pairs, turns))
    return float(np.median(ratios, axis=1).std(ddof=1))


if __name__ == "__main__":
    main()
