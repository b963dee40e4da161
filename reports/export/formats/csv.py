"""Table of a run as CSV."""

from attnbench.reports.data.reading import Journal
from attnbench.reports.findings.run import Run
from attnbench.reports.tables import tables

PASSED_ONLY = False


def write(run: Run, journal: Journal) -> str:
    """Return the run's table, one row per case; a missing number is an empty field."""
    del journal
    return tables.csv(run.frame)
