"""A run in the formats of other tools: each a pure function of the run and of the journal that it was computed from."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from attnbench.reports import rounds, tables, units
from attnbench.reports.benchmarks import Benchmark, benchmarks, finite
from attnbench.reports.frame import Run
from attnbench.reports.journal import Journal
from attnbench.suites import Status

_TOLD = ("name", "question", "command", "started", "finished", "environment")
_PYTEST_BENCHMARK = "5.0.0"
"""The version of pytest-benchmark whose files these are."""


def pytest_benchmark(run: Run, journal: Journal) -> str:
    """What `pytest --benchmark-json` writes, which `pytest-benchmark compare` reads: the cases that passed.

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
        "benchmarks": [_replayed(each, run.meta["name"]) for each in _passed(run, journal)],
        "datetime": run.meta.get("finished") or run.meta.get("started"),
        "version": _PYTEST_BENCHMARK,
    }
    return _json(told)


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
        "stats": {**rounds.stats(each.values_s), "data": list(each.values_s), "iterations": each.calls},
    }


def github_action_benchmark(run: Run, journal: Journal) -> str:
    """What github-action-benchmark reads as `customSmallerIsBetter`: time and peak memory of the cases that passed.

    Units never change with the size of a number, so that a chart over commits stays one.
    """
    return _json([entry for each in _passed(run, journal) for entry in _smaller_is_better(each)])


def _smaller_is_better(each: Benchmark) -> Iterable[dict[str, Any]]:
    """The entries of one case."""
    low, high = each.extra["time_low_ns"], each.extra["time_high_ns"]
    facts = [f"{each.extra['processes']} processes"]
    time = {"name": each.name, "unit": "ns", "value": each.extra["time_ns"]}
    if low is not None:
        time["range"] = units.spread(low, high)
        facts.append(f"95 % interval {low:.0f} to {high:.0f} ns")
    if each.extra["flags"]:
        facts.append(f"flags: {' '.join(each.extra['flags'])}")
    yield {**time, "extra": "\n".join(facts)}
    if each.extra["peak_bytes"] is not None:
        yield {"name": f"{each.name}, peak memory", "unit": "bytes", "value": each.extra["peak_bytes"]}


def csv(run: Run, journal: Journal) -> str:
    """The run's table, a row a case; empty where there is no number."""
    del journal
    return tables.csv(run.frame)


def as_json(run: Run, journal: Journal) -> str:
    """What `run.json` tells of the run, and its table under `cases`; null where there is no number."""
    del journal
    facts = {name: run.meta.get(name) for name in _TOLD}
    return _json({**facts, "cases": cases(run)})


def cases(run: Run) -> list[dict[str, Any]]:
    """The run's table, a row a case; null where there is no number."""
    return [_row(row) for row in run.frame.to_dict("records")]


def _row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of the table; what is text within a cell of CSV is an object or a list."""
    told = {str(name): finite(value) for name, value in row.items()}
    return {**told, "parameters": json.loads(row["parameters"]), "flags": row["flags"].split()}


def markdown(run: Run, journal: Journal) -> str:
    """The run's tables for readers."""
    del journal
    return tables.markdown(run)


FORMATS: Mapping[str, Callable[[Run, Journal], str]] = {
    "pytest-benchmark": pytest_benchmark,
    "github-action-benchmark": github_action_benchmark,
    "csv": csv,
    "json": as_json,
    "markdown": markdown,
}
"""Every format, by the name that the command line gives it."""
PASSED_ONLY = ("pytest-benchmark", "github-action-benchmark")
"""The formats that have no place for a case that did not pass."""


def _passed(run: Run, journal: Journal) -> list[Benchmark]:
    return [each for each in benchmarks(run, journal) if each.status is Status.PASSED]


def _json(told: Any) -> str:
    return json.dumps(told, indent=2, allow_nan=False) + "\n"
