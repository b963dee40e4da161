"""Facts and table of a run as JSON."""

import json
from collections.abc import Hashable, Mapping
from typing import Any

from attnbench.reports.data.frame import COLUMNS
from attnbench.reports.data.reading import Journal
from attnbench.reports.data.values import finite
from attnbench.reports.findings.run import Run

PASSED_ONLY = False
_FACTS = ("name", "question", "command", "started", "finished", "environment")


def write(run: Run, journal: Journal) -> str:
    """Return facts from `run.json`, and the run's table under `cases`; missing numbers are null."""
    del journal
    facts = {name: run.meta.get(name) for name in _FACTS}
    return json.dumps({**facts, "cases": cases(run)}, indent=2, allow_nan=False) + "\n"


def cases(run: Run) -> list[dict[str, Any]]:
    """Return the run's table, one row per case; missing numbers are None, and all parameters are one object."""
    return [_row(row) for row in run.frame[list(COLUMNS)].to_dict("records")]


def _row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return a row of the table, with parameters as an object and flags as a list."""
    told = {str(name): finite(value) for name, value in row.items()}
    return {**told, "parameters": json.loads(row["parameters"]), "flags": row["flags"].split()}
