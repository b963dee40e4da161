"""Change points of noisy series, such as log times over runs.

Candidates are those of PELT (Killick, Fearnhead and Eckley 2012) with squared errors, as ruptures computes them. It has
no test, so each candidate then takes a t test between the levels on its two sides:

- Runs are weighted by their precision, odd runs are moved closer to their neighbours, and the spread is pooled over the
  whole series.
- Each machine has an effect of its own. If the machine changes together with a level, the two cannot be told apart, and
  there is no change point.
- The p value is multiplied by the number of places where the series can change (Bonferroni). The weakest candidate is
  removed until all that are left pass.
- At each run, Benjamini and Hochberg's procedure decides over all series. So a change that many series share needs less
  evidence in each of them than one that a single series has.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ruptures import KernelCPD
from scipy.ndimage import median_filter
from scipy.special import stdtr, stdtrit
from scipy.stats import false_discovery_control

from attnbench.reports.stats.statistics import LEVEL, FloatArray, IntArray

FEWEST = 3
"""The fewest runs on each side of a change: one or two odd runs are no change."""
FLOOR = 0.03
"""Smaller changes are not reported, as in other comparisons."""
FAMILY = 0.02
"""The level of a whole history. Because candidates are chosen by the data, up to 5 % of unchanged histories with normal
noise have a change point (`tests/benchmarks/change_points.py`)."""
_POWER = 0.80
"""The power at which a change counts as detectable."""
_PENALTY = 4.0
"""The cost of a candidate in variances of the noise. It is low, because the test removes what is no change."""
_MEDIAN_TO_SD = 1.4826
_FAR = 2.5
"""How far a run may lie from its neighbours, in standard deviations of the noise."""
_LEAST_SPREAD = 1e-9
"""Replaces a spread of 0, by which nothing can be divided."""


@dataclass(frozen=True)
class Signal:
    """Log values over the N runs that have one."""

    y: FloatArray
    """Log values `[N]`."""
    weight: FloatArray
    """Relative precision `[N]`, 1 on average."""
    machine: IntArray
    """The machine of each run `[N]`, numbered from 0."""
    runs: IntArray
    """The places of the runs in the history `[N]`, ascending."""

    @property
    def tested(self) -> bool:
        """Check whether there are enough runs for a change."""
        return len(self.y) >= 2 * FEWEST


class Step(NamedTuple):
    """Change between two runs of a signal, on the log scale with its t interval."""

    at: int
    """The place in the signal of the first run after it."""
    change: float
    low: float
    high: float
    p_value: float


class Found(NamedTuple):
    """Change points of a signal, and the spread of runs around its levels with its degrees of freedom."""

    steps: list[Step]
    spread: float
    freedom: int


def signal(y: FloatArray, low: FloatArray, high: FloatArray, machine: IntArray) -> Signal:
    """Return the signal of log values `[R]` with the ends of their intervals; NaN marks what is missing.

    The variance of a run is that between runs, and more if its interval is wider than those of most runs. What lies far
    from the median of five neighbouring runs is moved closer to it, so that one or two odd runs weigh little.
    """
    runs = np.flatnonzero(np.isfinite(y))
    y, machine = y[runs], np.unique(machine[runs], return_inverse=True)[1].astype(np.int64)
    alone = _by_machine(y, machine)
    noise = _noise(alone)
    if len(y):
        around = median_filter(alone, 2 * FEWEST - 1, mode="nearest")
        y = y - alone + np.clip(alone, around - _FAR * noise, around + _FAR * noise)
    # A half of a 95 % interval is at least two standard errors. More exactly does not matter for a weight.
    within = ((high - low)[runs] / 4) ** 2
    usual = float(np.median(within[np.isfinite(within)])) if np.isfinite(within).any() else 0.0
    more = np.maximum(np.where(np.isfinite(within), within, usual) - usual, 0.0)
    variance = max(noise**2, usual, _LEAST_SPREAD**2) + more
    weight = 1 / variance
    return Signal(y, weight / weight.mean() if len(weight) else weight, machine, runs)


def find(signals: list[Signal]) -> list[Found]:
    """Return the change points of signals that are tested together.

    If several change at nearly the same run, they change at the run of the clearest one.
    """
    found = _aligned(signals, [_pruned(each, _candidates(each) if each.tested else []) for each in signals])
    while rejected := _rejected(signals, found):
        for i, places in rejected.items():
            found[i] = _tested(signals[i], [step.at for step in found[i].steps if step.at not in places])
    return found


def detectable(given: Signal, found: Found, tested: int, after: int) -> float:
    """Return the smallest slow-down, a ratio minus 1, that `find` shows with a power of 80 %; NaN with too few runs.

    It would lie between the last `after` runs and those before. `tested` is the number of signals tested together.
    """
    before = len(given.y) - after
    if min(before, after) < FEWEST or found.freedom < 1:
        return float("nan")
    level = FAMILY / tested / _places(given)
    errors = stdtrit(found.freedom, 1 - level / 2) + stdtrit(found.freedom, _POWER)
    threshold = errors * found.spread * np.sqrt(1 / before + 1 / after)
    return float(np.expm1(max(np.log1p(FLOOR), threshold)))


def _noise(y: FloatArray) -> float:
    """Return the spread of runs, from differences between neighbours: levels that change do not matter."""
    return _MEDIAN_TO_SD * float(np.median(np.abs(np.diff(y)))) / 2**0.5 if len(y) > 1 else 0.0


def _by_machine(y: FloatArray, machine: IntArray) -> FloatArray:
    """Return values minus the mean of their machine."""
    return y - (np.bincount(machine, y) / np.bincount(machine))[machine] if len(y) else y


def _places(given: Signal) -> int:
    """Return the number of places where a signal can change."""
    return len(given.y) - 2 * FEWEST + 1


def _candidates(given: Signal) -> list[int]:
    y = _by_machine(given.y, given.machine)
    scaled = y / max(_noise(y), _LEAST_SPREAD)
    *cuts, _ = KernelCPD(kernel="linear", min_size=FEWEST).fit(scaled[:, None]).predict(pen=_PENALTY)
    return [int(each) for each in cuts]


def _pruned(given: Signal, cuts: list[int]) -> Found:
    """Remove the weakest of some change points until all pass their test as if the signal were alone."""
    cuts = [*cuts]
    found = _tested(given, cuts)
    while not _pass(found):
        weakest = max(found.steps, key=lambda step: (not _large(step), step.p_value))
        cuts.remove(weakest.at)
        found = _tested(given, cuts)
    return found


def _pass(found: Found) -> bool:
    """Check whether all change points are shown and large enough."""
    return all(step.p_value <= FAMILY and _large(step) for step in found.steps)


def _large(step: Step) -> bool:
    return bool(abs(step.change) >= np.log1p(FLOOR))


def _rejected(signals: list[Signal], found: list[Found]) -> dict[int, set[int]]:
    """Return the steps that may be false if all signals are tested together, as places by signal.

    At each run, this is the procedure of Benjamini and Hochberg (1995) over all signals.
    """
    by_run: dict[int, list[tuple[int, Step]]] = {}
    for i, each in enumerate(found):
        for step in each.steps:
            by_run.setdefault(int(signals[i].runs[step.at]), []).append((i, step))
    rejected: dict[int, set[int]] = {}
    for steps in by_run.values():
        p_values = np.ones(sum(each.tested for each in signals))
        p_values[: len(steps)] = [step.p_value for _, step in steps]
        for (i, step), adjusted in zip(steps, false_discovery_control(p_values), strict=False):
            if adjusted > FAMILY or not _large(step):
                rejected.setdefault(i, set()).add(step.at)
    return rejected


def _tested(given: Signal, cuts: list[int]) -> Found:
    """Fit levels between change points, and effects of machines, and test each change."""
    n = len(given.y)
    segment = np.searchsorted(cuts, np.arange(n), side="right")
    machines = int(given.machine.max(initial=0)) + 1
    design = np.hstack([np.eye(len(cuts) + 1)[segment], np.eye(machines)[given.machine][:, 1:]])
    normal = design.T @ (given.weight[:, None] * design)
    inverse = np.linalg.pinv(normal, hermitian=True)
    fit = inverse @ (design.T @ (given.weight * given.y))
    freedom = n - int(np.linalg.matrix_rank(design)) if n else 0
    squares = float((given.weight * (given.y - design @ fit) ** 2).sum())
    spread = max((squares / freedom) ** 0.5, _LEAST_SPREAD) if freedom > 0 else float("nan")
    steps = []
    for i, at in enumerate(cuts):
        contrast = np.zeros(design.shape[1])
        contrast[i : i + 2] = -1, 1
        change, error = float(contrast @ fit), spread * float(contrast @ inverse @ contrast) ** 0.5
        # Otherwise the change is confounded with one of machines: no combination of runs shows it alone.
        if freedom > 0 and np.allclose(inverse @ normal @ contrast, contrast, atol=1e-6):
            half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
            p_value = min(1.0, 2 * float(stdtr(freedom, -abs(change) / error)) * _places(given))
            steps.append(Step(at, change, change - half, change + half, p_value))
        else:
            steps.append(Step(at, change, float("nan"), float("nan"), 1.0))
    return Found(steps, spread, freedom)


def _aligned(signals: list[Signal], found: list[Found]) -> list[Found]:
    """Move each step to a clearer one of another signal at a neighbouring run, if it passes its test there too."""
    found = [*found]
    steps = [(step.p_value, i, j) for i, each in enumerate(found) for j, step in enumerate(each.steps)]
    leaders: list[int] = []
    for _, i, j in sorted(steps):
        given, cuts = signals[i], [step.at for step in found[i].steps]
        run = int(given.runs[cuts[j]])
        to = next((each for each in leaders if abs(each - run) <= 1), None)
        if to is None:
            leaders.append(run)
            continue
        cuts[j] = int(np.searchsorted(given.runs, to))
        if min(np.diff([0, *cuts, len(given.y)])) >= FEWEST:
            there = _tested(given, cuts)
            found[i] = there if _pass(there) else found[i]
    return found
