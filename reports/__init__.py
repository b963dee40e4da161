"""Reports on run folders: statistics, tables, figures, pages. They need neither torch nor the runner; see `load`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.reports.data.run import Run


def load(folder: "Path | str") -> "Run":
    """Read the run in a folder. Its `frame` has one row per case, its `scaling` the growth of each series.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    from pathlib import Path

    from attnbench.reports.data.run import load

    return load(Path(folder))
