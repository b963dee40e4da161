"""A run folder as it is written: `run.json`, and `samples.jsonl` line by line."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attnbench.suites import Result

RUN = "run.json"
SAMPLES = "samples.jsonl"


class FolderError(Exception):
    """A run folder cannot be used: expected, found, what to do."""


class Journal:
    """Writes a new run folder; every row is on disk when `append` returns.

    Raises:
        FolderError: the folder holds something already, or cannot be written.
    """

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder = folder
        self._meta = meta
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            raise FolderError(f"{folder}: expected a folder that can be written, found: {error.strerror}") from error
        if found:
            raise FolderError(
                f"{folder}: expected a new or empty folder, found {found[0]} in it; name another with --out"
            )
        try:
            self._samples = (folder / SAMPLES).open("a", encoding="utf-8")
            fcntl.flock(self._samples, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_meta()
        except OSError as error:
            raise FolderError(f"{folder}: cannot be written: {error.strerror}") from error

    def append(self, row: Result) -> None:
        """Add one row and wait until it is on disk."""
        try:
            self._samples.write(json.dumps(row.to_json(), separators=(",", ":")) + "\n")
            self._samples.flush()
            os.fsync(self._samples.fileno())
        except OSError as error:
            raise FolderError(f"{self._samples.name}: cannot be written: {error.strerror}") from error

    def finish(self, **facts: Any) -> None:
        """Add facts to `run.json` that are known only at the end."""
        self._meta = {**self._meta, **facts}
        self._write_meta()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples.close()

    def _write_meta(self) -> None:
        """Replace `run.json` in one step, so that it is never seen half written."""
        draft = self.folder / (RUN + ".tmp")
        draft.write_text(json.dumps(self._meta, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.folder / RUN)
