"""Export of a run to the formats of other tools. Each format is one file in `formats`."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from attnbench.reports.data.reading import Journal
    from attnbench.reports.findings.run import Run


class Format(Protocol):
    """Interface of a format's file."""

    PASSED_ONLY: bool
    """Whether the format can hold only cases that passed."""

    def write(self, run: "Run", journal: "Journal") -> str:
        """Return the run as text; `journal` is what it was computed from."""


def names() -> list[str]:
    """Return the names of all formats: those of their files, with `-` for `_`."""
    return sorted(path.stem.replace("_", "-") for path in (Path(__file__).parent / "formats").glob("[a-z]*.py"))


def load(name: str) -> Format:
    """Import the format called `name`.

    Raises:
        KeyError: there is no such format.
    """
    if name not in names():
        raise KeyError(name)
    return cast(Format, importlib.import_module(f"{__name__}.formats.{name.replace('-', '_')}"))
