"""A sweep: cases of one variant and implementation at one length that differ in how many keys a query sees.

Keys per query are the allowed pairs over the queries, a mean: at the ends of a sequence a window holds fewer. Density
is keys per query over the length. K counts the cases of a sweep, P processes.
"""

import json
from collections.abc import Set
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting, names
from attnbench.reports.stats import crossover
from attnbench.reports.stats.crossover import Crossover
from attnbench.reports.stats.statistics import FloatArray, IntArray, Interval, floats, interval, longest_octaves, slopes

FEWEST_CASES = 3
"""With fewer numbers of keys than this there is no sweep."""
_STRAIGHT = 0.25
"""Where a straight line is further off than this at some number of keys, time is none."""
_LEAST = 0.01
"""The share of a call's time that all keys together cost, below which they are said to cost nothing."""


class Sweep(NamedTuple):
    """A sweep, keys per query ascending, and the baseline that its cases are against."""

    label: str
    implementation: str
    seq_len: int
    rows: IntArray
    """The rows of the run's frame `[K]`."""
    keys: FloatArray
    """`[K]`."""
    log_ns: FloatArray
    """Log times `[K, P]`."""
    peak_bytes: FloatArray
    """`[K]`."""
    baseline: str
    """Its name, empty where there is none that passed."""
    baseline_row: int
    baseline_keys: float
    baseline_peak_bytes: float
    baseline_log_ns: FloatArray
    """`[P]`."""

    @property
    def name(self) -> str:
        """`label/implementation`."""
        return f"{self.label}/{self.implementation}"


class Line(NamedTuple):
    """Time of a call as `fixed_ns + per_key_ns * keys`; the intervals are not on the log scale."""

    fixed_ns: Interval
    per_key_ns: Interval
    misfit: float
    """The largest relative error at any number of keys, mean over processes."""

    @property
    def straight(self) -> bool:
        """Whether time is near enough to it that it may be told."""
        return self.misfit <= _STRAIGHT


def sweeps(run: Run, setting: Setting) -> list[Sweep]:
    """The sweeps of a setting, in its order, at the longest length that has any."""
    passed = setting.frame[setting.frame["status"] == "passed"]
    passed = passed[floats(passed["allowed_pairs"]) > 0]  # else there are no keys to be placed by
    for n in sorted(passed["seq_len"].unique(), reverse=True):
        part = passed[passed["seq_len"] == n]
        found = [_sweep(run, part, group) for group in _groups(part)]
        if found:
            return found
    return []


def limit(sweep: Sweep) -> Crossover:
    """Up to how many keys per query a sweep is faster than its baseline."""
    return crossover.limit(sweep.keys, sweep.log_ns - sweep.baseline_log_ns)


def doubling(sweep: Sweep) -> Crossover:
    """From how many keys per query on a sweep takes more than twice the time of its fewest keys."""
    return crossover.crossover(sweep.keys, sweep.log_ns[0] + np.log(2) - sweep.log_ns)


def exponent(sweep: Sweep) -> Interval:
    """The exponent of time in keys per query, over the three octaves of most keys; NaN where they hold too few."""
    fitted = longest_octaves(np.rint(sweep.keys).astype(np.int64))
    if not fitted.any():
        return interval(np.array([np.nan]))
    return interval(slopes(np.log(sweep.keys[fitted]), sweep.log_ns[fitted]))


def line(sweep: Sweep) -> Line:
    """The straight line of time over keys per query with the least squares of relative errors, process by process."""
    found, misfits = [np.full(2, np.nan)], [np.nan]
    for log_ns in sweep.log_ns.T[np.isfinite(sweep.log_ns).all(axis=0)]:
        relative = np.stack([np.ones_like(sweep.keys), sweep.keys], axis=1) / np.exp(log_ns)[:, None]
        found.append(np.linalg.lstsq(relative, np.ones_like(sweep.keys))[0])
        misfits.append(float(np.abs(relative @ found[-1] - 1).max()))
    fixed, per_key = np.array(found).T
    return Line(interval(fixed), interval(per_key), float(interval(np.array(misfits)).mean))


def rises(sweep: Sweep, found: Line) -> bool:
    """Whether keys cost something that is worth a word and, as far as there is an interval, that is sure."""
    most_ns = float(np.exp(np.nanmean(sweep.log_ns[-1])))
    cost_ns = float(found.per_key_ns.mean) * float(sweep.keys[-1])
    return cost_ns > _LEAST * most_ns and not float(found.per_key_ns.low) <= 0


def common_density(found: list[Sweep]) -> float | None:
    """The lowest density that all sweeps reach; nothing where there is none."""
    sparsest = max(each.keys[0] / each.seq_len for each in found)
    densest = min(each.keys[-1] / each.seq_len for each in found)
    return float(sparsest) if sparsest <= densest else None


def realised(sweep: Sweep, density: float) -> Interval:
    """The share of the speed-up by work that a sweep realises at a density, on the log scale.

    Interpolated linearly between the densities measured, both on the log scale; paired by process.
    """
    log_keys = np.log(sweep.keys)
    share = sweep.baseline_log_ns - sweep.log_ns - (np.log(sweep.baseline_keys) - log_keys)[:, None]
    at = np.log(density * sweep.seq_len)
    return interval(np.array([np.interp(at, log_keys, each) for each in share.T]))


class _Group(NamedTuple):
    """Cases that may be a sweep."""

    kept: str
    """The parameters that they share, as their labels tell them: `dilation=8, edges=slide`."""
    rows: IntArray
    """Keys ascending."""


def _groups(part: pd.DataFrame) -> list[_Group]:
    """The sweeps among cases of one setting and length."""
    kept = [_kept(parameters, label) for parameters, label in zip(part["parameters"], part["label"], strict=True)]
    alike = part.assign(kept=kept).groupby(["variant", "kept", "implementation"], sort=False)
    return [found for _, each in alike for found in _along(each)]


def _along(alike: pd.DataFrame) -> list[_Group]:
    """The sweeps among cases of a variant and implementation that share all that is no number.

    Where several numbers vary, and one of them while the others stand still makes sweeps, these are the sweeps: along
    the one by which most cases are in one. Else all cases are one, as of a window that grows to both sides.
    """
    given = [json.loads(each) for each in alike["parameters"]]
    vary = [name for name in given[0] if len({json.dumps(each.get(name)) for each in given}) > 1]
    if len(vary) > 1:
        along = [
            _enough([each for _, each in alike.groupby(_others(given, name), sort=False)], {*vary} - {name})
            for name in vary
        ]
        most = max(along, key=lambda found: sum(len(each.rows) for each in found))
        if most:
            return most
    return _enough([alike])


def _others(given: list[dict[str, Any]], name: str) -> list[str]:
    """All parameters of each case but one."""
    return [json.dumps({other: value for other, value in each.items() if other != name}) for each in given]


def _enough(parts: list[pd.DataFrame], named: Set[str] = frozenset()) -> list[_Group]:
    """The groups that have enough different numbers of keys; each shares the parameters `named`, which are told."""
    found = []
    for each in parts:
        keys = _keys(each)
        if np.unique(keys).size >= FEWEST_CASES:
            kept = _kept(each["parameters"].iloc[0], each["label"].iloc[0], named)
            found.append(_Group(kept, each.index.to_numpy(np.int64)[np.argsort(keys, kind="stable")]))
    return found


def _sweep(run: Run, part: pd.DataFrame, group: _Group) -> Sweep:
    """The sweep of a group; `part` holds the cases of its setting and length."""
    kept, rows = group
    first = run.frame.loc[rows[0]]
    same = part.index[names(part) == first["baseline"]] if first["baseline"] else part.index[:0]
    row = int(same[0]) if len(same) else -1
    return Sweep(
        label=f"{first['variant']}({kept})" if kept else str(first["variant"]),
        implementation=str(first["implementation"]),
        seq_len=int(first["seq_len"]),
        rows=rows,
        keys=_keys(run.frame.loc[rows]),
        log_ns=run.log_ns[rows],
        peak_bytes=floats(run.frame.loc[rows, "peak_bytes"]),
        baseline=str(first["baseline"]) if row >= 0 else "",
        baseline_row=row,
        baseline_keys=float(_keys(run.frame.loc[[row]])[0]) if row >= 0 else np.nan,
        baseline_peak_bytes=float(floats(run.frame.loc[[row], "peak_bytes"])[0]) if row >= 0 else np.nan,
        baseline_log_ns=run.log_ns[row] if row >= 0 else np.full(run.log_ns.shape[1], np.nan),
    )


def _kept(parameters: str, label: str, named: Set[str] = frozenset()) -> str:
    """The parameters of a label that are no numbers, or `named`: `edges=slide`. Cases that differ in them are apart."""
    written = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in json.loads(parameters).items()
        if isinstance(value, bool | str) or name in named
    ]
    return ", ".join(each for each in written if each in label)


def _keys(frame: pd.DataFrame) -> FloatArray:
    """Keys per query of cases that passed."""
    pairs = floats(frame["allowed_pairs"])
    queries = frame["batch"] * frame["heads"] * frame["seq_len"]
    return np.asarray(pairs / queries.to_numpy(np.float64))
