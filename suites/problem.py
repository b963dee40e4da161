"""What is wrong with a suite, and where."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value."""
_MOST_SHOWN = 4
"""Numbers of a list that are shown."""


@dataclass(frozen=True)
class Problem:
    """One mistake: its file, its place (both counted from 1, None where there is none), its path, and what to do."""

    file: str
    line: int | None
    column: int | None
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """`file:line:column: path.to.key: expected X, found Y`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return ": ".join(part for part in (place, written(self.path), self.text) if part)


class SuiteError(ValueError):
    """A suite is invalid: all its problems in file order, one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def written(path: KeyPath) -> str:
    """A path as people write it: `variants[2].truncated.left`."""
    text = ""
    for step in path:
        text += (
            f"[{step}]" if isinstance(step, int) else f".{step if re.fullmatch('[A-Za-z0-9_]+', step) else shown(step)}"
        )
    return text.removeprefix(".")


def near(path: Path) -> str:
    """A path as seen from here, where it lies below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def shown(value: object) -> str:
    """A value of a suite in a few words, on one line."""
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
    """What was found instead, and the choice that was perhaps meant."""
    alike = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"found {shown(value)}" + (f'; did you mean "{alike[0]}"?' if alike else "")


def found_variant(name: object, choices: Sequence[str]) -> str:
    """What was found instead of a variant, the one that was perhaps meant, and where others would come from."""
    return f"{found(name, choices)}; those of a folder need --variants FOLDER, in pytest --bench-variants=FOLDER"
