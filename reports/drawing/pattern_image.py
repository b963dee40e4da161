"""Pictures of a pattern, queries down and keys across: for a terminal, as SVG and as PNG."""

import html
import io

import numpy as np

from attnbench.variants import BoolArray, Spans

COLOUR = "#0173b2"
UNSEEN = "#f0f0f0"
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_PLAIN = {(False, False): " ", (True, False): "'", (False, True): ".", (True, True): ":"}
_SVG_SIDE = 192
_PNG_SIDE = 512


def bitmap(spans: Spans, side: int) -> BoolArray:
    """Divide a pattern into at most side x side equal square cells. A cell is set if any of its pairs is allowed.

    The time is linear in the number of set cells, at any length.
    """
    width = -(-spans.n // side)
    cells = -(-spans.n // width)
    seen = np.zeros((cells, cells), np.bool_)
    seen[spans.layout(width, width)] = True
    return seen


def terminal(seen: BoolArray, encoding: str) -> str:
    """Draw two rows of cells per line with block characters, or with `'`, `.` and `:` if the encoding has none."""
    letters = _HALVES if _can_write("".join(_HALVES.values()), encoding) else _PLAIN
    even = np.pad(seen, ((0, len(seen) % 2), (0, 0)))
    pairs = zip(even[::2].tolist(), even[1::2].tolist(), strict=True)
    return "\n".join("".join(letters[pair] for pair in zip(*rows, strict=True)).rstrip() for rows in pairs)


def svg(seen: BoolArray, title: str) -> str:
    """Draw one rectangle per run of set cells in a row. The same picture gives the same bytes."""
    side = len(seen)
    size = f'viewBox="0 0 {side} {side}" width="{_SVG_SIDE}" height="{_SVG_SIDE}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} shape-rendering="crispEdges">',
        f"<title>{html.escape(title)}</title>",
        f'<path fill="{UNSEEN}" d="M0 0h{side}v{side}h-{side}z"/>',
        f'<path fill="{COLOUR}" d="{path(seen)}"/>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def path(seen: BoolArray) -> str:
    """Return the path of SVG around the set cells, one unit each."""
    edges = np.diff(seen.astype(np.int8), axis=1, prepend=0, append=0)
    row, start = (each.tolist() for each in np.nonzero(edges == 1))
    stop = np.nonzero(edges == -1)[1].tolist()
    return "".join(f"M{x} {y}h{end - x}v1h{x - end}z" for y, x, end in zip(row, start, stop, strict=True))


def shrunk(seen: BoolArray, side: int) -> BoolArray:
    """Join cells so that at most side x side are left. One is set if any of its parts is."""
    width = -(-len(seen) // side)
    cells = -(-len(seen) // width)
    padded = np.pad(seen, (0, cells * width - len(seen)))
    return np.asarray(padded.reshape(cells, width, cells, width).any(axis=(1, 3)))


def png(seen: BoolArray) -> bytes:
    """Draw each cell as a square of pixels."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imsave

    size = max(1, _PNG_SIDE // len(seen))
    pixels = seen.repeat(size, axis=0).repeat(size, axis=1).astype(np.int64)
    colours = np.array([to_rgb(UNSEEN), to_rgb(COLOUR)])
    content = io.BytesIO()
    imsave(content, colours[pixels], format="png")
    return content.getvalue()


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
