"""The table of a run as CSV."""

from attnbench.reports.data.reading import Journal
from attnbench.reports.data.run import Run
from attnbench.reports.tables import tables

PASSED_ONLY = False


def write(run: Run, journal: Journal) -> str:
    """The run's table, a row a case; empty where there is no number."""
    del journal
    return tables.csv(run.frame)
