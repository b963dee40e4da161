"""Functions that write a history: `history.md`, `history.csv` and `badge.json`."""

from pathlib import Path

from attnbench.reports.data.files import put
from attnbench.reports.history import tables
from attnbench.reports.history.badge import badge
from attnbench.reports.history.changes import Changes


def write(changes: Changes, folder: Path) -> Path:
    """Write all files into a folder and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "history.csv", tables.csv(changes.history))
    put(folder / "badge.json", badge(changes))
    return put(folder / "history.md", tables.markdown(changes))
