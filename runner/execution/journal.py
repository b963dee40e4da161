"""Writing of a run folder: `run.json`, and `samples.jsonl` line by line."""

import fcntl
import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from attnbench.reports.data.reading import PROFILE, RUN, SAMPLES
from attnbench.suites import Result
from attnbench.suites.profile import Profile
from attnbench.variants import _edges

EDGES = "edges"
"""Folder with copies of the suite's files of edges."""
TRAINING = "training.log"
"""Progress of trainings."""
_DRAFT = RUN + ".tmp"
_BEFORE_RUN = (SAMPLES, _DRAFT)
"""Files that a run leaves if it is killed before it has a `run.json`. The folder still counts as new."""


class FolderError(Exception):
    """A run folder cannot be used: expected, found, what to do."""


def new_folder(name: str) -> Path:
    """Return the path `runs/NAME-DATE-TIME`."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def utc() -> str:
    """Return the time now as `run.json` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Journal:
    """The only writer of a run folder. Each row is on disk when `append` returns. Use `create` or `reopen`.

    Raises:
        FolderError: another process writes the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._meta: dict[str, Any] = {}
        self._samples = alone(folder / SAMPLES, "ab")

    def append(self, *rows: Result) -> None:
        """Add rows and wait until they are on disk."""
        try:
            _append(self._samples, rows)
        except OSError as error:
            raise FolderError(
                f"{self.folder / SAMPLES}: cannot be written: {error.strerror}; finished results are kept; "
                f"to continue: bench run --resume {self.folder}"
            ) from error

    @property
    def resumed(self) -> tuple[Mapping[str, Any], ...]:
        """The later parts of the run, as `run.json` has them."""
        return tuple(self._meta.get("resumed", ()))

    def tell(self, **facts: Any) -> None:
        """Add facts to `run.json`. The file is replaced in one step, so readers never see an incomplete one."""
        self._meta = {**self._meta, **facts}
        draft = self.folder / _DRAFT
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(json.dumps(self._meta, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.folder / RUN)
        except OSError as error:
            raise _unwritable(self.folder / RUN, error) from error

    def join(self, part: Mapping[str, Any]) -> int:
        """Add a part that the command of the latest one made, and return its number."""
        command = [self._meta, *self.resumed][-1]["command"]
        self.tell(resumed=[*self.resumed, {**part, "command": command}])
        return len(self.resumed)

    def log_training(self, line: str) -> None:
        """Add a line to `training.log`, which is for readers while a run is at work, and for nothing else."""
        with suppress(OSError), (self.folder / TRAINING).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%H:%M:%S} {line}\n")

    def holds_rows(self) -> bool:
        """Check whether `samples.jsonl` has any row."""
        return os.fstat(self._samples.fileno()).st_size > 0

    def close(self) -> None:
        """Release the folder for other writers."""
        self._samples.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create(folder: Path, meta: dict[str, Any]) -> Journal:
    """Return the journal of a new run.

    Raises:
        FolderError: the folder is not empty, another process writes it, or it cannot be written.
    """
    make_folder(folder, _BEFORE_RUN)
    journal = Journal(folder)
    try:
        for name, there in ((RUN, (folder / RUN).exists()), (SAMPLES, journal.holds_rows())):
            if there:
                raise _in_use(folder, name)
        journal.tell(**meta)
    except FolderError:
        journal.close()
        raise
    return journal


def reopen(folder: Path) -> Journal:
    """Return the journal of a run that stopped early. An incomplete last row is removed.

    Raises:
        FolderError: there is no run, another process writes it, or it cannot be written.
    """
    if not (folder / RUN).is_file():
        raise FolderError(
            f"{folder}: expected the folder of a run, found no {RUN} in it; begin one with --out {folder}"
        )
    journal = Journal(folder)
    try:
        for name in (SAMPLES, PROFILE):
            if (folder / name).exists():
                mend(folder / name)
    except OSError as error:
        journal.close()
        raise _unwritable(folder, error) from error
    return journal


def make_folder(folder: Path, ignored: Collection[str] = ()) -> None:
    """Create a folder, or accept one that is empty apart from `ignored` files.

    Raises:
        FolderError: it is not empty, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted({path.name for path in folder.iterdir()} - set(ignored))
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder that can be written, found: {error.strerror}") from error
    if found:
        raise _in_use(folder, found[0])


def keep_edges(folder: Path, files: Mapping[str, str]) -> None:
    """Copy files of edges into a run folder, where later parts of the run read them; `files` has their SHA-256 by path.

    Raises:
        FolderError: a file cannot be read any more, or the folder cannot be written.
    """
    for name, sha256 in files.items():
        copy = folder / EDGES / name
        if copy.exists():
            continue
        draft = copy.with_name(copy.name + ".tmp")
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_edges.places()[sha256], draft)
            draft.replace(copy)
        except OSError as error:
            raise _unwritable(copy, error) from error
        _edges.remember({sha256: str(copy.absolute())})


def append_profile(folder: Path, profile: Profile) -> None:
    """Add a row to the folder's `profile.jsonl`. The first row creates the file.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        with (folder / PROFILE).open("ab", buffering=0) as file:
            _append(file, (profile,))
    except OSError as error:
        raise _unwritable(folder / PROFILE, error) from error


def alone(path: Path, mode: Literal["ab", "xb"]) -> FileIO:
    """Open a file for appending, locked against other writers. With mode `xb` it must not exist yet.

    Raises:
        FolderError: another process writes it, or it cannot be written.
    """
    busy = FolderError(f"{path.parent}: expected no run under way in it, found one; wait for its end")
    try:
        file = path.open(mode, buffering=0)
    except FileExistsError:
        raise busy from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise busy from None
        raise _unwritable(path, error) from error
    return file


def append(file: FileIO, text: str) -> None:
    """Add text to a file and wait until it is on disk."""
    left = text.encode()
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def _append(file: FileIO, rows: Collection[Result]) -> None:
    """Add rows to a file and wait until they are on disk."""
    append(file, "".join(json.dumps(row.to_json(), separators=(",", ":")) + "\n" for row in rows))


def mend(path: Path) -> None:
    """Repair the end of a file of rows: add a missing newline to a complete row, remove an incomplete row."""
    content = path.read_bytes()
    tail = content[content.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        json.loads(tail)
    except ValueError:
        os.truncate(path, len(content) - len(tail))
    else:
        with path.open("ab") as file:
            file.write(b"\n")


def _in_use(folder: Path, name: str) -> FolderError:
    return FolderError(f"{folder}: expected a new or empty folder, found {name} in it; name another")


def _unwritable(path: Path, error: OSError) -> FolderError:
    return FolderError(f"{path}: cannot be written: {error.strerror}")
