"""`bench figures`: the figures of a run for a paper or slides."""

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import told
from attnbench.runner.cli.figure_options import drawing, look

if TYPE_CHECKING:
    from attnbench.reports.drawing.theme import Theme, Width

_TALLEST = 9
"""Inches of the height of a page."""


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("names", metavar="[FIGURE]...", nargs=-1)
@click.option("--format", "kind", type=click.Choice(["pdf", "svg", "png"]), default="pdf", show_default=True)
@look
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write; default RUN/THEME.")
def verb(
    folder: Path, names: tuple[str, ...], kind: str, width: "Width", theme: "Theme", font: str | None, out: Path | None
) -> None:
    """Write figures of RUN for a paper or slides.

    Figures are those that are named, else all.

    They have the given width and no title. What the report has as title and note is printed for your caption, and is
    the title of the file. PDF files hold their fonts as TrueType.

    Exit codes: 0 written; 2 usage, unreadable run or unwritable folder; 5 no case passed.
    """
    with told():
        from attnbench.reports import figures, load
        from attnbench.reports.drawing import saving
        from attnbench.reports.drawing.theme import INCHES
        from attnbench.runner.cli import exit_code

        run = load(folder)
        found = figures.of(run)
        for name in names:
            if name not in found:
                near = difflib.get_close_matches(name, found, 1) or found
                raise click.UsageError(f"expected figures of this run, such as {', '.join(near)}, found {name}")
        to = out or folder / theme
        to.mkdir(parents=True, exist_ok=True)
        with drawing(theme, font):
            for name in names or found:
                figure, path = found[name].draw(run, INCHES[width]), to / f"{name}.{kind}"
                saving.put(figure, path)
                tall = figure.get_figheight()
                more = f" ({tall:.0f} inches tall; bench plot draws a part)" if tall > _TALLEST else ""
                click.echo(f"{path}{more}\n  {figure.get_label()}")
    sys.exit(exit_code.OK if (run.frame["status"] == "passed").any() else exit_code.NOTHING)
