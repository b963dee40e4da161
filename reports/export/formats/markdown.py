"""Tables of a run for readers, as Markdown."""

from attnbench.reports.data.reading import Journal
from attnbench.reports.findings.run import Run
from attnbench.reports.tables import tables

PASSED_ONLY = False


def write(run: Run, journal: Journal) -> str:
    """Return the run's tables as Markdown."""
    del journal
    return tables.markdown(run)
