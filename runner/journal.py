"""A run folder as it is written: `run.json`, and `samples.jsonl` line by line."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from attnbench.suites import Result
from attnbench.suites.profile import Profile

RUN = "run.json"
SAMPLES = "samples.jsonl"
PROFILE = "profile.jsonl"


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
        make_folder(folder)
        try:
            self._samples = (folder / SAMPLES).open("a", encoding="utf-8")
            fcntl.flock(self._samples, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_meta()
        except OSError as error:
            raise FolderError(f"{folder}: cannot be written: {error.strerror}") from error

    def append(self, row: Result) -> None:
        """Add one row and wait until it is on disk."""
        _append(self._samples, row)

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


def make_folder(folder: Path) -> None:
    """A new folder, or one that is empty.

    Raises:
        FolderError: it holds something already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder that can be written, found: {error.strerror}") from error
    if found:
        raise FolderError(f"{folder}: expected a new or empty folder, found {found[0]} in it; name another")


def append_profile(folder: Path, profile: Profile) -> None:
    """Add a row to the folder's `profile.jsonl`, which is made when the first one comes.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        with (folder / PROFILE).open("a", encoding="utf-8") as file:
            _append(file, profile)
    except OSError as error:
        raise FolderError(f"{folder / PROFILE}: cannot be written: {error.strerror}") from error


def _append(file: TextIO, row: Result) -> None:
    """Add one row to a file and wait until it is on disk."""
    try:
        file.write(json.dumps(row.to_json(), separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise FolderError(f"{file.name}: cannot be written: {error.strerror}") from error
