"""Rows of JSON that are read once and appended to, each on disk before the next is made."""

import json
import os
from pathlib import Path
from typing import Any

from attnbench.reports.journal import of_a_kind, rows
from attnbench.runner.journal import FolderError, mend


class Book:
    """The rows of a file in a folder, which is made if it is not there.

    Raises:
        FolderError: the folder cannot be used.
        RunError: what the file holds cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self.rows: list[dict[str, Any]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                mend(self.path)
                self.rows = [*rows(self.path, of_a_kind, "a row of a kind")]
        except OSError as error:
            raise FolderError(f"{folder}: cannot be used: {error.strerror}") from error

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The rows of a kind."""
        return [row for row in self.rows if row["kind"] == kind]

    def write(self, kind: str, **facts: Any) -> None:
        """Add a row and wait until it is on disk."""
        row = {"kind": kind, **facts}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)
