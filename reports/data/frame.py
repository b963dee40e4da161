"""The table of a run: one row per case, with all of its numbers."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench import variants
from attnbench.reports.data import against, capacity, derived, energy, scores
from attnbench.reports.data.parameters import with_parameters
from attnbench.reports.data.parts import parts
from attnbench.reports.data.reading import Journal
from attnbench.reports.data.settings import SIZES, names, tokens
from attnbench.reports.data.values import cell, floats, plain, positive
from attnbench.reports.stats.statistics import FloatArray, IntArray, interval, log_quantiles
from attnbench.suites import Case, Probe, Sample, Status
from attnbench.suites.result import SPENT
from attnbench.suites.schema.limits import QUANTILES, Estimate
from attnbench.variants import AXES

_WORDS = ("case", "variant", "parameters", "implementation", "status", "reason", "baseline", "label", "family", "parts")
_COUNTS = ("peak_bytes", "allowed_pairs", "computed_pairs", "flops")
_APPROXIMATION = ("error_vs_full", "error_of_mean")
_EXTRA_COUNTS = ("prepare_ns", "first_call_ns", "prepared_bytes", "resident_bytes", "predicted_bytes")
_PROBED = (*_COUNTS, *_EXTRA_COUNTS, "reserved_bytes", "compile_ns", "ties", "parameter_count", "state_bytes")
_OF_RANKS = ("rank_bytes", "sent_bytes")
_OTHERS = (
    dict.fromkeys(("max_abs_error", "proved", "proof_s", *_APPROXIMATION), "float64")
    | dict.fromkeys(("compile_cached", "repeats_exactly"), "boolean")
    | {"torch_kernel": "string"}
)
"""Other fields of a probe that become columns, with their types."""

_NEWER = ("padding", "world", "hardware")
"""These axes are newer than the columns before them, which keep their places."""
_FIRST = tuple(name for name in AXES[: AXES.index("threads") + 1] if name not in _NEWER)
COLUMNS = (
    *("case", "variant", "parameters", "implementation", *_FIRST, "status", "reason"),
    *("time_ns", "time_low_ns", "time_high_ns", *_COUNTS, "flops_per_s", "speedup", "baseline", "max_abs_error"),
    *("label", "processes", "speedup_low", "speedup_high", "bound_speedup", "realised", "waste", *_EXTRA_COUNTS),
    "peak_fraction",
    *(*derived.QUALITY, *derived.MEMORY, *derived.CONDITIONS, "reserved_bytes", *derived.ROOF),
    *("compile_ns", "compile_cached", *derived.PROOF),
    *(name for name in AXES if name not in (*_FIRST, *_NEWER)),
    *(*_APPROXIMATION, "family", *capacity.COLUMNS, "tokens_per_s", "ties", "parameter_count", "state_bytes"),
    *("padding", "torch_kernel"),
    "parts",
    *energy.COLUMNS,
    *scores.COLUMNS,
    *("world", "hardware", *_OF_RANKS),
)
"""The columns of every frame, described in `docs/columns.md`. Only cases that passed have numbers.

A column for each parameter of the run's variants follows; see `attnbench.reports.data.parameters`."""

NOT_REACHED = "not reached"
NOT_TIMED = "not timed: the run ended before"


class Table(NamedTuple):
    """Table of a run and the times behind it. P counts processes."""

    frame: pd.DataFrame
    """One row per case, in the suite's order; see `COLUMNS`."""
    log_ns: FloatArray
    """Each process's log time `[cases, P]`; NaN if a process has none."""
    baseline_rows: IntArray
    """The row of each case's baseline `[cases]`; -1 if it has none."""
    paired_log_ns: FloatArray
    """`log_ns`, and the times of baselines that were timed again beside cases that were added later. Differences of two
    cases use it."""
    processes: tuple[tuple[int, int], ...]
    """The replicate and the part of the run of each process `[P]`."""


def table(journal: Journal, estimate: Estimate) -> Table:
    """Build the table from a run's journal; `estimate` reduces the values of a process to one time."""
    endings = [_ending(journal.probes.get(each.key), journal.samples.get(each.key, {})) for each in journal.planned]
    timed = _timed(journal, [status is Status.PASSED for status, _ in endings])
    processes = tuple(sorted({sample.process for _, sample in timed}))
    nothing = np.full((len(endings), len(processes)), np.nan)
    log_ns = _with_times(nothing, processes, timed, estimate)
    again = _again(journal, endings)
    paired_log_ns = _with_times(log_ns, processes, again, estimate)
    baseline_rows = against.rows(journal.planned, log_ns)
    frame = _told(journal, endings)
    _add_times(frame, log_ns)
    _add_speedups(frame, log_ns, paired_log_ns, baseline_rows)
    derived.add(frame, log_ns, timed, _cores(journal))
    capacity.add(frame, journal)
    energy.add(frame, timed, again, processes, baseline_rows)
    scores.add(frame, timed, processes, baseline_rows)
    frame["waste"] = _ratio(floats(frame["computed_pairs"]), floats(frame["allowed_pairs"]))
    frame = with_parameters(frame[list(COLUMNS)], [each.case.mechanism.parameters for each in journal.planned])
    return Table(frame, log_ns, baseline_rows, paired_log_ns, processes)


def untried(frame: pd.DataFrame) -> pd.Series:
    """Return which cases the run did not reach, or had no time left for."""
    return frame["reason"].isin([NOT_REACHED, NOT_TIMED]) | frame["reason"].str.endswith(SPENT)


def _cores(journal: Journal) -> dict[int, int]:
    """Return how many cores the processes of each part of a run may use, for the parts that say it."""
    told = {part.index: part.environment for part in parts(journal.meta)}
    cores = {
        part: each.get("usable_cores") or len(each.get("affinity") or ()) or each.get("cores")
        for part, each in told.items()
    }
    return {part: count for part, count in cores.items() if count}


def _ending(probe: Probe | None, samples: Mapping[int, Sample]) -> tuple[Status, str]:
    """Return status and reason of a case. One failure in its probe or a replicate decides.

    A replicate that was skipped for lack of time does not undo those that passed.
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


def _timed(journal: Journal, passed: list[bool]) -> list[tuple[int, Sample]]:
    """Return the samples of the cases that passed, each with the row of its case."""
    return [
        (i, sample)
        for i, each in enumerate(journal.planned)
        if passed[i]
        for sample in journal.samples[each.key].values()
        if sample.status is Status.PASSED
    ]


def _again(journal: Journal, endings: list[tuple[Status, str]]) -> list[tuple[int, Sample]]:
    """Return the samples of baselines that were timed again, each with the row of its case."""
    rows = {each.key: i for i, each in enumerate(journal.planned) if endings[i][0] is Status.PASSED}
    told = [each for each in journal.again if each.status is Status.PASSED]
    return [(rows[each.case], each) for each in told if each.case in rows]


def _with_times(
    log_ns: FloatArray,
    processes: tuple[tuple[int, int], ...],
    timed: list[tuple[int, Sample]],
    estimate: Estimate,
) -> FloatArray:
    """Return log times `[cases, P]` with those of some samples; processes that are not listed are left out."""
    # Noise on a shared machine only adds time, so a low quantile of the values varies least between processes. With 5
    # processes, half of the interval was 2.3 % for the minimum and 4.4 % for the median (docs/trust.md).
    columns = {name: p for p, name in enumerate(processes)}
    listed = [(i, sample) for i, sample in timed if sample.process in columns]
    if not listed:
        return log_ns
    found = log_ns.copy()
    at = [i for i, _ in listed], [columns[sample.process] for _, sample in listed]
    found[at] = log_quantiles([sample.values_ns for _, sample in listed], QUANTILES[estimate])
    return found


def _told(journal: Journal, endings: list[tuple[Status, str]]) -> pd.DataFrame:
    """Return the columns that come unchanged from the plan and the probes."""
    labels: dict[tuple[str, str], str] = {}
    families: dict[str, str] = {}
    told = []
    for each, (status, reason) in zip(journal.planned, endings, strict=True):
        case = each.case
        parameters = json.dumps(dict(case.mechanism.parameters), sort_keys=True, separators=(",", ":"))
        if (case.mechanism.name, parameters) not in labels:
            labels[case.mechanism.name, parameters] = each.label or _label(case)
        if case.mechanism.name not in families:
            families[case.mechanism.name] = each.family or _family(case.mechanism.name)
        probe = journal.probes[each.key] if status is Status.PASSED else None
        row = {name: value if name in SIZES else cell(value) for name, value in case.flat().items()}
        row |= {"parameters": parameters, "family": families[case.mechanism.name]}
        row |= {"label": labels[case.mechanism.name, parameters], "baseline": ""}
        row |= {"case": each.key, "status": status.value, "reason": reason, "parts": _parts(journal, each.key)}
        told.append(row | _numbers(probe))
    frame = pd.DataFrame(told, columns=list(COLUMNS))
    sizes = dict.fromkeys(SIZES, "int64")
    words = dict.fromkeys((*_WORDS, *(name for name in AXES if name not in sizes)), "str")
    numbers = dict.fromkeys((*_PROBED, *_OF_RANKS), "Int64") | _OTHERS
    return frame.astype(words | sizes | numbers)


def _parts(journal: Journal, key: str) -> str:
    """Return the parts of the run that timed a case, or else the one that probed it: `0 1`."""
    told = {sample.part for sample in journal.samples.get(key, {}).values() if sample.status is Status.PASSED}
    if not told and key in journal.probes:
        told = {journal.probes[key].part}
    return " ".join(map(str, sorted(told)))


def _label(case: Case) -> str:
    """Return the label of a case whose run does not store it. An unknown variant gets one with all parameters."""
    try:
        return case.label
    except (KeyError, TypeError, ValueError, ImportError):
        told = ", ".join(f"{name}={json.dumps(value)}" for name, value in case.mechanism.parameters.items())
        return plain(f"{case.mechanism.name}({told})" if told else case.mechanism.name)


def _family(variant: str) -> str:
    """Return the family of a variant if the run does not store it; `other` if the variant is not here."""
    try:
        return variants.load(variant).kind
    except (KeyError, TypeError, ImportError):
        return "other"


def _numbers(probe: Probe | None) -> dict[str, Any]:
    """Return the probe's numbers; none if the case did not pass."""
    return {name: getattr(probe, name) for name in (*_PROBED, *_OF_RANKS, *_OTHERS)} if probe else {}


def _add_times(frame: pd.DataFrame, log_ns: FloatArray) -> None:
    """Add times with their intervals, and FLOPs and tokens per second."""
    time = interval(log_ns)
    frame["time_ns"], frame["time_low_ns"], frame["time_high_ns"] = (np.exp(each) for each in time[:3])
    frame["processes"] = time.processes
    frame["flops_per_s"] = floats(frame["flops"]) / frame["time_ns"] * 1e9
    frame["tokens_per_s"] = tokens(frame) / frame["time_ns"] * 1e9


def _add_speedups(frame: pd.DataFrame, log_ns: FloatArray, paired_log_ns: FloatArray, baseline_rows: IntArray) -> None:
    """Add speed-ups, paired by process, and the ratios of work and memory to the baseline's."""
    known = baseline_rows >= 0
    # Row 0 stands in for a missing baseline; its numbers are masked by `known` below.
    at = np.where(known, baseline_rows, 0)
    theirs = names(frame).to_numpy()[at]
    frame["baseline"] = pd.Series(np.where(known, theirs, ""), frame.index, "str")
    speedup = interval(np.where(known[:, None], paired_log_ns[at] - log_ns, np.nan))
    frame["speedup"], frame["speedup_low"], frame["speedup_high"] = (np.exp(each) for each in speedup[:3])
    flops, peak = positive(floats(frame["flops"])), floats(frame["peak_bytes"])
    frame["bound_speedup"] = _ratio(np.where(known, flops[at], np.nan), flops)
    frame["realised"] = frame["speedup"] / frame["bound_speedup"]
    frame["peak_fraction"] = _ratio(peak, np.where(known, peak[at], np.nan))


def _ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    """Return the elementwise ratio; NaN if the divisor is not positive."""
    return np.divide(over, under, out=np.full_like(under, np.nan), where=under > 0)
