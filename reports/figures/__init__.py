"""Figures of a run, one file each. The name of the file is the name of the figure."""

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

# This must come before any import of matplotlib: it sets a folder that matplotlib can write to.
from attnbench.reports import drawing as drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from attnbench.reports.findings.run import Run


class RunFigure(Protocol):
    """Interface of a figure's file."""

    PLACE: int
    """The report shows figures in the order of these numbers."""
    READING: str
    """How to read the figure, for the report. If it is empty, another section of the report shows the figure."""

    def applies(self, run: "Run") -> bool:
        """Check whether the run has the data that the figure shows."""

    def draw(self, run: "Run", width: float | None = None) -> "Figure":
        """Draw the figure. If there is nothing to draw, it says why.

        With a `width` in inches, it has that width, without title and note, which are its label. Otherwise it is as
        wide as it needs.
        """


def load(name: str) -> RunFigure:
    """Import the figure called `name`."""
    return cast(RunFigure, importlib.import_module(f"{__name__}.{name}"))


def of(run: "Run") -> dict[str, RunFigure]:
    """Return the figures that apply to a run by name, in the order of the report."""
    found = {path.stem: load(path.stem) for path in Path(__file__).parent.glob("[a-z]*.py")}
    placed = sorted(found.items(), key=lambda each: (each[1].PLACE, each[0]))
    return {name: figure for name, figure in placed if figure.applies(run)}


def write(run: "Run", folder: Path) -> None:
    """Write `folder/figures/NAME.{svg,png}` of each figure of the run. The same run gives the same bytes of SVG."""
    from attnbench.reports.drawing.saving import save

    save({name: partial(figure.draw, run) for name, figure in of(run).items()}, folder)
