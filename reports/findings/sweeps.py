"""Sweeps: cases of one variant and implementation at one length that differ in the keys per query.

Keys per query is a mean, the allowed pairs over the queries, because a window holds fewer at the ends of a sequence.
Density is keys per query over the length. K counts the cases of a sweep, P processes.
"""

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import names, tokens
from attnbench.reports.data.values import FloatArray, floats
from attnbench.reports.findings.growth import FEW_PROCESSES, NO_BASELINE, NOT_BESIDE
from attnbench.reports.stats import crossover
from attnbench.reports.stats.crossover import Crossover
from attnbench.reports.stats.statistics import IntArray, Interval, interval, longest_octaves, slopes

FEWEST_CASES = 3
"""The fewest different numbers of keys in a sweep."""
_STRAIGHT = 0.25
"""A line fits if its relative error is at most this at every number of keys."""
_LEAST = 0.01
"""Keys count as free if all of them together cost less than this share of a call's time."""


class Line(NamedTuple):
    """Line `fixed_ns + per_key_ns * keys` for the time of a call. Its intervals are not on the log scale."""

    fixed_ns: Interval
    per_key_ns: Interval
    misfit: float
    """The largest relative error over numbers of keys, averaged over processes."""

    @property
    def straight(self) -> bool:
        """Check whether the line fits well enough to be reported."""
        return self.misfit <= _STRAIGHT


@dataclass(frozen=True, eq=False)
class Sweep:
    """Sweep, keys per query ascending, with the baseline of its cases."""

    label: str
    implementation: str
    seq_len: int
    frame: pd.DataFrame
    """Its cases `[K]`: rows of the run's frame, with the `label` of the sweep and `keys` per query."""
    log_ns: FloatArray
    """Log times `[K, P]`."""
    baseline: pd.DataFrame
    """The row of its baseline, with its `keys`; empty if no baseline passed."""
    baseline_log_ns: FloatArray
    """`[P]`."""
    realised: Interval | None = None
    """The realised share of the bound of the speed-up, on the log scale, at the density that all sweeps of its setting
    reach. It is interpolated linearly between measured densities, per process, with both on the log scale."""

    @property
    def name(self) -> str:
        """`label/implementation`."""
        return f"{self.label}/{self.implementation}"

    @property
    def against(self) -> str:
        """The name of the baseline; empty if none passed."""
        return next(iter(names(self.baseline)), "")

    @cached_property
    def keys(self) -> FloatArray:
        """Keys per query `[K]`."""
        return floats(self.frame["keys"])

    @cached_property
    def limit(self) -> Crossover:
        """The keys per query up to which the sweep is faster than its baseline."""
        return crossover.limit(self.keys, self.log_ns - self.baseline_log_ns)

    @property
    def limit_reason(self) -> str:
        """Why the sweep has no limit: no baseline passed, or too few processes have both."""
        if self.limit.kind:
            return ""
        return FEW_PROCESSES if self.against else NOT_BESIDE if self.frame["baseline"].any() else NO_BASELINE

    @cached_property
    def doubling(self) -> Crossover:
        """The keys per query from which a call takes more than twice the time with the fewest keys."""
        # A difference for `crossover`: negative if a call takes more than twice the first time.
        return crossover.crossover(self.keys, self.log_ns[0] + np.log(2) - self.log_ns)

    @cached_property
    def exponent(self) -> Interval:
        """The exponent of time in keys per query, over the three octaves with most keys; NaN if these hold too few."""
        fitted = longest_octaves(np.rint(self.keys).astype(np.int64))
        if not fitted.any():
            return interval(np.array([np.nan]))
        return interval(slopes(np.log(self.keys[fitted]), self.log_ns[fitted]))

    @cached_property
    def line(self) -> Line:
        """The line of time over keys per query, fitted per process by least squares of relative errors.

        With absolute errors, the slowest cases alone would decide the fit.
        """
        # The NaN counts as a missing process. It keeps the shapes right if no process has every case.
        found, misfits = [np.full(2, np.nan)], [np.nan]
        for log_ns in self.log_ns.T[np.isfinite(self.log_ns).all(axis=0)]:
            relative = np.stack([np.ones_like(self.keys), self.keys], axis=1) / np.exp(log_ns)[:, None]
            found.append(np.linalg.lstsq(relative, np.ones_like(self.keys))[0])
            misfits.append(float(np.abs(relative @ found[-1] - 1).max()))
        fixed, per_key = np.array(found).T
        return Line(interval(fixed), interval(per_key), float(interval(np.array(misfits)).mean))

    @cached_property
    def rises(self) -> bool:
        """Check whether keys cost at least 1 % of the longest call and, if there is an interval, surely more than 0."""
        most_ns = float(np.exp(np.nanmean(self.log_ns[-1])))
        cost_ns = float(self.line.per_key_ns.mean) * float(self.keys[-1])
        # `not low <= 0` also holds for NaN, that is, without an interval.
        return cost_ns > _LEAST * most_ns and not float(self.line.per_key_ns.low) <= 0

    @cached_property
    def peak_shares(self) -> tuple[float, float]:
        """The memory peaks with the fewest and the most keys, over the baseline's; NaN if one is missing."""
        fewest, most = floats(self.frame["peak_bytes"])[[0, -1]]
        baseline = next(iter(floats(self.baseline["peak_bytes"])), np.nan) or np.nan
        return float(fewest / baseline), float(most / baseline)

    def realised_at(self, density: float) -> Interval:
        """Return `realised` at another density."""
        log_keys = np.log(self.keys)
        work = np.log(next(iter(floats(self.baseline["keys"])), np.nan)) - log_keys
        share = self.baseline_log_ns - self.log_ns - work[:, None]
        at = np.log(density * self.seq_len)
        return interval(np.array([np.interp(at, log_keys, each) for each in share.T]))


def sweeps(frame: pd.DataFrame, log_ns: FloatArray, paired_log_ns: FloatArray) -> tuple[Sweep, ...]:
    """Find the sweeps of a setting, in its order, at the longest length that has any; times are those of the run."""
    passed = frame[(frame["status"] == "passed") & (floats(frame["allowed_pairs"]) > 0)]
    passed = passed.assign(keys=_keys(passed))
    for n in _candidates(passed):
        part = passed[passed["seq_len"] == n]
        found = [_sweep(part, group, log_ns, paired_log_ns) for group in _groups(part)]
        if found:
            density = common_density(found)
            if density is not None:
                found = [replace(each, realised=each.realised_at(density)) for each in found]
            return tuple(found)
    return ()


def common_density(found: Sequence[Sweep]) -> float | None:
    """Return the lowest density that all sweeps reach; None if there is none."""
    sparsest = max(each.keys[0] / each.seq_len for each in found)
    densest = min(each.keys[-1] / each.seq_len for each in found)
    return float(sparsest) if sparsest <= densest else None


def _candidates(passed: pd.DataFrame) -> Iterator[int]:
    """Yield the lengths at which a variant and implementation has enough numbers of keys, the longest first."""
    many = passed.groupby(["seq_len", "variant", "implementation"])["keys"].nunique()
    enough = many[many >= FEWEST_CASES].index.get_level_values("seq_len")
    yield from sorted(map(int, enough.unique()), reverse=True)


class _Group(NamedTuple):
    """Cases that may be a sweep."""

    kept: str
    """The parameters that they share, as in their labels: `dilation=8, edges=slide`."""
    rows: IntArray
    """Keys ascending."""


def _groups(part: pd.DataFrame) -> list[_Group]:
    """Find the sweeps among cases of one setting and length."""
    kept = [_kept(parameters, label) for parameters, label in zip(part["parameters"], part["label"], strict=True)]
    alike = part.assign(kept=kept).groupby(["variant", "kept", "implementation"], sort=False)
    return [found for _, each in alike for found in _along(each)]


def _along(alike: pd.DataFrame) -> list[_Group]:
    """Find the sweeps among cases of a variant and implementation that share all parameters that are no numbers.

    If several numbers vary, a sweep varies one and fixes the others. It is the one that puts most cases into sweeps. If
    none makes a sweep, all cases are one, such as a window that grows to both sides.
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
    """Return all parameters of each case except one."""
    return [json.dumps({other: value for other, value in each.items() if other != name}) for each in given]


def _enough(parts: list[pd.DataFrame], named: Set[str] = frozenset()) -> list[_Group]:
    """Return the groups with enough different numbers of keys. Each names the parameters `named`, which it shares."""
    found = []
    for each in parts:
        keys = floats(each["keys"])
        if np.unique(keys).size >= FEWEST_CASES:
            kept = _kept(each["parameters"].iloc[0], each["label"].iloc[0], named)
            found.append(_Group(kept, each.index.to_numpy(np.int64)[np.argsort(keys, kind="stable")]))
    return found


def _sweep(part: pd.DataFrame, group: _Group, log_ns: FloatArray, paired_log_ns: FloatArray) -> Sweep:
    """Build the sweep of a group; `part` holds the cases of its setting and length."""
    kept, rows = group
    first = part.loc[rows[0]]
    label = f"{first['variant']}({kept})" if kept else str(first["variant"])
    same = part[names(part) == first["baseline"]].head(1)
    return Sweep(
        label=label,
        implementation=str(first["implementation"]),
        seq_len=int(first["seq_len"]),
        frame=part.loc[rows].assign(label=label),
        log_ns=log_ns[rows],
        baseline=same,
        baseline_log_ns=paired_log_ns[same.index[0]] if len(same) else np.full(log_ns.shape[1], np.nan),
    )


def _kept(parameters: str, label: str, named: Set[str] = frozenset()) -> str:
    """Return the parameters of a label that are no numbers or are `named`: `edges=slide`. They separate sweeps."""
    written = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in json.loads(parameters).items()
        if isinstance(value, bool | str) or name in named
    ]
    return ", ".join(each for each in written if each in label)


def _keys(frame: pd.DataFrame) -> FloatArray:
    """Return the keys per query of cases that passed."""
    pairs = floats(frame["allowed_pairs"])
    queries = frame["heads"] * tokens(frame)
    return np.asarray(pairs / queries.to_numpy(np.float64))
