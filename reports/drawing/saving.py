"""Function that writes figures into a folder, each as SVG and PNG."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from attnbench.reports.drawing.style import STYLE

_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Metadata without dates and versions, so that the same figure gives the same bytes."""


def save(figures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """Draw each figure with `STYLE`, write `folder/figures/NAME.{svg,png}`, and return the paths.

    Raises:
        OSError: a file cannot be written, or a font cannot be read.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(cast(Any, STYLE)), _fonts_read():
        for name, draw in figures.items():
            figure = draw()
            for kind, metadata in _METADATA.items():
                path = folder / "figures" / f"{name}.{kind}"
                part = path.with_suffix(f".{kind}.part")
                figure.savefig(part, format=kind, metadata=metadata, dpi=200, bbox_inches="tight", pad_inches=0.1)
                os.replace(part, path)
                written.append(path)
    return written


@contextmanager
def _fonts_read() -> Iterator[None]:
    """Raise an error if a font cannot be read. Matplotlib ignores it, and draws no letters or fails later."""
    unread: list[OSError] = []
    usual = sys.unraisablehook

    def hear(ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, OSError):
            unread.append(ignored.exc_value)
        else:
            usual(ignored)

    sys.unraisablehook = hear
    try:
        yield
    except Exception:
        if unread:
            raise unread[0] from None
        raise
    finally:
        sys.unraisablehook = usual
    if unread:
        raise unread[0]
