"""Rows of JSON that are read once and appended to, each on disk before the next is made."""

import json
import os
from pathlib import Path
from typing import Any

from attnbench.runner.journal import FolderError


class Book:
    """The rows of a file in a folder, which is made if it is not there.

    Raises:
        FolderError: the folder cannot be used.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
                self.path.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder}: cannot be used: {error.strerror}") from error
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

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
