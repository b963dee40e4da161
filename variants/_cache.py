"""Files in the user's cache folder: where they lie, and arrays that are made once and checked when they are read.

The folder is `attnbench` in `XDG_CACHE_HOME`, by default `~/.cache`.
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]
_DIGEST = "sha256"


def folder() -> Path:
    """Return the folder of cached files, which need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "attnbench")


def arrays(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays in the cached file `name`.npz, after making them if it is absent or does not match its SHA-256.

    A folder that cannot be written is no error: then the arrays are made again the next time.
    """
    path = folder() / f"{name}.npz"
    found = _read(path)
    if found is None:
        found = make()
        with contextlib.suppress(OSError):
            _write(path, found)
    return found


def sha256(found: Arrays) -> str:
    """Return the SHA-256 of arrays: of their names, types, shapes and bytes, with the lowest byte first."""
    digest = hashlib.sha256()
    for name, array in sorted(found.items()):
        ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {ordered.dtype.str} {ordered.shape}\n".encode())
        digest.update(ordered.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> Arrays | None:
    """Return the arrays in a file, or None if it is absent, broken or changed."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        expected = str(found.pop(_DIGEST))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return found if sha256(found) == expected else None


def _write(path: Path, found: Arrays) -> None:
    """Write a file beside its place and then give it its name, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="write-") as beside:
        made = Path(beside, path.name)
        np.savez_compressed(made, allow_pickle=False, **{_DIGEST: np.array(sha256(found))}, **found)
        os.replace(made, path)
