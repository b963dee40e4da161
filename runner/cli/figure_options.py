"""Options of verbs that draw figures: width, theme and font."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from attnbench.reports.drawing.theme import Theme

_WIDTH = click.option(
    "--width",
    type=click.Choice(["column", "page"]),
    default="page",
    show_default=True,
    help="Width of a column (3.3 inches) or of the page (6.9 inches) of a paper with two columns.",
)
_THEME = click.option(
    "--theme",
    type=click.Choice(["paper", "slides"]),
    default="paper",
    show_default=True,
    help="Sizes of letters and lines: those of slides are 1.5 times as large.",
)
_FONT = click.option("--font", metavar="NAME", help="An installed font; DejaVu Sans if none is given.")


def look(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--width`, `--theme` and `--font`."""
    told: Callable[..., Any] = _WIDTH(_THEME(_FONT(verb)))
    return told


@contextmanager
def drawing(theme: "Theme", font: str | None) -> Iterator[None]:
    """Apply theme and font to what is drawn and written."""
    from attnbench.reports.drawing import saving
    from attnbench.reports.drawing.theme import FontError, settings

    try:
        chosen = settings(theme, font)
    except FontError as error:
        raise click.UsageError(f"--font: {error}") from error
    with saving.settings(chosen):
        yield
