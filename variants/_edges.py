"""Files of edges: text with a line `i j` for each, where query i sees key j.

Blank lines and lines that begin with # are left out. A file is known by the SHA-256 of its edges, sorted, each once, in
the same form. Parameters hold that, and this module the place of the file, which workers get when they start.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from attnbench.variants._pattern import IntArray

MOST_EDGES = 2**21
"""Most edges of a file."""
_MOST_BYTES = 2**26
_APART = 10**8
"""More than any token; `i _APART + j` is the number of an edge."""
_TOKEN = re.compile(r"[0-9]{1,8}")
_PLACES: dict[str, str] = {}
"""Absolute paths of files, by the SHA-256 of their edges."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's edges, and remember its place.

    Raises:
        ValueError: it cannot be read, or a line is no edge.
    """
    sha256 = _digest(_read(path))
    _PLACES[sha256] = str(path.absolute())
    return sha256


def places() -> Mapping[str, str]:
    """Return the places of all files that this process knows, by the SHA-256 of their edges."""
    return dict(_PLACES)


def remember(found: Mapping[str, str]) -> None:
    """Remember the `places` of another process."""
    _PLACES.update(found)


@lru_cache(maxsize=4)
def edges(sha256: str) -> IntArray:
    """Return the edges `[E, 2]` of a file, sorted, each once.

    Raises:
        ValueError: this process does not know the file, or it has changed.
    """
    if sha256 not in _PLACES:
        raise ValueError(f"expected a file with the edges of SHA-256 {sha256}, found none; read its suite first")
    found = _read(Path(_PLACES[sha256]))
    if _digest(found) != sha256:
        raise ValueError(f"{_PLACES[sha256]}: expected the edges of SHA-256 {sha256}, found others; put them back")
    return found


def _digest(edges: IntArray) -> str:
    return hashlib.sha256("".join(f"{i} {j}\n" for i, j in edges.tolist()).encode()).hexdigest()


def _read(path: Path) -> IntArray:
    """Return the edges `[E, 2]` of a file, sorted, each once."""
    try:
        if not path.is_file():
            raise ValueError(f"{path}: expected a file, found none")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path}: expected at most {_MOST_BYTES} bytes, found more")
        lines = path.read_bytes().decode("ascii", "replace").split("\n")
    except OSError as error:
        raise ValueError(f"{path}: expected a file that can be read, found: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not all(map(_TOKEN.fullmatch, words)):
            expected = "expected an edge, two tokens from 0 such as `17 4`"
            raise ValueError(f"{path}:{number}: {expected}, found {' '.join(words)[:40]!a}")
        found.append(int(words[0]) * _APART + int(words[1]))
    if not 1 <= len(found) <= MOST_EDGES:
        raise ValueError(f"{path}: expected 1 to {MOST_EDGES} edges, found {len(found)}")
    return np.stack(np.divmod(np.unique(np.array(found, np.int64)), _APART), axis=1)
