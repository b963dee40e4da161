"""The facts of a run and its table as JSON."""

import json
from collections.abc import Hashable, Mapping
from typing import Any

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.run import Run
from attnbench.reports.data.values import finite

PASSED_ONLY = False
_FACTS = ("name", "question", "command", "started", "finished", "environment")


def write(run: Run, journal: Journal) -> str:
    """What `run.json` tells of the run, and its table under `cases`; null where there is no number."""
    del journal
    facts = {name: run.meta.get(name) for name in _FACTS}
    return json.dumps({**facts, "cases": cases(run)}, indent=2, allow_nan=False) + "\n"


def cases(run: Run) -> list[dict[str, Any]]:
    """The run's table, a row a case; null where there is no number."""
    return [_row(row) for row in run.frame.to_dict("records")]


def _row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of the table; what is text within a cell of CSV is an object or a list."""
    told = {str(name): finite(value) for name, value in row.items()}
    return {**told, "parameters": json.loads(row["parameters"]), "flags": row["flags"].split()}
