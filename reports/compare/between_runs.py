"""Comparison of two runs: cases are joined by key, times compared by Welch's t over processes, counts exactly."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.compare import metrics
from attnbench.reports.compare.comparison import (
    COLUMNS,
    IDENTITY,
    NUMBERS,
    UNDECIDED,
    Comparison,
    Ending,
    Ratio,
    add_times,
    lost_or_new,
    only_in_b,
)
from attnbench.reports.data import reading
from attnbench.reports.decision.decide import Rule
from attnbench.reports.decision.pairs import unpaired
from attnbench.reports.decision.rule import COMPARED, Verdict
from attnbench.reports.findings.run import Run, judged
from attnbench.reports.stats.statistics import FEWEST_PROCESSES, BoolArray, FloatArray, IntArray, Interval
from attnbench.suites import Status, fingerprint
from attnbench.suites.schema.limits import Check

DOUBTFUL = {"bimodal", "drifting", "throttled"}
"""Flags that make a difference `unstable` instead of a change."""
_ABSOLUTE = (
    "Times of two runs are compared by Welch's t test over processes, with Holm's correction over all cases. Runs "
    "that were made one after the other also differ by what else the machine did: `bench ab` measures both at once."
)
_RELATIVE = (
    "The {what} differ, so only ratios to the baseline within each run are compared, by Welch's t test over "
    "processes. Such ratios depend on the machine too: take them as advice."
)
_APART = "The {what} differ, so times are not compared; --across-machines compares ratios within each run, as advice."
_ESTIMATE = " In both, the {} of its values represents a process, as in the older run."
_SEEDS = " The seeds of the runs differ, so their errors are not compared."
_INPUTS = " `error_vs_full` has different inputs: {} in A, {} in B."
_IS_BASELINE = "it is what the others are compared with"
_NO_BASELINE = "no baseline passed beside it"
_ONE_SUITE, _TWO_SUITES = "of the suite {}", "of the suites {} and {}"


def compare(
    a: Run,
    b: Run,
    rule: Rule | None = None,
    *,
    across_machines: bool = False,
    name: str | None = None,
    policies: Mapping[str, Check] | None = None,
) -> Comparison:
    """Compare run B with run A. A is called `name`, or else by its folder.

    Both use the estimate of the older run, because ratios need the same statistic on both sides. With `policies`, by
    case, a time is judged by the limit of its case instead of the rule's floor.
    """
    rule = rule or Rule()
    estimates = {a.estimate, b.estimate}
    a, b = _by_one_estimate(a, b)
    differences = fingerprint.between(a.meta, b.meta)
    frame, at_a, at_b = _joined(a.frame, b.frame)
    what = fingerprint.what_differs(differences)
    relative = bool(differences) and across_machines
    apart: dict[str, str] = {}
    log_a, log_b = a.log_ns, b.log_ns
    if relative:
        # Another machine changes all times. Ratios to the baseline within a run cancel the part common to both.
        log_a, log_b = _relative(a, a.baseline_rows), _relative(b, _same_baselines(a, b))
        apart = _without_ratio(a, log_a) | _without_ratio(b, log_b)
    elif differences:
        apart = dict.fromkeys(frame["case"], f"the {what} differ")
    both = _taken(log_a, at_a), _taken(log_b, at_b)
    found = unpaired(*both)
    times = zip(frame["case"], frame["a_ns"], strict=True)
    limits = None if policies is None else np.array([policies[case].time.of(ns) for case, ns in times])
    add_times(frame, found, rule, limits)
    few = f"expected at least {FEWEST_PROCESSES} processes in each run"
    reasons = np.where(found.pairs < FEWEST_PROCESSES, few, UNDECIDED)
    frame["reason"] = np.where(frame["verdict"] == Verdict.INCONCLUSIVE, reasons, "")
    frame["against"] = ""
    _override(frame, (a, at_a), (b, at_b), apart)
    same = _same_memory(frame, differences.keys() & set(fingerprint.MEMORY))
    metrics.add(frame, same_memory=same)
    if same.any():
        metrics.add_operators(frame, same, a.profiles, b.profiles)
    how = (_RELATIVE if relative else _APART if differences else _ABSOLUTE).format(what=what)
    how += _ESTIMATE.format(a.estimate) if len(estimates) > 1 else ""
    if _seed(a) != _seed(b):
        frame["error"] = Verdict.INCOMPARABLE.value
        how += _SEEDS
    how += _INPUTS.format(_inputs(a), _inputs(b)) if _inputs(a) != _inputs(b) else ""
    ratio = Ratio.TO_BASELINES if relative else Ratio.TIMES
    names = name or str(a.folder), str(b.folder)
    after = replace(b, frame=b.frame.assign(before_ns=frame["a_ns"].array[: len(b.frame)]))
    return Comparison(
        *names,
        frame[list(COLUMNS)],
        differences,
        how,
        rule,
        suite=b.meta["name"],
        disjoint="" if ((at_a >= 0) & (at_b >= 0)).any() else _suites(a, b),
        ratio=ratio,
        together=None if relative else _together(*(each[frame["ratio"].notna()] for each in both)),
        after=after,
        judged_by_limit=policies is not None,
        environments=(a.meta["environment"], b.meta["environment"]),
        commands=tuple((side, each) for side, run in (("A", a), ("B", b)) for each in run.commands),
    )


def _suites(a: Run, b: Run) -> str:
    """Say of which suites two runs are."""
    names = a.meta["name"], b.meta["name"]
    return (_ONE_SUITE if names[0] == names[1] else _TWO_SUITES).format(*names)


def _by_one_estimate(a: Run, b: Run) -> tuple[Run, Run]:
    """Return both runs with the estimate of the older one."""
    if a.estimate == b.estimate:
        return a, b
    older = min((a, b), key=lambda run: str(run.meta.get("started")))
    first, second = (
        each if each is older else judged(each.folder, reading.read(each.folder), older.estimate) for each in (a, b)
    )
    return first, second


def _seed(run: Run) -> int:
    """Return the seed of a run's inputs."""
    seed: int = run.meta.get("seed", 0)
    return seed


def _inputs(run: Run) -> str:
    """Return the inputs of `error_vs_full` in words: `those of seed 0`, or a file and the first digits of its hash."""
    file = run.meta.get("inputs")
    return f"{file['file']} ({file['sha256'][:8]})" if file else f"those of seed {_seed(run)}"


def _same_memory(frame: pd.DataFrame, different: set[str]) -> BoolArray:
    """Return for which cases, `[cases]`, peaks may be compared if these facts of the machines differ.

    A case on the CPU does not depend on the GPU. The number of threads matters only on the CPU, with `auto`.
    """
    on_cuda = (frame["device"] == "cuda").to_numpy(bool)
    auto = (frame["threads"] == "auto").to_numpy(bool)
    apart = np.full(len(frame), bool(different - {"gpu", "threads"}))
    apart |= on_cuda & ("gpu" in different)
    apart |= auto & ~on_cuda & ("threads" in different)
    return ~apart


def _joined(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, IntArray, IntArray]:
    """Join every case of B, then those only in A, with the numbers of both. Return also the rows in A and B, or -1."""
    keys = pd.Index(b["case"]).append(pd.Index(a["case"]).difference(pd.Index(b["case"]), sort=False))
    at_a, at_b = (pd.Index(each["case"]).get_indexer(keys).astype(np.int64) for each in (a, b))
    frame = pd.concat([b[list(IDENTITY)], a.iloc[at_a[at_b < 0]][list(IDENTITY)]], ignore_index=True)
    for name, source in {"ns": "time_ns", **{each: each for each in NUMBERS}}.items():
        frame[f"a_{name}"], frame[f"b_{name}"] = _rows(a, at_a, source), _rows(b, at_b, source)
    return frame, at_a, at_b


def _rows(frame: pd.DataFrame, at: IntArray, name: str) -> FloatArray | Any:
    """Return a column's values at rows; missing if the row is -1."""
    # `reindex` fills labels that are not in the frame, such as -1.
    return frame[name].reindex(np.where(at < 0, -1, at)).array


def _taken(log_ns: FloatArray, at: IntArray) -> FloatArray:
    """Return the rows `at` of log times; NaN if the row is -1."""
    return np.where((at >= 0)[:, None], log_ns[at], np.nan)


def _together(log_a: FloatArray, log_b: FloatArray) -> Interval | None:
    """Return the mean log ratio of C cases from log times `[C, P]`, with its interval; None with fewer than two cases.

    A process gives one number: the mean over cases of its log times. Only processes that measured every case count.
    """
    if len(log_a) < 2:
        return None
    found = unpaired(log_a.mean(axis=0, keepdims=True), log_b.mean(axis=0, keepdims=True))
    mean, low, high, pairs = (each[0] for each in (found.mean, found.low, found.high, found.pairs))
    return Interval(mean, low, high, pairs) if pairs else None


def _relative(run: Run, baseline_rows: IntArray) -> FloatArray:
    """Return log times minus those of the baseline in the same process; NaN without another case as baseline."""
    at = np.where(baseline_rows == np.arange(len(baseline_rows)), -1, baseline_rows)
    return run.log_ns - _taken(run.paired_log_ns, at)


def _same_baselines(a: Run, b: Run) -> IntArray:
    """Return the rows in B of the baselines that A uses: of several, each run takes the fastest, which may differ."""
    cases_a, cases_b = (pd.Index(each.frame["case"]) for each in (a, b))
    in_a = cases_a.get_indexer(cases_b)
    theirs = np.where(in_a >= 0, a.baseline_rows[in_a], -1)
    at = cases_b.get_indexer(cases_a)
    return np.where(in_a >= 0, np.where(theirs >= 0, at[theirs], -1), b.baseline_rows).astype(np.int64)


def _without_ratio(run: Run, ratios: FloatArray) -> dict[str, str]:
    """Return why cases have no ratio to a baseline in their run: the case is one itself, or none passed beside it."""
    baselines = {case for row, case in enumerate(run.frame["case"]) if run.baseline_rows[row] == row}
    known = np.asarray(np.isfinite(ratios).any(axis=1))
    return {case: _IS_BASELINE if case in baselines else _NO_BASELINE for case in run.frame["case"][~known]}


def _override(frame: pd.DataFrame, a: tuple[Run, IntArray], b: tuple[Run, IntArray], apart: Mapping[str, str]) -> None:
    """Replace verdicts and reasons of cases without two comparable times, or with doubtful ones.

    `apart` holds, by case, the reason why its times cannot be compared.
    """
    doubts = [one | other for one, other in zip(_doubts(*a), _doubts(*b), strict=True)]
    reasons = [apart.get(case, "") for case in frame["case"]]
    rows = zip(frame["verdict"], frame["reason"], _endings(*a), _endings(*b), doubts, reasons, strict=True)
    told = [_told(Verdict(verdict), *rest) for verdict, *rest in rows]
    frame["verdict"], frame["reason"] = [verdict.value for verdict, _ in told], [reason for _, reason in told]
    frame.loc[~frame["verdict"].isin(COMPARED), ["ratio", "low", "high", "minimum_detectable", "p_value"]] = np.nan


def _told(
    verdict: Verdict, reason: str, was: Ending | None, now: Ending | None, doubts: set[str], apart: str
) -> tuple[Verdict, str]:
    """Return verdict and reason of a case from its endings in A and B; `verdict` is that on its times."""
    if now is None:
        return Verdict.MISSING, "not in B"
    if was is None:
        return only_in_b(now)
    untimed = lost_or_new(was, now)
    if untimed:
        return untimed
    if apart:
        return Verdict.INCOMPARABLE, apart
    if verdict in (Verdict.REGRESSED, Verdict.IMPROVED) and doubts:
        return Verdict.UNSTABLE, f"flagged {', '.join(sorted(doubts))}"
    return verdict, reason


def _endings(run: Run, at: IntArray) -> list[Ending | None]:
    """Return how each row ended; None if the row is -1."""
    told = [Ending(Status(each), why) for each, why in zip(run.frame["status"], run.frame["reason"], strict=True)]
    return [told[row] if row >= 0 else None for row in at]


def _doubts(run: Run, at: IntArray) -> list[set[str]]:
    """Return the flags of each row that make a difference doubtful."""
    told = [set(each.split()) & DOUBTFUL for each in run.frame["flags"]]
    return [told[row] if row >= 0 else set() for row in at]
