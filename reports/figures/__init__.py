"""The figures of a run, one file each. The name of the file is the name of the figure."""

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

# It says where matplotlib can write, before any figure imports matplotlib.
from attnbench.reports import drawing as drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from attnbench.reports.data.run import Run


class RunFigure(Protocol):
    """What the file of a figure offers."""

    PLACE: int
    """The report shows figures in the order of these numbers."""
    READING: str
    """How to read it, for the report. A figure without is shown in a section of its own."""

    def applies(self, run: "Run") -> bool:
        """Whether the run has what the figure shows."""

    def draw(self, run: "Run") -> "Figure":
        """The figure; where there is nothing to draw, it says why."""


def load(name: str) -> RunFigure:
    """The figure called `name`."""
    return cast(RunFigure, importlib.import_module(f"{__name__}.{name}"))


def of(run: "Run") -> dict[str, RunFigure]:
    """The figures that apply to a run, by name, in the order in which the report shows them."""
    found = {path.stem: load(path.stem) for path in Path(__file__).parent.glob("[a-z]*.py")}
    placed = sorted(found.items(), key=lambda each: (each[1].PLACE, each[0]))
    return {name: figure for name, figure in placed if figure.applies(run)}


def write(run: "Run", folder: Path) -> None:
    """`folder/figures/NAME.{svg,png}` of each figure of the run: the same run gives the same bytes of SVG."""
    from attnbench.reports.drawing.saving import save

    save({name: partial(figure.draw, run) for name, figure in of(run).items()}, folder)
