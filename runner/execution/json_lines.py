"""A file of JSON lines that is read once, then appended to. Each row is on disk before the next is measured."""

import json
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from attnbench.reports.data.reading import RunError, rows
from attnbench.runner.execution.journal import FolderError, alone, append, mend
from attnbench.suites.records import paired_timing


class Book:
    """Rows of a file in a folder, which is created if necessary. Only one process may write the file.

    Raises:
        FolderError: the folder cannot be used, or another process writes the file.
        RunError: the file cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self.rows: list[dict[str, Any]] = []
        self._file: FileIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._file = alone(self.path, "ab")
                mend(self.path)
                self.rows = [*rows(self.path, partial(paired_timing.checked, name))]
        except OSError as error:
            self.close()
            raise FolderError(f"{folder}: cannot be used: {error.strerror}") from error
        except RunError:
            self.close()
            raise

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of a kind."""
        return [row for row in self.rows if row["kind"] == kind]

    def write(self, kind: str, **facts: Any) -> None:
        """Add a row and wait until it is on disk. The first row creates the file.

        Raises:
            FolderError: another process has created it meanwhile.
        """
        if self._file is None:
            self._file = alone(self.path, "xb")
        row = {"kind": kind, **facts}
        append(self._file, json.dumps(row) + "\n")
        self.rows.append(row)

    def close(self) -> None:
        """Release the file for other writers."""
        if self._file is not None:
            self._file.close()
