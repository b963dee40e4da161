"""JSON of `pytest --benchmark-json`, which `pytest-benchmark compare` reads."""

import json
from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any

from attnbench.reports.data.reading import Journal
from attnbench.reports.export.benchmarks import Benchmark, passed
from attnbench.reports.findings.run import Run

PASSED_ONLY = True
_VERSION = "5.0.0"
"""The version of pytest-benchmark that this format follows."""


def write(run: Run, journal: Journal) -> str:
    """Return the cases that passed.

    Rounds are the values of all processes. `extra_info` holds the time with its interval over processes.
    """
    environment = run.meta["environment"]
    commit = environment.get("commit") or "unversioned"
    told = {
        "machine_info": {
            **environment,
            "python_version": environment.get("python"),
            "cpu": {"brand_raw": environment.get("cpu")},
        },
        "commit_info": {
            "id": commit.removesuffix("+"),
            "time": None,
            "author_time": None,
            "dirty": commit.endswith("+"),
            "project": "attnbench",
            "branch": "(unknown)",
        },
        "benchmarks": [_replayed(each, run.meta["name"]) for each in passed(run, journal)],
        "datetime": run.meta.get("finished") or run.meta.get("started"),
        "version": _VERSION,
    }
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _replayed(each: Benchmark, suite: str) -> dict[str, Any]:
    """Return one entry of `benchmarks`."""
    return {
        "group": each.group,
        "name": each.name,
        "fullname": f"{suite}::{each.name}",
        "params": dict(each.params),
        "param": None,
        "extra_info": dict(each.extra),
        "options": {"disable_gc": True, "timer": "attnbench", "warmup": True},
        "stats": {**rounds(each.values_s), "data": list(each.values_s), "iterations": each.calls},
    }


_FENCE = 1.5
"""Tukey's factor: a value is an outlier beyond so many interquartile ranges from the quartiles."""


def rounds(values: Sequence[float]) -> dict[str, Any]:
    """Return statistics of one or more values, by the definitions of pytest-benchmark.

    The standard deviation is that of a sample, 0 for one value. Quartiles are the medians of the lower and the upper
    half. For an odd number of values, each is the mean of the medians with and without the middle value.
    """
    data = sorted(values)
    without, including = max(len(data) // 2, 1), (len(data) + 1) // 2
    q1 = (median(data[:without]) + median(data[:including])) / 2
    q3 = (median(data[-without:]) + median(data[-including:])) / 2
    centre, deviation = mean(data), stdev(data) if len(data) > 1 else 0.0
    low, high = q1 - _FENCE * (q3 - q1), q3 + _FENCE * (q3 - q1)
    inside = [value for value in data if low <= value <= high]
    beyond = sum(abs(value - centre) > deviation for value in data)
    outside = len(data) - len(inside)
    return {
        "min": data[0],
        "max": data[-1],
        "mean": centre,
        "stddev": deviation,
        "rounds": len(data),
        "median": median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{outside}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": len(data) / sum(data),
        "total": sum(data),
    }
