"""Reading run folders: statistics, tables, figures, pages. Needs neither torch nor the runner; from Python, `load`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.reports.data.run import Run


def load(folder: "Path | str") -> "Run":
    """The run in a folder; its `frame` is the table, a row a case, and its `scaling` how each series grows.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    from pathlib import Path

    from attnbench.reports.data.run import load

    return load(Path(folder))
