"""A run as one tidy table: a row per case, every statistic computed once."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.journal import Journal, read
from attnbench.reports.scaling import scaling
from attnbench.reports.settings import names
from attnbench.reports.statistics import FloatArray, IntArray, interval, log_medians
from attnbench.suites import Case, Probe, Sample, Status

_WORDS = ("case", "variant", "parameters", "implementation", "device", "dtype", "direction", "threads", "status")
_SIZES = ("batch", "heads", "kv_heads", "seq_len", "head_dim")
_COUNTS = ("peak_bytes", "allowed_pairs", "computed_pairs", "flops")
_EXTRA_COUNTS = ("prepare_ns", "first_call_ns", "prepared_bytes", "resident_bytes", "predicted_bytes")
_PROBED = (*_COUNTS, *_EXTRA_COUNTS, "reserved_bytes")

COLUMNS = (
    *("case", "variant", "parameters", "implementation", "device", "dtype", "direction"),
    *("batch", "heads", "kv_heads", "seq_len", "head_dim", "threads", "status", "reason"),
    *("time_ns", "time_low_ns", "time_high_ns", *_COUNTS, "flops_per_s", "speedup", "baseline", "max_abs_error"),
    *("label", "processes", "speedup_low", "speedup_high", "bound_speedup", "realised", "waste", *_EXTRA_COUNTS),
    "peak_fraction",
    *("hot_time_ns", "host_ns", "launch_bound", "throttled", "reserved_bytes"),
)
"""The columns of a frame. Times are of one call; `speedup` is the baseline's time over the case's; `bound_speedup` the
baseline's allowed pairs over the case's; `realised` their ratio; `waste` computed pairs over allowed ones;
`peak_fraction` the case's peak memory over the baseline's. On CUDA `time_ns` is with a cold L2 cache, `hot_time_ns`
with a hot one, `host_ns` what the host takes to queue a call; `launch_bound`: that took longer than the call itself in
some process; `throttled`: something held the clocks down in one. Where that is not known, they are empty. Numbers
exist only where `status` is `passed`."""

NOT_REACHED = "not reached"
NOT_TIMED = "not timed: the run ended before"


@dataclass(frozen=True, eq=False)
class Run:
    """A run, read and computed."""

    folder: Path
    meta: Mapping[str, Any]
    """The contents of `run.json`."""
    frame: pd.DataFrame
    """One row per case, in the suite's order; see `COLUMNS`."""
    log_ns: FloatArray
    """Each process's median log time, `[cases, P]`, NaN where a process has none."""
    scaling: pd.DataFrame
    """One row per series and setting; see `attnbench.reports.scaling`."""


def load(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    journal = read(folder)
    endings = [_ending(journal.probes.get(each.key), journal.samples.get(each.key, {})) for each in journal.planned]
    passed = [status is Status.PASSED for status, _ in endings]
    log_ns = _log_ns(journal, passed, "values_ns")
    rows = {each.key: i for i, each in enumerate(journal.planned)}
    baseline_rows = np.array([rows.get(each.baseline or "", -1) for each in journal.planned], np.int64)
    frame = _told(journal, endings)
    _add_times(frame, log_ns)
    _add_speedups(frame, log_ns, baseline_rows)
    frame["hot_time_ns"] = np.exp(interval(_log_ns(journal, passed, "hot_values_ns")).mean)
    _add_conditions(frame, journal, passed)
    frame["waste"] = _ratio(_floats(frame, "computed_pairs"), _floats(frame, "allowed_pairs"))
    frame = frame[list(COLUMNS)]
    return Run(folder, journal.meta, frame, log_ns, scaling(frame, log_ns, baseline_rows))


def _ending(probe: Probe | None, samples: Mapping[int, Sample]) -> tuple[Status, str]:
    """How a case ended over its probe and its replicates: one failure anywhere is its end.

    A replicate skipped for lack of time takes nothing from those that passed.
    """
    if probe is None:
        return Status.SKIPPED, NOT_REACHED
    if probe.status is not Status.PASSED:
        return probe.status, probe.reason
    told = [samples[replicate] for replicate in sorted(samples)]
    failed = [each for each in told if each.status not in (Status.PASSED, Status.SKIPPED)]
    if not failed and not any(each.status is Status.PASSED for each in told):
        failed = told
    if failed:
        return failed[0].status, failed[0].reason
    return (Status.PASSED, "") if told else (Status.SKIPPED, NOT_TIMED)


def _log_ns(journal: Journal, passed: list[bool], name: str) -> FloatArray:
    """Median log times `[cases, P]` of the cases that passed, from the values that samples call `name`."""
    found = [
        (i, replicate, getattr(sample, name))
        for i, each in enumerate(journal.planned)
        if passed[i]
        for replicate, sample in journal.samples[each.key].items()
        if sample.status is Status.PASSED and getattr(sample, name)
    ]
    columns = {name: p for p, name in enumerate(sorted({replicate for _, replicate, _ in found}))}
    log_ns = np.full((len(journal.planned), len(columns)), np.nan)
    if found:
        at = [i for i, _, _ in found], [columns[replicate] for _, replicate, _ in found]
        log_ns[at] = log_medians([values for _, _, values in found])
    return log_ns


def _told(journal: Journal, endings: list[tuple[Status, str]]) -> pd.DataFrame:
    """What the rows say as they stand."""
    labels: dict[tuple[str, str], str] = {}
    told = []
    for each, (status, reason) in zip(journal.planned, endings, strict=True):
        case = each.case
        parameters = json.dumps(dict(case.parameters), sort_keys=True, separators=(",", ":"))
        if (case.variant, parameters) not in labels:
            labels[case.variant, parameters] = _label(case)
        probe = journal.probes[each.key] if status is Status.PASSED else None
        row = {name: getattr(case, name) for name in ("variant", "implementation", "dtype", "device", "direction")}
        row |= {name: getattr(case.shape, name) for name in _SIZES} | {"threads": str(case.threads)}
        row |= {"parameters": parameters, "label": labels[case.variant, parameters]}
        row |= {"case": each.key, "status": status.value, "reason": reason, "baseline": ""}
        told.append(row | _numbers(probe))
    frame = pd.DataFrame(told, columns=list(COLUMNS))
    kinds = dict.fromkeys((*_WORDS, "reason", "baseline", "label"), "str") | dict.fromkeys(_SIZES, "int64")
    return frame.astype(kinds | dict.fromkeys(_PROBED, "Int64") | {"max_abs_error": "float64"})


def _label(case: Case) -> str:
    """The case's label; where its variant is not installed here, every parameter is told."""
    try:
        return case.label
    except (KeyError, TypeError, ValueError, ImportError):
        told = ", ".join(f"{name}={json.dumps(value)}" for name, value in case.parameters.items())
        return f"{case.variant}({told})" if told else case.variant


def _numbers(probe: Probe | None) -> dict[str, Any]:
    """The probe's numbers, none where the case did not pass."""
    return {name: getattr(probe, name) for name in (*_PROBED, "max_abs_error")} if probe else {}


def _add_times(frame: pd.DataFrame, log_ns: FloatArray) -> None:
    """Times with their intervals, and the FLOPs per second that they make."""
    time = interval(log_ns)
    frame["time_ns"], frame["time_low_ns"], frame["time_high_ns"] = (np.exp(each) for each in time[:3])
    frame["processes"] = time.processes
    frame["flops_per_s"] = _floats(frame, "flops") / frame["time_ns"] * 1e9


def _add_conditions(frame: pd.DataFrame, journal: Journal, passed: list[bool]) -> None:
    """What was seen while a case was timed, over its processes: the median, and whether it was ever so."""
    seen: dict[str, list[float | bool | None]] = {"host_ns": [], "launch_bound": [], "throttled": []}
    for each, fit in zip(journal.planned, passed, strict=True):
        samples = journal.samples[each.key].values() if fit else ()
        for name, told in seen.items():
            known = [getattr(sample, name) for sample in samples if getattr(sample, name) is not None]
            combined = statistics.median if name == "host_ns" else any
            told.append(combined(known) if known else None)
    frame["host_ns"] = pd.array(seen["host_ns"], "Float64")
    for name in ("launch_bound", "throttled"):
        frame[name] = pd.array(seen[name], "boolean")


def _add_speedups(frame: pd.DataFrame, log_ns: FloatArray, baseline_rows: IntArray) -> None:
    """Speed-ups paired by process, and the ratios of work and memory to the baseline's."""
    known = baseline_rows >= 0
    at = np.where(known, baseline_rows, 0)
    theirs = names(frame).to_numpy()[at]
    frame["baseline"] = pd.Series(np.where(known, theirs, ""), frame.index, "str")
    speedup = interval(np.where(known[:, None], log_ns[at] - log_ns, np.nan))
    frame["speedup"], frame["speedup_low"], frame["speedup_high"] = (np.exp(each) for each in speedup[:3])
    pairs, peak = _floats(frame, "allowed_pairs"), _floats(frame, "peak_bytes")
    frame["bound_speedup"] = _ratio(np.where(known, pairs[at], np.nan), pairs)
    frame["realised"] = frame["speedup"] / frame["bound_speedup"]
    frame["peak_fraction"] = _ratio(peak, np.where(known, peak[at], np.nan))


def _floats(frame: pd.DataFrame, name: str) -> FloatArray:
    """A column of counts as floats, NaN where there is none."""
    return frame[name].to_numpy(np.float64, na_value=np.nan)


def _ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    """Elementwise ratio, NaN where there is nothing to divide by."""
    return np.divide(over, under, out=np.full_like(under, np.nan), where=under > 0)
