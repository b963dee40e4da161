"""How exact `quick` is, by threads, values, processes, and the estimate that represents a process.

    python tests/benchmarks/estimates.py FOLDER RUNS [SUITE]

Runs the suite RUNS times with each setting, in turns, into FOLDER, and prints a table: half the width of the 95 %
interval of a time and of a speed-up (medians over cases), the share of cases that are noisy (above 5 %), of pairs of
runs of the same code the share of cases that differ significantly (`alarms`, expected 5 %) and the share in which a
change of 5 % is found (`found`), and the seconds of a run. Runs that are there already are used.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.special import stdtrit

from attnbench.suites import shipped

SETTINGS: dict[str, dict[str, Any]] = {
    "2 threads, 8 heads, 3 x 10 ms": {
        "threads": "auto",
        "shape": {"heads": 8, "head_dim": 64, "seq_len": {"pow2": [8, 11]}},
        "measure": {"processes": 5, "values": 3, "value_ms": 10},
    },
    "1 thread, 2 heads, 9 x 3 ms": {
        "threads": 1,
        "shape": {"heads": 2, "head_dim": 64, "seq_len": {"pow2": [8, 11]}},
        "measure": {"processes": 5, "values": 9, "value_ms": 3},
    },
}
ESTIMATES = {"median": 0.5, "quartile": 0.25, "tenth": 0.1, "minimum": 0.0}
NOISY = 0.05


class Times(NamedTuple):
    """The values of one run: by case, its baseline and its values by process."""

    seconds: float
    baselines: dict[str, str]
    values: dict[str, list[list[float]]]


def take(folder: Path, runs: int, suite: str) -> None:
    """Run every setting in turns."""
    source = yaml.safe_load(shipped()[suite].read_text())
    for number in range(runs):
        for place, changed in enumerate(SETTINGS.values()):
            run = folder / f"{place}-{number}"
            if (run / "seconds").exists():
                continue
            path = folder / f"{place}.yaml"
            path.write_text(yaml.safe_dump({**source, **changed}))
            begun = time.monotonic()
            command = [sys.executable, "-m", "attnbench.runner", "run", str(path), "--out", str(run)]
            subprocess.run(command, check=True, capture_output=True)
            (run / "seconds").write_text(str(time.monotonic() - begun))
            print(run.name, (run / "seconds").read_text(), flush=True)


def read(run: Path) -> Times:
    """The values of a run."""
    meta = json.loads((run / "run.json").read_text())
    values: dict[str, dict[int, list[float]]] = {}
    for line in (run / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row.get("values_ns"):
            values.setdefault(row["case"], {})[row["replicate"]] = row["values_ns"]
    baselines = {each["key"]: each["baseline"] for each in meta["cases"]}
    kept = {key: [told[at] for at in sorted(told)] for key, told in values.items()}
    return Times(float((run / "seconds").read_text()), baselines, kept)


def log_times(times: Times, quantile: float, processes: int) -> dict[str, np.ndarray]:
    """By case, the logarithm of what represents each process."""
    return {
        key: np.log([np.quantile(each, quantile) for each in values[:processes]])
        for key, values in times.values.items()
        if len(values) >= processes
    }


def half(y: np.ndarray) -> float:
    """Half the width of the 95 % interval of a mean."""
    return float(stdtrit(len(y) - 1, 0.975) * y.std(ddof=1) / len(y) ** 0.5)


def differs(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two means differ at 5 %, by Welch's t test."""
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return bool(abs(a.mean() - b.mean()) > stdtrit(freedom, 0.975) * (va + vb) ** 0.5)


def row(runs: Sequence[Times], quantile: float, processes: int) -> Iterator[float]:
    """The numbers of a line of the table."""
    every = [log_times(each, quantile, processes) for each in runs]
    halves = [half(y) for told in every for y in told.values()]
    speedups = [
        half(told[each.baselines[key]] - y)
        for each, told in zip(runs, every, strict=True)
        for key, y in told.items()
        if each.baselines[key] in told and each.baselines[key] != key
    ]
    pairs = [(a[key], b[key]) for a, b in itertools.combinations(every, 2) for key in a if key in b]
    yield float(np.median(halves))
    yield float(np.median(speedups))
    yield float(np.mean(np.expm1(halves) > NOISY))
    yield float(np.mean([differs(a, b) for a, b in pairs]))
    yield float(np.mean([differs(a, b + np.log(1.05)) for a, b in pairs]))


def main(folder: Path, runs: int, suite: str) -> None:
    """Measure, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    take(folder, runs, suite)
    print("| setting | processes | estimate | time | speed-up | noisy | alarms | found | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for place, (name, changed) in enumerate(SETTINGS.items()):
        found = [read(folder / f"{place}-{number}") for number in range(runs)]
        most = changed["measure"]["processes"]
        for processes, (estimate, quantile) in itertools.product(sorted({4, most}), ESTIMATES.items()):
            if processes <= most:
                told = " | ".join(f"{100 * each:.1f} %" for each in row(found, quantile, processes))
                seconds = np.median([each.seconds for each in found])
                print(f"| {name} | {processes} | {estimate} | {told} | {seconds:.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), (sys.argv[3:] or ["quick"])[0])
