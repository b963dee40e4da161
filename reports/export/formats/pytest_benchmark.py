"""The JSON of `pytest --benchmark-json`, which `pytest-benchmark compare` reads."""

import json
from typing import Any

from attnbench.reports.data.frame import Run
from attnbench.reports.data.reading import Journal
from attnbench.reports.export import pytest_rounds
from attnbench.reports.export.benchmarks import Benchmark, passed

PASSED_ONLY = True
_VERSION = "5.0.0"
"""The version of pytest-benchmark whose files these are."""


def write(run: Run, journal: Journal) -> str:
    """The cases that passed.

    A round is one of our values, over all processes; our own time and interval stand in `extra_info`.
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
    """One entry of `benchmarks`."""
    return {
        "group": each.group,
        "name": each.name,
        "fullname": f"{suite}::{each.name}",
        "params": dict(each.params),
        "param": None,
        "extra_info": dict(each.extra),
        "options": {"disable_gc": True, "timer": "attnbench", "warmup": True},
        "stats": {**pytest_rounds.stats(each.values_s), "data": list(each.values_s), "iterations": each.calls},
    }
