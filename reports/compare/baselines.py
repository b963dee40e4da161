"""Stored runs to check against, each one compressed file with the data files of its run."""

import gzip
import io
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from attnbench.reports.data.files import put
from attnbench.reports.data.frame import untried
from attnbench.reports.data.reading import PROFILE, RUN, SAMPLES, RunError, run_file
from attnbench.reports.data.values import plain
from attnbench.reports.findings.run import Run, load

SUFFIX = ".tar.gz"
"""How the name of a baseline's file ends."""
_FILES = (RUN, SAMPLES, PROFILE)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_LARGEST = 2**30
"""Most bytes of a file in a baseline."""
_HASH = 12
"""Digits of a commit that are shown."""
_LONGEST_PART = 30
"""Characters of a processor's name that are shown."""


@dataclass(frozen=True)
class Baseline:
    """File of a stored run."""

    name: str
    path: Path
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Described:
    """What a baseline holds, in words."""

    date: str
    """When the run began."""
    revision: str
    """The commit of the code that was measured."""
    machine: str
    cases: int


def save(folder: Path, name: str, store: Path, *, replace: bool = False) -> Baseline:
    """Store the run in `folder` under a name.

    Raises:
        RunError: there is no such run, it is not finished, or the name is invalid or taken.
    """
    path = _path(name, store)
    if path.exists() and not replace:
        raise RunError(f"{path}: expected a new name, found a baseline; give another, or --replace")
    frame = load(folder).frame
    unreached = int(untried(frame).sum())
    if unreached:
        raise RunError(
            f"{folder}: expected a finished run, found {unreached} of {len(frame)} cases that were not reached; "
            f"bench run --resume {folder} goes on"
        )
    packed = io.BytesIO()
    # Leave out time, owner and host, so that the same run gives the same bytes.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0, compresslevel=9) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for each in _FILES:
            if (folder / each).exists():
                content = (folder / each).read_bytes()
                entry = tarfile.TarInfo(each)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    try:
        store.mkdir(parents=True, exist_ok=True)
        put(path, packed.getvalue())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    return Baseline(name, path, path.stat().st_size)


def listed(store: Path) -> list[Baseline]:
    """Return every baseline of a store, sorted by name."""
    paths = sorted(store.glob(f"*{SUFFIX}"))
    return [Baseline(each.name.removesuffix(SUFFIX), each, each.lstat().st_size) for each in paths]


def describe(baseline: Baseline) -> Described:
    """Return what a baseline holds. Its samples are not parsed.

    Raises:
        RunError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="attnbench-") as unpacked:
        _unpack(baseline.path, Path(unpacked))
        meta, file = run_file(Path(unpacked) / RUN)
    facts = file.environment
    machine = [facts.cpu or "unknown CPU", f"{meta['environment'].get('cores') or '?'} cores", facts.gpu or ""]
    date = (file.started or "no date").replace("T", " ")[: len("2026-01-31 12:34")]
    return Described(
        date,
        ((file.revision.commit if file.revision else facts.commit) or "no revision")[:_HASH],
        ", ".join(plain(each, _LONGEST_PART) for each in machine if each),
        len(file.cases),
    )


def remove(name: str, store: Path) -> Path:
    """Remove a baseline and return its path.

    Raises:
        RunError: there is no baseline of this name.
    """
    path = _found(name, store)
    path.unlink()
    return path


@contextmanager
def opened(name: str, store: Path) -> Iterator[Run]:
    """Open the run of a baseline: a name in the store, the path of a baseline's file, or the folder of a run.

    Raises:
        RunError: the baseline does not exist or cannot be read.
    """
    path = Path(name)
    if not path.exists() or any(each.name == name for each in listed(store)):
        path = _found(name, store) if re.fullmatch(_NAME, name) else _missing(path, store)
    with unpacked(path) as folder:
        yield load(folder)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Provide the folder of a run: `path` itself, or a temporary one with the contents of a baseline's file.

    Raises:
        RunError: it is neither.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="attnbench-") as scratch:
        where = Path(scratch) / path.name.removesuffix(SUFFIX)
        where.mkdir()
        _unpack(path, where)
        yield where


def _unpack(path: Path, folder: Path) -> None:
    """Write the known files of a baseline into a folder, and no others."""
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            for entry in archive:
                # Regular files only: a link would be followed, past the check of its size.
                stream = archive.extractfile(entry) if entry.name in _FILES and entry.isreg() else None
                if stream is None:
                    continue
                if entry.size > _LARGEST:
                    raise RunError(f"{path}: {entry.name}: expected at most {_LARGEST} bytes, found {entry.size}")
                (folder / entry.name).write_bytes(stream.read())
            # gzip checks its sum only at the end of the stream.
            while packed.read(2**20):
                pass
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise RunError(f"{path}: expected a baseline, found something else ({error})") from None


def _found(name: str, store: Path) -> Path:
    """Return the file of a baseline that exists."""
    path = _path(name, store)
    return path if path.exists() else _missing(path, store)


def _missing(path: Path, store: Path) -> NoReturn:
    there = ", ".join(each.name for each in listed(store)) or "none"
    raise RunError(f"{path}: expected a baseline or the folder of a run, found none; in {store} there are: {there}")


def _path(name: str, store: Path) -> Path:
    if not re.fullmatch(_NAME, name):
        raise RunError(f"{name}: expected a name of letters, digits and . _ -, found another; give one")
    return store / f"{name}{SUFFIX}"
