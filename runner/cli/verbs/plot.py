"""`bench plot`: a figure of one's own of the numbers of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import told
from attnbench.runner.cli.figure_options import drawing, look

if TYPE_CHECKING:
    from attnbench.reports.drawing.theme import Theme, Width


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--x", default="seq_len", show_default=True, metavar="COLUMN", help="What is across.")
@click.option(
    "--y", default="time", show_default=True, metavar="COLUMN", help="time, speedup, memory, energy or a number."
)
@click.option("--hue", default="series", show_default=True, metavar="COLUMN", help="What has a colour of its own.")
@click.option("--where", "condition", default="", metavar="CONDITION", help='Only these cases, such as "time < 5ms".')
@look
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="A .pdf, .svg or .png; default RUN/plot.pdf."
)
def verb(
    folder: Path,
    x: str,
    y: str,
    hue: str,
    condition: str,
    width: "Width",
    theme: "Theme",
    font: str | None,
    out: Path | None,
) -> None:
    """Draw any number of RUN over any column of its table.

    Columns are listed in docs/columns.md. Intervals are drawn.

    Parameters of variants are columns too. A condition compares columns with values, such as "dtype == bfloat16 and
    N >= 1024" or "time < 5ms and variant in (full, bigbird)"; docs/columns.md#conditions has its rules. Cases that
    differ in more than x and hue get lines of their own, and the legend counts the cases without a number.

    Exit codes: 0 written; 2 usage, unreadable run or condition, unwritable file, or nothing to draw.
    """
    with told():
        from attnbench.reports import load
        from attnbench.reports.drawing import plot, saving
        from attnbench.reports.drawing.theme import INCHES

        to = out or folder / "plot.pdf"
        if to.suffix.removeprefix(".") not in saving.KINDS:
            raise click.UsageError(f"--out: expected a file with .pdf, .svg or .png, found {to}")
        run = load(folder)
        with drawing(theme, font):
            figure = plot.figure(run, x, y, hue, condition, INCHES[width])
            saving.put(figure, to)
        click.echo(f"{to}\n  {figure.get_label()}")
