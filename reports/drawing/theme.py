"""Sizes, letters and fonts of figures for papers and slides."""

import difflib
from typing import Any, Literal

from matplotlib import font_manager

from attnbench.reports.drawing.style import STYLE

Theme = Literal["paper", "slides"]
Width = Literal["column", "page"]
INCHES: dict[Width, float] = {"column": 3.3, "page": 6.9}
"""The width of a column and of the text of a paper with two columns."""
SCALES: dict[Theme, float] = {"paper": 1.0, "slides": 1.5}
"""Letters, lines and marks against those of a report."""
_SCALED = ("size", "width", "pad")
_GENERIC = ("serif", "sans-serif", "monospace")


class FontError(ValueError):
    """Raised if a font is not installed."""


def settings(theme: Theme, font: str | None = None) -> dict[str, Any]:
    """Return the settings of matplotlib for a theme; letters that the font lacks are those of DejaVu Sans.

    PDF files hold their letters as TrueType, which publishers ask for.

    Raises:
        FontError: the font is not installed.
    """
    if font is not None:
        _check(font)
    scale = SCALES[theme]
    sizes = {
        name: value * scale
        for name, value in STYLE.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name.endswith(_SCALED)
    }
    families = [font, "DejaVu Sans"] if font else ["DejaVu Sans"]
    return {**STYLE, **sizes, "font.family": families, "pdf.fonttype": 42}


def _check(font: str) -> None:
    known = [*_GENERIC, *dict.fromkeys(font_manager.get_font_names())]
    if font.lower() in (each.lower() for each in known):
        return
    near = difflib.get_close_matches(font, known, 3) or sorted(known)[:3]
    raise FontError(f"expected a font that is installed, such as {', '.join(near)}, found {font}")
