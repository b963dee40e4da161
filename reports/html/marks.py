"""Colours, markers and lines of series, the same as in the other figures, for bokeh and as small pictures in SVG."""

from typing import Any

from markupsafe import Markup

from attnbench.reports.drawing.style import BASELINE_COLOUR, Look

_DARK = {BASELINE_COLOUR: "#e4e6e8", "#0173b2": "#3f9fdb"}
"""Colours that a dark page needs lighter."""
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "plus",
    "X": "star",
    "p": "hex",
    "h": "square_pin",
    "<": "triangle_pin",
    ">": "star_dot",
}
"""Markers of matplotlib and those of bokeh, which lacks some: they have another one."""
_DASHES = {"-": "", ":": "2 3", "-.": "7 3 2 3"}
_SHAPES = {
    "circle": "M13 7a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M13.4 3.4h7.2v7.2h-7.2z",
    "triangle": "M17 2.6l4.5 7.6h-9z",
    "inverted_triangle": "M17 11.4l4.5-7.6h-9z",
    "diamond": "M17 2l3.4 5-3.4 5-3.4-5z",
    "plus": "M15.6 3h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
    "star": "M17 2l1.4 3.4 3.6.3-2.8 2.3.9 3.5-3.1-1.9-3.1 1.9.9-3.5-2.8-2.3 3.6-.3z",
    "hex": "M12.6 7l2.2-3.8h4.4l2.2 3.8-2.2 3.8h-4.4z",
    "square_pin": "M13 3q4 1.6 8 0q-1.6 4 0 8q-4-1.6-8 0q1.6-4 0-8z",
    "triangle_pin": "M17 2q.6 4.6 4.6 8.4q-4.6-1.4-9.2 0q4-3.8 4.6-8.4z",
    "star_dot": "M17 2l1.4 3.4 3.6.3-2.8 2.3.9 3.5-3.1-1.9-3.1 1.9.9-3.5-2.8-2.3 3.6-.3z",
}
"""The markers of bokeh, around (17, 7)."""


def colours(look: Look) -> tuple[str, str]:
    """Return the colour of a series on a light page and on a dark one."""
    return look.colour, _DARK.get(look.colour, look.colour)


def dash(look: Look) -> str:
    """Return the lengths of strokes and gaps of a line; empty if it is whole."""
    return _DASHES[look.line] if isinstance(look.line, str) else " ".join(map(str, look.line[1]))


def options(look: Look) -> dict[str, Any]:
    """Return the look of a series for the script of the page."""
    return {
        "colours": colours(look),
        "marker": MARKERS[look.marker],
        "filled": look.fill == "full",
        "dash": dash(look) or "solid",
        "width": round(look.width, 2),
    }


def swatch(look: Look) -> Markup:
    """Return the line and the marker of a series."""
    light, dark = colours(look)
    fill = "currentColor" if look.fill == "full" else "var(--paper)"
    return Markup(
        '<svg class="swatch" viewBox="0 0 34 14" aria-hidden="true" style="color: light-dark({}, {})">'
        '<path d="M1 7h32" stroke-width="{:.1f}" stroke-dasharray="{}"/><path d="{}" fill="{}"/></svg>'
    ).format(light, dark, look.width, dash(look), _SHAPES[MARKERS[look.marker]], fill)
