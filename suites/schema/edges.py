"""Files of edges that a suite names. Each gets its SHA-256 when the suite is read, for the keys of its cases."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from attnbench.suites.case import files_of
from attnbench.suites.problem import near
from attnbench.suites.schema.expand import Entry
from attnbench.variants import _edges


def with_digests(entries: tuple[Entry, ...], folder: Path) -> tuple[Entry, ...]:
    """Return the entries with the SHA-256 of their files in `folder`. One with several files becomes one for each.

    Raises:
        ValidationError: a file cannot be used, or has another SHA-256 than the entry gives.
    """
    done: list[Entry] = []
    mistakes: list[InitErrorDetails] = []
    for index, entry in enumerate(entries):
        parts = [entry]
        for name, digest in files_of(entry.variant).items():
            try:
                parts = [new for part in parts for new in _split(part, name, digest, folder)]
            except ValueError as error:
                mistake = PydanticCustomError("value_error", str(error))
                place = (index, entry.variant, name)
                mistakes.append(InitErrorDetails(type=mistake, loc=place, input=entry.parameters[name]))
        done += parts
    if mistakes:
        raise ValidationError.from_exception_data("variants", mistakes)
    return tuple(done)


def digests(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield the files of an entry, each with its SHA-256."""
    for name, digest in files_of(entry.variant).items():
        for file, sha256 in zip(entry.parameters[name], entry.parameters[digest], strict=True):
            if file is not None:
                yield file, sha256


def _split(entry: Entry, name: str, digest: str, folder: Path) -> Iterator[Entry]:
    """Yield the entry with one of its files at a time, and the file's SHA-256.

    Raises:
        ValueError: a file cannot be used, or has another SHA-256 than the entry gives.
    """
    for file in entry.parameters[name]:
        sha256 = None if file is None else _edges.digest(Path(near(folder / file)))
        given = entry.parameters[digest]
        if given not in ((None,), (sha256,)):
            told = ", ".join(map(str, given))
            raise ValueError(f"{near(folder / file)}: expected edges with the SHA-256 {told}, found {sha256}")
        yield replace(entry, parameters={**entry.parameters, name: (file,), digest: (sha256,)})
