"""Cases of a run in the terms of other benchmark tools: name, group and the values of all processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.values import finite
from attnbench.reports.findings.run import Run
from attnbench.suites import Status
from attnbench.suites.case import names, settings
from attnbench.variants import AXES

_PARAMS = ("implementation", *AXES)
_BESIDE = ("time_ns", "time_low_ns", "time_high_ns", "processes", "flops", "peak_bytes")


@dataclass(frozen=True)
class Benchmark:
    """Case with its values."""

    case: str
    """The case's key."""
    name: str
    group: str
    """The setting that it shares with the cases it is compared with."""
    params: Mapping[str, Any]
    """Variant, implementation, sizes, dtype, device, direction and threads."""
    status: Status
    reason: str
    predicted: bool
    """Whether `out_of_memory` was predicted and the case not tried."""
    calls: int
    """Calls per value; 0 if there is none."""
    values_s: tuple[float, ...]
    """Seconds per call of each value, process after process; empty if the case did not pass."""
    extra: Mapping[str, Any]
    """Key, time with its interval over processes, work, peak memory and flags; null if missing."""


def benchmarks(run: Run, journal: Journal) -> list[Benchmark]:
    """Return every case of a run, in its order; `journal` is what the run was computed from."""
    points = cast(list[dict[str, Any]], run.frame.to_dict("records"))
    told = zip(points, names(points), settings(points), strict=True)
    return [_benchmark(point, name, group, journal) for point, name, group in told]


def passed(run: Run, journal: Journal) -> list[Benchmark]:
    """Return the cases of a run that passed."""
    return [each for each in benchmarks(run, journal) if each.status is Status.PASSED]


def _benchmark(point: Mapping[str, Any], name: str, group: str, journal: Journal) -> Benchmark:
    key, status = point["case"], Status(point["status"])
    probe = journal.probes.get(key)
    told = sorted(journal.samples.get(key, {}).items()) if status is Status.PASSED else []
    samples = [sample for _, sample in told if sample.status is Status.PASSED]
    return Benchmark(
        case=key,
        name=name,
        group=group,
        params={"variant": point["label"], **{each: point[each] for each in _PARAMS}},
        status=status,
        reason=point["reason"],
        predicted=probe is not None and probe.predicted,
        calls=samples[0].calls if samples else 0,
        values_s=tuple(ns / 1e9 for sample in samples for ns in sample.values_ns),
        extra={"case": key, **{each: finite(point[each]) for each in _BESIDE}, "flags": point["flags"].split()},
    )
