"""The figures of a run, each as SVG and PNG."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from attnbench.reports.figures import growth, patterns, speedup
from attnbench.reports.figures.looks import STYLE
from attnbench.reports.frame import Run

FIGURES: dict[str, Callable[[Run], Figure]] = {
    "time": growth.time,
    "memory": growth.memory,
    "speedup": speedup.speedup,
    "patterns": patterns.patterns,
}
"""Every figure by the name of its files."""

_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Nothing that changes from one writing to the next."""


def write(run: Run, folder: Path) -> list[Path]:
    """`folder/figures/{time,memory,speedup,patterns}.{svg,png}`: the same run gives the same bytes of SVG."""
    return save({name: partial(draw, run) for name, draw in FIGURES.items()}, folder)


def save(figures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """`folder/figures/NAME.{svg,png}` of each figure, drawn in the house's style."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(cast(Any, STYLE)):
        for name, draw in figures.items():
            figure = draw()
            for kind, metadata in _METADATA.items():
                path = folder / "figures" / f"{name}.{kind}"
                part = path.with_suffix(f".{kind}.part")
                figure.savefig(part, format=kind, metadata=metadata, dpi=200, bbox_inches="tight", pad_inches=0.1)
                os.replace(part, path)
                written.append(path)
    return written
