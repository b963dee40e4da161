"""The cases of a run as other benchmark tools want them: a name, a group and the values of all processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.run import Run
from attnbench.reports.data.values import finite
from attnbench.suites import Status
from attnbench.suites.case import names, settings
from attnbench.variants import AXES

_PARAMS = ("implementation", *AXES)
_BESIDE = ("time_ns", "time_low_ns", "time_high_ns", "processes", "flops", "peak_bytes")


@dataclass(frozen=True)
class Benchmark:
    """One case, and how it ended."""

    case: str
    """Its key."""
    name: str
    group: str
    """What it shares with those that it is timed against."""
    params: Mapping[str, Any]
    """Variant, implementation, sizes, dtype, device, direction and threads."""
    status: Status
    reason: str
    predicted: bool
    """Whether `out_of_memory` was predicted, and the case not tried."""
    calls: int
    """Calls in one value; 0 where there is none."""
    values_s: tuple[float, ...]
    """Seconds per call, one number a value, process after process; none where the case did not pass."""
    extra: Mapping[str, Any]
    """Its key, its time with the interval over processes, work, peak memory and flags; null where there is none."""


def benchmarks(run: Run, journal: Journal) -> list[Benchmark]:
    """Every case of a run, in its order; `journal` is what the run was computed from."""
    points = cast(list[dict[str, Any]], run.frame.to_dict("records"))
    told = zip(points, names(points), settings(points), strict=True)
    return [_benchmark(point, name, group, journal) for point, name, group in told]


def passed(run: Run, journal: Journal) -> list[Benchmark]:
    """The cases of a run that passed."""
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
