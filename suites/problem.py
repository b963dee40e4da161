"""Mistakes in a suite, and where they are."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""
_MOST_SHOWN = 4
"""Lists of at most this many numbers are shown."""


@dataclass(frozen=True)
class Problem:
    """One mistake: its file, line and column (from 1, or None), the path of its value, and what to do."""

    file: str
    line: int | None
    column: int | None
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """Return `file:line:column: path.to.key: expected X, found Y`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return ": ".join(part for part in (place, written(self.path), self.text) if part)


class SuiteError(ValueError):
    """A suite is invalid. The message has all problems in file order, one on each line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def written(path: KeyPath) -> str:
    """Return a key path as text: `variants[2].truncated.left`."""
    text = ""
    for step in path:
        text += (
            f"[{step}]" if isinstance(step, int) else f".{step if re.fullmatch('[A-Za-z0-9_]+', step) else shown(step)}"
        )
    return text.removeprefix(".")


def near(path: Path) -> str:
    """Return a path relative to the current folder if it is below it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def shown(value: object) -> str:
    """Return a value of a suite in a few words on one line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:37] + "..."
        return json.dumps(text, ensure_ascii=not text.isprintable())
    if isinstance(value, bool | int | float):
        text = json.dumps(value)
        return text if len(text) <= 40 else text[:37] + "..."
    if (
        isinstance(value, list | tuple)
        and 0 < len(value) <= _MOST_SHOWN
        and all(isinstance(each, int) and abs(each) < 2**63 for each in value)
    ):
        return json.dumps(value)
    return "a mapping" if isinstance(value, dict) else "a list"


def found(value: object, choices: Sequence[str] = ()) -> str:
    """Return what was found, and the choice that was perhaps meant."""
    alike = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"found {shown(value)}" + (f'; did you mean "{alike[0]}"?' if alike else "")


def found_variant(name: object, choices: Sequence[str]) -> str:
    """Return what was found instead of a variant, the one that was perhaps meant, and how to add others."""
    return f"{found(name, choices)}; those of a folder need --variants FOLDER, in pytest --bench-variants=FOLDER"
