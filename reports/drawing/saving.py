"""Functions that write figures: those of a report as SVG and PNG, and single ones in any format."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from attnbench.reports.drawing.style import STYLE

_METADATA: dict[str, dict[str, str | None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Metadata without dates and versions, so that the same figure gives the same bytes."""
_WITHOUT_DATE: dict[str, dict[str, str | None]] = {
    **_METADATA,
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
KINDS = tuple(_WITHOUT_DATE)
"""The formats of a single figure, as suffixes of its file."""


def save(figures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """Draw each figure with `STYLE`, write `folder/figures/NAME.{svg,png}`, and return the paths.

    Raises:
        OSError: a file cannot be written, or a font cannot be read.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = []
    with settings(STYLE):
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
def settings(chosen: Mapping[str, Any]) -> Iterator[None]:
    """Apply settings of matplotlib. All that is drawn and written within uses them."""
    with mpl.rc_context(cast(Any, dict(chosen))), _fonts_read():
        yield


def put(figure: Figure, path: Path) -> None:
    """Write a figure in its own size into a file of the kind of its suffix; its label is the title of the file.

    Raises:
        OSError: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    part = path.with_name(f"{path.name}.part")
    title = " ".join(str(figure.get_label()).split())
    figure.savefig(part, format=kind, metadata={**_WITHOUT_DATE[kind], "Title": title}, dpi=300)
    os.replace(part, path)


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
