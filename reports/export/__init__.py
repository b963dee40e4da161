"""A run in the formats of other tools. A format is one file in `formats`; its name has `_` where the file's has `-`."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from attnbench.reports.data.reading import Journal
    from attnbench.reports.data.run import Run


class Format(Protocol):
    """What the file of a format offers."""

    PASSED_ONLY: bool
    """Whether it has no place for a case that did not pass."""

    def write(self, run: "Run", journal: "Journal") -> str:
        """The run as text; `journal` is what it was computed from."""


def names() -> list[str]:
    """The names of all formats: those of their files, with `-` for `_`."""
    return sorted(path.stem.replace("_", "-") for path in (Path(__file__).parent / "formats").glob("[a-z]*.py"))


def load(name: str) -> Format:
    """The format called `name`.

    Raises:
        KeyError: there is no such format.
    """
    if name not in names():
        raise KeyError(name)
    return cast(Format, importlib.import_module(f"{__name__}.formats.{name.replace('-', '_')}"))
