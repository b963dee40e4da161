"""How often change points of a history err: false alarms, and steps that are found. Prints two tables of docs/trust.md.

Series are log times of cases over that of their baseline: normal noise between runs, half of whose variance all cases
share. With `--odd`, each value is also 4 standard deviations off with a probability of 5 %. Rows are this project's
procedure; PELT alone, with a penalty of 3 log n variances; and, if a folder with apache-otava 0.8.0 is named, its
method on each series with its usual settings.

    pip download --no-deps apache-otava==0.8.0 && unzip -d otava apache_otava-*.whl
    python tests/benchmarks/change_points.py --otava otava
"""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ruptures import KernelCPD

from attnbench.reports.history import change_points

FloatArray = npt.NDArray[np.float64]
Method = Callable[[FloatArray], list[list[int]]]
"""Series `[C, R]` to the first run after each change of each."""
STEPS = ((0.05, "middle"), (0.10, "middle"), (0.10, "last 3"), (0.30, "last 3"))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="How often change points err.")
    parser.add_argument("--histories", type=int, default=200, help="histories of each kind")
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 10, 46])
    parser.add_argument("--odd", action="store_true", help="some values are far off")
    parser.add_argument("--otava", type=Path, help="a folder with the package otava")
    asked = parser.parse_args()
    methods: dict[str, Method] = {"attnbench": _attnbench, "PELT alone": _pelt}
    if asked.otava:
        sys.path.insert(0, str(asked.otava))
        methods["otava"] = _otava
    steps = " | ".join(f"{step:.0%}, {where}" for step, where in STEPS)
    print(f"| method | cases | runs | noise | false alarms | {steps} |")
    print(f"|{' --- |' * (5 + len(STEPS))}")
    for name, method in methods.items():
        for cases in asked.cases:
            for runs in (10, 20, 60):
                for sd in (0.02, 0.05):
                    shares = _shares(method, cases, runs, sd, asked.histories, odd=asked.odd)
                    print(f"| {name} | {cases} | {runs} | {sd:.0%} | {' | '.join(f'{each:.0%}' for each in shares)} |")


def _shares(method: Method, cases: int, runs: int, sd: float, histories: int, *, odd: bool) -> list[float]:
    """The share of unchanged histories with a change, and of each step in one case the share that is found there."""
    alarms = 0
    found = np.zeros(len(STEPS))
    for seed in range(histories):
        y = _noise(np.random.default_rng([seed, cases, runs]), cases, runs, sd, odd=odd)
        alarms += any(method(y))
        for i, (step, where) in enumerate(STEPS):
            at = runs // 2 if where == "middle" else runs - 3
            changed = y.copy()
            changed[0, at:] += np.log1p(step)
            found[i] += any(abs(each - at) <= 1 for each in method(changed)[0])
    return [alarms / histories, *(found / histories)]


def _noise(rng: np.random.Generator, cases: int, runs: int, sd: float, *, odd: bool) -> FloatArray:
    z = np.sqrt(0.5) * (rng.standard_normal((1, runs)) + rng.standard_normal((cases, runs)))
    far = 4 * (rng.random((cases, runs)) < 0.05) if odd else 0
    return np.asarray(sd * (z + far))


def _attnbench(y: FloatArray) -> list[list[int]]:
    unknown, machine = np.full(y.shape[1], np.nan), np.zeros(y.shape[1], np.int64)
    signals = [change_points.signal(each, unknown, unknown, machine) for each in y]
    return [[step.at for step in each.steps] for each in change_points.find(signals)]


def _pelt(y: FloatArray) -> list[list[int]]:
    found = []
    for each in y:
        spread = 1.4826 * np.median(np.abs(np.diff(each))) / 2**0.5
        model = KernelCPD(kernel="linear", min_size=2).fit((each / spread)[:, None])
        found.append([int(at) for at in model.predict(pen=3 * np.log(len(each)))[:-1]])
    return found


def _otava(y: FloatArray) -> list[list[int]]:
    found = import_module("otava.analysis").compute_change_points
    # Its usual window is 50. It raises ValueError on series that are longer than half a window.
    window = max(50, 2 * y.shape[1])
    return [[int(point.index) for point in found(np.exp(each), window_len=window)[0]] for each in y]


if __name__ == "__main__":
    main()
