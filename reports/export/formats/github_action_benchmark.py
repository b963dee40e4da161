"""JSON that github-action-benchmark reads as `customSmallerIsBetter`."""

import json
from collections.abc import Iterable
from typing import Any

from attnbench.reports.data.reading import Journal
from attnbench.reports.export.benchmarks import Benchmark, passed
from attnbench.reports.findings.run import Run
from attnbench.reports.text import units

PASSED_ONLY = True


def write(run: Run, journal: Journal) -> str:
    """Return time and peak memory of the cases that passed.

    Units do not depend on the size of a number, so that a chart over commits keeps one scale.
    """
    entries = [entry for each in passed(run, journal) for entry in _smaller_is_better(each)]
    return json.dumps(entries, indent=2, allow_nan=False) + "\n"


def _smaller_is_better(each: Benchmark) -> Iterable[dict[str, Any]]:
    """Yield the entries of one case."""
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
